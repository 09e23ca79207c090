/**
 * Ends the connections of a server that closes. Node ends those that are idle after a request, but waits for
 * those that never carried one: a pooled spare of the API server, a probe of the port, a handshake that never
 * ends.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

export interface Connections {
  /** Ends all that carry no request now. */
  endUnused(): void;
  /** Resolves when all that is being answered now was sent, or its connection lost. */
  answered(): Promise<void>;
  /** Ends all. */
  endAll(): void;
}

/**
 * @param max open at once. One too many takes the place of one that carries no request: above all, of the oldest that
 * never carried any; and if there is none, it is ended itself.
 */
export function trackConnections(server: Server, max = Number.POSITIVE_INFINITY): Connections {
  const open = new Map<string, Socket>();
  const unused = new Set<string>();
  const busy = new Set<string>();
  const answers = new Set<ServerResponse>();

  function leastWorth(): Socket | undefined {
    const [oldestUnused] = unused;
    const end = oldestUnused ?? [...open.keys()].find((candidate) => !busy.has(candidate));
    return end === undefined ? undefined : open.get(end);
  }

  server.on('connection', (socket: Socket) => {
    const end = remoteEnd(socket);
    if (open.size >= max) (leastWorth() ?? socket).destroy();
    if (socket.destroyed) return;
    open.set(end, socket);
    unused.add(end);
    socket.once('close', () => {
      open.delete(end);
      unused.delete(end);
    });
  });
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const end = remoteEnd(request.socket);
    unused.delete(end);
    busy.add(end);
    answers.add(response);
    response.once('close', () => {
      busy.delete(end);
      answers.delete(response);
    });
  });

  return {
    endUnused() {
      for (const [end, socket] of open) if (!busy.has(end)) socket.destroy();
    },
    async answered() {
      const closed = (answer: ServerResponse) => new Promise((resolve) => answer.once('close', resolve));
      await Promise.all([...answers].map(closed));
    },
    endAll() {
      for (const socket of open.values()) socket.destroy();
    },
  };
}

/** A request's socket is the encrypted one, a connection's is the one below it; both have this in common. */
export function remoteEnd({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
