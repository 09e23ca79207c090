/** Ways to flood a replica. Each begins, goes on while others deploy, and ends with nothing of it left. */
import type { TLSSocket } from 'node:tls';
import { Agent } from 'undici';
import type { Fault } from '../clusters/embedded/faults.ts';
import { deployReview } from '../fixtures/reviews.ts';
import { serving } from '../support/serving.ts';
import { bodiesOfParts } from './bodies.ts';
import type { Flooded } from './replica.ts';

export interface Flood {
  readonly name: string;
  /** @param size how much of it, at once */
  readonly size: { readonly short: number; readonly long: number };
  /** Goes on until the signal is aborted, and tells of each step. */
  run(replica: Flooded, size: number, signal: AbortSignal, onStep: () => void): Promise<void>;
}

const LOCKED = () => JSON.stringify(deployReview({ release: 'api', revision: 7 }));
const FREE = () => JSON.stringify(deployReview({ release: 'forged', revision: 1 }));
const ODD = () => JSON.stringify({ ...deployReview(), kind: 'Odd' });
const JSON_TYPE = { 'content-type': 'application/json' };

interface Call {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

/** So many callers, each of which asks again as soon as it was answered. */
function calls(name: string, size: Flood['size'], next: () => Call): Flood {
  return {
    name,
    size,
    async run({ url }, count, signal, onStep) {
      const agent = new Agent({
        connect: { ca: serving.caCertificate, localAddress: '127.0.1.1', timeout: 60_000 },
        connections: count,
      });
      const caller = async () => {
        while (!signal.aborted) {
          const options = { origin: url, headersTimeout: 60_000, ...next() };
          // Refused, cut off or answered: it asks again.
          await agent.request(options).then(
            ({ body }) => body.dump(),
            () => {},
          );
          onStep();
        }
      };
      await Promise.all(Array.from({ length: count }, caller));
      await agent.destroy();
    },
  };
}

/** So many connections, over each of which something is said at the beginning, and then a byte at a time. */
function connections(name: string, size: Flood['size'], beginning: string, dribble = ''): Flood {
  return {
    name,
    size,
    async run({ connected }, count, signal, onStep) {
      const sockets: TLSSocket[] = [];
      for (let index = 0; index < count && !signal.aborted; index += 1) {
        const socket = await connected();
        socket.write(beginning);
        sockets.push(socket);
        onStep();
      }
      const [first] = sockets;
      while (!signal.aborted && first) {
        for (const socket of sockets) if (socket.writable) socket.write(dribble);
        await new Promise((resolve) => setImmediate(resolve));
        onStep();
      }
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** An API server that has gone mad answers so many watches, one after the other. */
function watches(name: string, size: Flood['size'], fault: Fault): Flood {
  return {
    name,
    size,
    async run({ cluster }, _size, signal, onStep) {
      const end = cluster.faults.failRequests((asked) => {
        if (!asked.query.has('watch') || asked.userAgent !== 'lockkeeper') return undefined;
        onStep();
        return fault;
      });
      cluster.faults.cutWatches();
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      end();
      // Whoever is still told nonsense, or nothing, is let go.
      await cluster.faults.goAway();
      await cluster.faults.comeBack();
    },
  };
}

/** All of these together, each with its part of the size. */
function atOnce(name: string, floods: readonly Flood[]): Flood {
  const sum = (length: keyof Flood['size']) => floods.reduce((all, { size }) => all + size[length], 0);
  return {
    name,
    size: { short: sum('short'), long: sum('long') },
    async run(replica, size, signal, onStep) {
      const part = size / sum('long');
      await Promise.all(
        floods.map((flood) => flood.run(replica, Math.ceil(flood.size.long * part), signal, onStep)),
      );
    },
  };
}

const HEAD = 'POST /admission HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n';
const GIANT = Buffer.from(
  JSON.stringify(deployReview({ release: 'forged', revision: 1, payload: 'x'.repeat(6_900_000) })),
);
const TOO_GIANT = Buffer.concat([GIANT, Buffer.alloc(1_000_000, ' ')]);

const IDLE = connections('connections that say nothing', { short: 100, long: 6_000 }, '');
const HELD = calls('reviews that are held', { short: 20, long: 200 }, () => ({
  method: 'POST',
  path: '/admission?timeout=10s',
  headers: JSON_TYPE,
  body: LOCKED(),
}));
const PARTS = bodiesOfParts();

const GIANTS = calls('giant bodies, just within the limit', { short: 3, long: 12 }, () => ({
  method: 'POST',
  path: '/admission',
  headers: JSON_TYPE,
  body: GIANT,
}));

export const FLOODS: readonly Flood[] = [
  calls('reviews that are free to go', { short: 50, long: 200 }, () => ({
    method: 'POST',
    path: '/admission?timeout=10s',
    headers: JSON_TYPE,
    body: FREE(),
  })),
  HELD,
  calls('bodies that are no reviews', { short: 50, long: 200 }, () => ({
    method: 'POST',
    path: '/admission',
    headers: JSON_TYPE,
    body: ODD(),
  })),
  calls('REST with bad tokens', { short: 50, long: 200 }, () => ({
    method: 'GET',
    path: '/api/v1/locks',
    headers: { authorization: `Bearer ${crypto.randomUUID()}` },
  })),
  calls('REST without tokens', { short: 50, long: 200 }, () => ({ method: 'DELETE', path: '/api/v1/locks' })),
  GIANTS,
  calls('giant bodies, over the limit', { short: 3, long: 12 }, () => ({
    method: 'POST',
    path: '/admission',
    headers: JSON_TYPE,
    body: TOO_GIANT,
  })),
  calls('bodies of millions of parts, in every member of a review', { short: 3, long: 12 }, () => ({
    method: 'POST',
    path: '/admission',
    headers: JSON_TYPE,
    body: PARTS.next().value,
  })),
  watches('watches that tell nonsense, line by line', { short: 3, long: 30 }, { babble: 'nonsense\n' }),
  watches('watches whose line never ends', { short: 3, long: 30 }, { babble: 'x'.repeat(65_536) }),
  watches('watches that are not answered', { short: 3, long: 10 }, { hang: true }),
  watches('watches that are always too old', { short: 3, long: 30 }, { status: 410 }),
  IDLE,
  connections('headers that dribble', { short: 50, long: 2_000 }, HEAD, 'X'),
  connections('bodies that dribble', { short: 30, long: 500 }, `${HEAD}Content-Length: 7000000\r\n\r\n`, ' '),
  connections(
    'chunks without an end',
    { short: 5, long: 30 },
    `${HEAD}Transfer-Encoding: chunked\r\n\r\n`,
    `10000\r\n${' '.repeat(65_536)}\r\n`,
  ),
  connections(
    'questions whose answers nobody reads',
    { short: 10, long: 100 },
    'GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(100),
  ),
  atOnce('idle connections, held reviews and giant bodies together', [IDLE, HELD, GIANTS]),
];
