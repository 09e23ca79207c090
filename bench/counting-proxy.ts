/** Stands between a program and the API server, and counts what passes: TLS, of which it reads no word. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface CountingProxy {
  /** In place of that of the API server. */
  readonly url: string;
  /** Bytes that came from the API server so far. */
  received(): number;
  /** Bytes that were sent to it. */
  sent(): number;
  stop(): Promise<void>;
}

export async function startCountingProxy(to: string): Promise<CountingProxy> {
  const { hostname, port } = new URL(to);
  const sockets = new Set<Socket>();
  let received = 0;
  let sent = 0;
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    client.on('data', ({ length }) => {
      sent += length;
    });
    upstream.on('data', ({ length }) => {
      received += length;
    });
    for (const [from, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.pipe(other);
      from.on('error', () => other.destroy());
      from.on('close', () => {
        sockets.delete(from);
        other.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address() as AddressInfo;
  return {
    url: `https://127.0.0.1:${address.port}`,
    received: () => received,
    sent: () => sent,
    async stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
