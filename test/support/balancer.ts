/**
 * Plays the Service before the replicas: it asks each one whether it is ready, as a kubelet does, and hands new connections
 * to those that are, in turn. A connection stays where it is. What flows is TLS, of which it sees no word.
 */
import { request } from 'node:https';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Test } from 'tap';
import { createEvents } from '../clusters/embedded/events.ts';

export interface BalancerOptions {
  /** How often each replica is asked. */
  readonly probeEveryMs?: number;
  /** A change that was seen counts when this resolves: the way from a kubelet to all nodes takes a while. */
  readonly heard?: (port: number, ready: boolean) => Promise<unknown>;
  /**
   * What becomes of a new connection to a replica that is not there any more, before that was heard of: kube-proxy lets it
   * fail (`refuse`), others try the next one.
   */
  readonly dead?: 'refuse' | 'next';
}

export interface Balancer {
  readonly url: string;
  readonly port: number;
  /** Sends connections there, once it is ready. Resolves when it is. */
  add(port: number): Promise<void>;
  /** Resolves when no new connection is handed to it any more. */
  forgets(port: number): Promise<void>;
  /** Resolves when new connections are handed to it (again). */
  knows(port: number): Promise<void>;
  /** How many connections a replica was handed so far. */
  handed(port: number): number;
  /** Ends all connections to a replica, as the kernel does with those of a process that was killed. */
  cut(port: number): void;
}

interface Endpoint {
  readonly port: number;
  isReady: boolean;
  handed: number;
  /** Those that are open. */
  readonly links: Set<Socket>;
}

const PROBE_EVERY_MS = 100;

/** Of most nodes, most of the time. */
const HEARD_AFTER_MS = 300;

/** Ends with the test. */
export async function startBalancer(t: Test, options: BalancerOptions = {}): Promise<Balancer> {
  const { probeEveryMs = PROBE_EVERY_MS, heard = () => delay(HEARD_AFTER_MS), dead = 'refuse' } = options;
  const endpoints = new Map<number, Endpoint>();
  const changes = createEvents<Endpoint>();
  const ending = new AbortController();
  const probes: Promise<void>[] = [];
  const clients = new Set<Socket>();
  let turn = 0;

  async function probe(endpoint: Endpoint): Promise<void> {
    let seen = false;
    while (!ending.signal.aborted) {
      const ready = await isReady(endpoint.port);
      if (ready !== seen) {
        seen = ready;
        void heard(endpoint.port, ready).then(() => {
          endpoint.isReady = ready;
          changes.publish(endpoint);
        });
      }
      await delay(probeEveryMs, undefined, { signal: ending.signal }).catch(() => {});
    }
  }

  /** Those to try for one connection, in turn. */
  function candidates(): Endpoint[] {
    const ready = [...endpoints.values()].filter((endpoint) => endpoint.isReady);
    turn += 1;
    const inTurn = ready.map((_, index) => ready[(index + turn) % ready.length] as Endpoint);
    return dead === 'next' ? inTurn : inTurn.slice(0, 1);
  }

  function hand(client: Socket, [endpoint, ...others]: readonly Endpoint[]): void {
    if (endpoint === undefined) return void client.destroy();
    const replica = connect(endpoint.port, '127.0.0.1');
    const refused = () => hand(client, others);
    replica.once('error', refused);
    replica.once('connect', () => {
      replica.off('error', refused);
      link(client, replica, endpoint);
    });
  }

  function link(client: Socket, replica: Socket, endpoint: Endpoint): void {
    const { links } = endpoint;
    endpoint.handed += 1;
    links.add(replica);
    for (const [from, to] of [
      [client, replica],
      [replica, client],
    ] as const) {
      from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroySoon());
    }
    replica.on('close', () => links.delete(replica));
  }

  const server = createServer({ pauseOnConnect: true }, (client) => {
    clients.add(client);
    client.on('error', () => {}).on('close', () => clients.delete(client));
    hand(client, candidates());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(async () => {
    ending.abort();
    server.close();
    for (const client of clients) client.destroy();
    await Promise.all(probes);
  });

  function at(port: number): Endpoint {
    const endpoint = endpoints.get(port);
    if (endpoint === undefined) throw new Error(`there is no replica at ${port}`);
    return endpoint;
  }

  async function until(port: number, ready: boolean): Promise<void> {
    if (at(port).isReady !== ready)
      await changes.next((endpoint) => endpoint.port === port && endpoint.isReady === ready);
  }

  function cut(port: number): void {
    for (const socket of at(port).links) socket.destroy();
  }

  const { port } = server.address() as AddressInfo;
  return {
    url: `https://127.0.0.1:${port}`,
    port,
    async add(port) {
      const endpoint: Endpoint = { port, isReady: false, handed: 0, links: new Set() };
      endpoints.set(port, endpoint);
      probes.push(probe(endpoint));
      await until(port, true);
    },
    forgets: (port) => until(port, false),
    knows: (port) => until(port, true),
    handed: (port) => at(port).handed,
    cut,
  };
}

/** As a kubelet asks: over a connection of its own, whoever signed the certificate. */
function isReady(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    request(
      { host: '127.0.0.1', port, path: '/readyz', agent: false, rejectUnauthorized: false },
      (answer) => {
        answer.resume();
        resolve(answer.statusCode === 200);
      },
    )
      .on('error', () => resolve(false))
      .end();
  });
}
