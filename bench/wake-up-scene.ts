/** Locks that are freed while others wait for them, and a clock on when those are answered. */
import { setTimeout as pause } from 'node:timers/promises';
import { Agent } from 'undici';
import { PENDING_SELECTOR } from '../src/helm/release.ts';
import { deployReview } from '../test/fixtures/reviews.ts';
import { record } from '../test/support/records.ts';
import { NAMESPACE, type Serving, type Stage } from './stage.ts';

/** One answer: milliseconds after the write that freed the lock was sent, and after a watch told of it. */
export interface Wake {
  readonly fromWrite: number;
  readonly fromEvent: number;
}

/** How many wait, and how often a lock is freed meanwhile. */
export interface Wait {
  readonly waiters: number;
  readonly frees: number;
}

export interface Scene {
  /** Deploys that wait, each for a release of its own; of as many as wait, and `frees` more, those are let go one by one. */
  held(wait: Wait): Promise<Wake[]>;
  /** Pipelines that wait for one release over REST, and are answered all at once. */
  waits(wait: Wait): Promise<Wake[]>;
  /** How many held calls were answered with 500 so far, which fails a deploy: the cluster could not be read in time. */
  unread(): number;
  close(): Promise<void>;
}

/** It holds more calls, and for longer, than anything here takes. */
const ENVIRONMENT = { LOCKKEEPER_MAX_HELD: '2000', LOCKKEEPER_HOLD_SECONDS: '28' };

const SECRETS = `/api/v1/namespaces/${NAMESPACE}/secrets`;

const ENTRIES = `/apis/lockkeeper.dev/v1alpha1/namespaces/${NAMESPACE}/releaselocks`;

const FREE = { metadata: { labels: { status: 'deployed' } } };

/** As many are locked at once. */
const CHUNK = 32;

export async function setScene(stage: Stage): Promise<Scene> {
  const { admin } = stage;
  const lockkeeper = await stage.lockkeeper(ENVIRONMENT);
  const told = await followFrees(stage);
  const callers = await createCallers(stage, lockkeeper);
  let releases = 0;

  function newRelease(): string {
    releases += 1;
    return `w${releases}`;
  }

  async function lock(release: string): Promise<void> {
    await admin.create(SECRETS, record(release, 1, 'pending-install'));
  }

  async function free(release: string, answers: readonly Promise<number>[]): Promise<Wake[]> {
    const name = `sh.helm.release.v1.${release}.v1`;
    const event = told.next(name);
    const sentAt = performance.now();
    await admin.patch(`${SECRETS}/${name}`, FREE);
    const toldAt = await event;
    return (await Promise.all(answers)).map((at) => ({
      fromWrite: at - sentAt,
      // The bench may be told after Lockkeeper.
      fromEvent: Math.max(0, at - toldAt),
    }));
  }

  /** Locks so many releases, and has a deploy wait for each. */
  async function hold(count: number): Promise<[string, Promise<number>][]> {
    const names = Array.from({ length: count }, newRelease);
    for (let at = 0; at < count; at += CHUNK) await Promise.all(names.slice(at, at + CHUNK).map(lock));
    // What Lockkeeper writes for each lock is not to be in the way of what is measured.
    await until(async () => (await admin.list(ENTRIES)).length >= count);
    const calls: [string, Promise<number>][] = [];
    for (let at = 0; at < count; at += CHUNK) {
      const some = names.slice(at, at + CHUNK);
      const held = some.map((name) => lockkeeper.logs.nextLine('held', ({ release }) => release === name));
      calls.push(...some.map((name): [string, Promise<number>] => [name, callers.deploy(name)]));
      await Promise.all(held);
    }
    return calls;
  }

  return {
    async held({ waiters, frees }) {
      const wakes: Wake[] = [];
      const letGo = ([release, answer]: [string, Promise<number>]) => free(release, [answer]);
      if (waiters === 1) {
        for (let freed = 0; freed < frees; freed += 1) {
          const [call] = (await hold(1)) as [[string, Promise<number>]];
          wakes.push(...(await letGo(call)));
        }
        return wakes;
      }
      const calls = await hold(waiters + frees);
      for (const call of calls.splice(0, frees)) wakes.push(...(await letGo(call)));
      await Promise.all(calls.map(letGo));
      return wakes;
    },
    async waits({ waiters, frees }) {
      const wakes: Wake[] = [];
      for (let round = 0; round < frees; round += 1) {
        const release = newRelease();
        await lock(release);
        const wait = (count: number) => async () => (await callers.waiting(release, round)) === count;
        await until(wait(0));
        const answers = Array.from({ length: waiters }, () => callers.wait(release, round));
        await until(wait(waiters));
        wakes.push(...(await free(release, answers)));
      }
      return wakes;
    },
    unread: callers.unread,
    async close() {
      await told.stop();
      await callers.close();
    },
  };
}

