import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Below the ports that Linux (32768 to 60999) and macOS (49152 to 65535) give to outgoing connections and to
 * whoever listens on port 0: a port of those that was free a moment ago may be somebody's by the time it is used.
 */
const PORTS = { from: 20_000, to: 32_767 };

/** A port of the loopback interface that is free now, for a setting where 0 does not mean “any”. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = PORTS.from + Math.floor(Math.random() * (PORTS.to - PORTS.from + 1));
    if (await isFree(port)) return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
