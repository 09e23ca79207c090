/** A cluster, whatever answers its reviews, and connections to it that are kept open. */
import type { Test } from 'tap';
import { Agent, type Dispatcher } from 'undici';
import type { User } from '../clusters/cluster.ts';
import { type EmbeddedCluster, startEmbeddedCluster } from '../clusters/embedded/cluster.ts';
import { startServiceOn } from '../support/lockkeeper.ts';
import type { Json } from '../support/rest.ts';
import { serving } from '../support/serving.ts';
import { followDeceits, followStored, type Stored } from './history.ts';
import type { RestRequest, Token } from './rest-requests.ts';

export interface World {
  readonly stored: Stored;
  /** Namespaces of which the API server reads nothing now. */
  readonly unreadable: Set<string>;
  /** After this, something that was asked hangs. */
  readonly hangMs: number;
  /** Milliseconds since 1970, by the clock that stamps the records. */
  now(): number;
  /** What was written and would deceive a terminal: Events, ReleaseLocks, and the descriptions of records. */
  deceits(): readonly string[];
  /** For connections of one's own. */
  readonly target: { readonly port: number; readonly ca: string };
  review(lane: number, query: string, text: string): Promise<Answer>;
  rest(lane: number, request: RestRequest, query: string): Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly body: Json;
  /** What `curl` prints, if it is for people or programs, and no page. */
  readonly printed: string;
}

export interface WorldOptions {
  readonly hangMs: number;
  /** Answers in place of a real Lockkeeper, at 127.0.0.1. */
  readonly port?: number;
}

/** May see nothing and clear nothing. */
const NOBODY: User = { username: 'nobody' };

export async function fuzzedWorld(t: Test, { hangMs, port }: WorldOptions): Promise<World> {
  const cluster = await startEmbeddedCluster({ authorize: ({ user }) => user.username !== NOBODY.username });
  t.teardown(() => cluster.stop());
  const unreadable = new Set<string>();
  cluster.faults.failRequests(({ path, userAgent }) => {
    const namespace = /\/namespaces\/([^/]+)/.exec(path)?.[1] ?? '';
    return userAgent === 'lockkeeper' && unreadable.has(namespace) ? { status: 500 } : undefined;
  });
  const target = { port: port ?? (await startLockkeeper(t, cluster)), ca: serving.caCertificate };
  const agents = new Map<number, Agent>();
  t.teardown(() => Promise.all([...agents.values()].map((agent) => agent.destroy())));
  const tokenOf = await tokensOf(cluster);

  function agentOf(lane: number): Agent {
    const known = agents.get(lane);
    if (known) return known;
    // Each has an address of its own, since some limits are for one address.
    const localAddress = `127.0.1.${lane + 1}`;
    const agent = new Agent({ connect: { ca: target.ca, localAddress }, connections: 2 });
    agents.set(lane, agent);
    return agent;
  }

  async function send(lane: number, options: Omit<Dispatcher.RequestOptions, 'origin'>): Promise<Answer> {
    const response = await agentOf(lane).request({
      origin: `https://127.0.0.1:${target.port}`,
      signal: AbortSignal.timeout(hangMs),
      ...options,
    });
    const text = await response.body.text();
    const type = String(response.headers['content-type']);
    const isJson = /json(;|$)/.test(type) && !text.includes('}\n');
    const body = isJson && text !== '' ? JSON.parse(text) : text;
    return { status: response.statusCode, body, printed: /json|plain/.test(type) ? text : '' };
  }

  return {
    stored: await followStored(cluster),
    deceits: followDeceits(cluster),
    unreadable,
    hangMs,
    now: cluster.clock.now,
    target,
    review: (lane, query, body) =>
      send(lane, {
        method: 'POST',
        path: `/admission${query}`,
        headers: { 'content-type': 'application/json' },
        body,
      }),
    rest: async (lane, { method, path, token, headers }, query) =>
      send(lane, {
        method: method as 'GET',
        path: query === '' ? path : `${path}?${query}`,
        headers: { ...headers, ...(await tokenOf(token)) },
      }),
  };
}

async function startLockkeeper(t: Test, cluster: EmbeddedCluster): Promise<number> {
  // Nothing waits, so that whatever is slow hangs.
  const { service, ready } = await startServiceOn(t, cluster, { holdSeconds: 0, logLevel: 'silent' });
  await ready();
  return service.port;
}

/** So many people, that none of them is one who asks too often. */
const PEOPLE = 1_000;

async function tokensOf(cluster: EmbeddedCluster) {
  const good = await Promise.all(
    Array.from({ length: PEOPLE }, (_, index) => cluster.token({ username: `somebody-${index}` })),
  );
  const nobody = await cluster.token(NOBODY);
  let asked = 0;

  return async (token: Token): Promise<Record<string, string>> => {
    switch (token) {
      case 'somebody':
        asked += 1;
        return { authorization: `Bearer ${good[asked % PEOPLE]}` };
      case 'nobody':
        return { authorization: `Bearer ${nobody}` };
      case 'refused':
        return { authorization: 'Bearer e30.e30.none' };
      case 'malformed':
        return { authorization: 'Basic YTpi' };
      case 'none':
        return {};
    }
  };
}