/** Those who wait. Each promise is of the time at which an answer was there. */
async function createCallers({ cluster, caCertificate }: Stage, lockkeeper: Serving) {
  const { url } = lockkeeper;
  const connect = { ca: caCertificate, timeout: 60_000 };
  const agent = new Agent({ connect, allowH2: false, headersTimeout: 0 });
  // One may ask three thousand times a minute.
  const tokens = await Promise.all(['alice', 'bob', 'carol'].map((username) => cluster.token({ username })));

  const locks = `/api/v1/namespaces/${NAMESPACE}/locks`;
  let unread = 0;

  async function get(path: string, round: number) {
    const headers = { authorization: `Bearer ${tokens[round % tokens.length]}` };
    const answer = await agent.request({ origin: url, path: `${locks}${path}`, method: 'GET', headers });
    return { status: answer.statusCode, text: await answer.body.text(), at: performance.now() };
  }

  return {
    /** How many calls were answered that the cluster could not be read in time. */
    unread: () => unread,
    /** Comes back at once when it is sent away, as it is on a machine so slow that a call is held for too long. */
    async deploy(release: string): Promise<number> {
      for (;;) {
        const answer = await agent.request({
          origin: url,
          path: '/admission?timeout=30s',
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(deployReview({ release, revision: 2 })),
        });
        const text = await answer.body.text();
        const at = performance.now();
        if (text.includes('"allowed":true')) return at;
        if (answer.statusCode === 500) unread += 1;
        else if (!text.includes('"code":429')) throw new Error(`a deploy that waited was answered ${text}`);
      }
    },
    async wait(release: string, round: number): Promise<number> {
      const { status, text, at } = await get(`/${release}/wait?timeout=60`, round);
      if (status !== 204) throw new Error(`a wait was answered ${status} ${text}`);
      return at;
    },
    /** How many wait for a release; undefined when nothing is known of its lock yet. */
    async waiting(release: string, round: number): Promise<number | undefined> {
      const { status, text } = await get(`/${release}`, round);
      return status === 200 ? (JSON.parse(text) as { waiting: number }).waiting : undefined;
    },
    close: () => agent.destroy(),
  };
}

/** Tells of each record that is not pending any more, by a watch like that of Lockkeeper. */
async function followFrees({ admin }: Stage) {
  const stopping = new AbortController();
  const waiting = new Map<string, (at: number) => void>();
  const { body } = await admin.request('GET', `${SECRETS}?limit=1`);
  const from = body.metadata.resourceVersion;
  const query = new URLSearchParams({
    watch: 'true',
    labelSelector: PENDING_SELECTOR,
    resourceVersion: from,
  });

  async function follow(): Promise<void> {
    const options = { signal: stopping.signal, headers: { accept: METADATA } };
    for await (const { type, object } of admin.watch(`${SECRETS}?${query}`, options)) {
      if (type === 'DELETED') waiting.get(object.metadata.name)?.(performance.now());
    }
  }
  const following = follow().catch((error) => {
    if (!stopping.signal.aborted) throw error;
  });

  return {
    /** When it is told of this one. */
    next(name: string): Promise<number> {
      const { promise, resolve } = Promise.withResolvers<number>();
      waiting.set(name, resolve);
      return promise.finally(() => waiting.delete(name));
    },
    async stop() {
      stopping.abort();
      await following;
    },
  };
}

const METADATA = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1';

const LOOK_EVERY_MS = 50;

async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await pause(LOOK_EVERY_MS);
}
