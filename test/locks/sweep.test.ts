/** What is cleared with nobody asking: when, by which rule, and what becomes of it if that does not work. */
import { setImmediate } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { ClearOutcome, ClearRequest } from '../../src/gate/clearing.ts';
import type { AutoClear } from '../../src/gate/decision.ts';
import type { Lock } from '../../src/gate/lock.ts';
import { judge } from '../../src/gate/verdict.ts';
import { startSweep } from '../../src/locks/sweep.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { limits } from '../support/limits.ts';
import { testLog } from '../support/log.ts';
import { revision } from '../support/revisions.ts';

const STALE_AFTER_SECONDS = 900;

function world(t: Test, autoClear: AutoClear = 'dead-holder') {
  const clock = fakeClock();
  const logs = testLog();
  const locks = new Map<string, Lock>();
  const requests: ClearRequest[] = [];
  const clears = {
    running: 0,
    most: 0,
    /** It is gone from the locks then, as the watch would tell. */
    answer: async ({ uid = '' }: ClearRequest, _signal: AbortSignal): Promise<ClearOutcome> => {
      locks.delete(uid);
      return { kind: 'free' };
    },
  };
  /** Of namespaces that have their own. */
  const policies = new Map<string, AutoClear>();
  const sweep = startSweep({
    locks: () => [...locks.values()],
    judge: (lock) => judge(lock, limits(STALE_AFTER_SECONDS), clock.now()),
    autoClearIn: async (namespace) => policies.get(namespace) ?? autoClear,
    clearer: {
      async clear(request, signal) {
        requests.push(request);
        clears.running += 1;
        clears.most = Math.max(clears.most, clears.running);
        await setImmediate();
        return clears.answer(request, signal).finally(() => {
          clears.running -= 1;
        });
      },
    },
    clock,
    random: () => 0.5,
    log: logs.log,
  });
  t.teardown(() => sweep.stop());

  function put(lock: Lock): void {
    locks.set(lock.revision.uid, lock);
    sweep.wake();
  }

  return {
    sweep,
    clock,
    logs,
    requests,
    clears,
    locks,
    put,
    /** A lock whose holder is a pod that ended so many seconds ago. */
    dead: (uid: string, secondsAgo: number) => put(deadLock(uid, clock.date() - secondsAgo * 1000, clock)),
    /** A lock that nobody has written to for so many seconds. */
    silent: (uid: string, seconds: number) =>
      put({ revision: created(uid, clock.date() - seconds * 1000), holder: undefined }),
    /** The uids of what is cleared while so much time passes. */
    async pass(ms: number): Promise<(string | undefined)[]> {
      const from = requests.length;
      await turns();
      clock.advance(ms);
      await turns();
      return requests.slice(from).map(({ uid }) => uid);
    },
  };
}

function created(uid: string, createdAt: number) {
  const release = { driver: 'secrets', namespace: 'prod', name: uid } as const;
  return revision(6, 'pending-upgrade', { uid, release, createdAt });
}

function deadLock(uid: string, provenAt: number, clock: { date(): number }): Lock {
  const pod = { namespace: 'ci', name: 'runner-7f9c', uid: 'pod-1' };
  const holder = { user: 'system:serviceaccount:ci:runner', pod, podKind: 'job' } as const;
  return { revision: created(uid, clock.date()), holder, death: { how: 'is gone', provenAt } };
}

/** Has every promise go as far as it can. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 100; turn += 1) await setImmediate();
}

t.test(
  'a lock is cleared when the death of its holder is 11 s old, a little later at some replicas',
  async (t) => {
    const { dead, pass, requests } = world(t);
    dead('api', 4);
    t.strictSame(await pass(6_999), []);
    t.strictSame(await pass(1), [], 'its token is good for nothing any more');
    t.strictSame(await pass(499), [], 'another replica may be first');
    t.strictSame(await pass(1), ['api']);
    t.strictSame(requests, [
      {
        target: { driver: 'secrets', namespace: 'prod', name: 'api' },
        revision: 6,
        uid: 'api',
        strategy: 'mark-failed',
        force: false,
        trigger: 'sweep',
        by: 'lockkeeper',
      },
    ]);
    t.strictSame(await pass(60_000), [], 'and that was all');
  },
);

t.test(
  'what was a moment too early for the clearer is tried again when it is due, not ten seconds later',
  async (t) => {
    const { dead, pass, clears, locks } = world(t);
    const { answer } = clears;
    const live = (staleInSeconds: number) => async (): Promise<ClearOutcome> => {
      const [lock] = [...locks.values()] as [Lock];
      return { kind: 'live', lock, judgement: { verdict: 'live', reason: 'written', staleInSeconds } };
    };
    dead('api', 11);
    clears.answer = live(1);
    t.strictSame(await pass(700), ['api']);
    t.strictSame(await pass(800), []);
    clears.answer = live(900);
    t.strictSame(await pass(300), ['api']);
    t.strictSame(await pass(9_700), [], 'alive for longer, as another API server sees it');
    clears.answer = answer;
    t.strictSame(await pass(400), ['api']);
  },
);

t.test('LOCKKEEPER_AUTO_CLEAR says which ones', async (t) => {
  for (const [autoClear, expected] of [
    ['off', []],
    ['dead-holder', ['dead']],
    ['expired', ['dead', 'expired']],
  ] as const) {
    const { dead, silent, pass } = world(t, autoClear);
    dead('dead', 11);
    silent('expired', 900);
    silent('live', 0);
    t.strictSame(await pass(500), expected, autoClear);
  }
});

t.test('nobody writes when a lock expires: it is swept all the same', async (t) => {
  const { silent, pass } = world(t, 'expired');
  silent('api', 300);
  t.strictSame(await pass(599_999), []);
  await pass(1);
  t.strictSame(await pass(500), ['api']);
});

t.test('what was not cleared is tried again, as long as it may be cleared', async (t) => {
  const { dead, pass, clears, locks, logs } = world(t);
  const { answer } = clears;
  clears.answer = async () => ({ kind: 'free' });
  dead('api', 11);
  t.strictSame(await pass(500), ['api'], 'somebody else was first, or it is none');
  t.strictSame(await pass(9_999), []);
  t.strictSame(await pass(1), ['api'], 'the watch says that it is still there');
  clears.answer = async () => {
    throw new Error('the API server is down');
  };
  t.strictSame(await pass(10_000), ['api']);
  t.match(logs.lines, [
    {
      msg: 'a stale lock could not be cleared',
      namespace: 'prod',
      release: 'api',
      reason: /the API server is down/,
    },
  ]);
  clears.answer = answer;
  t.strictSame(await pass(10_000), ['api']);
  t.equal(locks.size, 0);
});

t.test(
  'a record that cannot be edited is tried once, until it is written; and hinders no other',
  async (t) => {
    const { dead, pass, clears, put, clock, logs } = world(t);
    const { answer } = clears;
    clears.answer = async (request, signal) => {
      if (request.uid !== 'broken') return answer(request, signal);
      const lock = deadLock('broken', 0, clock);
      return { kind: 'unreadable', lock, words: 'it is no JSON' };
    };
    dead('broken', 11);
    dead('api', 11);
    t.strictSame(await pass(500), ['broken', 'api']);
    t.match(logs.lines, [
      { msg: 'a stale lock could not be cleared', release: 'broken', reason: 'it is no JSON' },
    ]);
    t.strictSame(await pass(600_000), []);
    const written = deadLock('broken', 0, clock);
    put({ ...written, revision: { ...written.revision, resourceVersion: 'another' } });
    t.strictSame(await pass(10_000), ['broken']);
    t.equal(logs.lines.length, 2);
  },
);

t.test('five hundred are cleared two at once', async (t) => {
  const { dead, pass, clears, requests, locks } = world(t);
  for (let index = 0; index < 500; index += 1) dead(`release-${index}`, 11);
  await pass(500);
  for (let round = 0; round < 50; round += 1) await pass(0);
  t.equal(locks.size, 0);
  t.equal(requests.length, 500, 'each once');
  t.equal(clears.most, 2);
});

t.test('it stops in the middle of a clear, and says nothing of that', async (t) => {
  const { sweep, dead, pass, clears, logs } = world(t);
  clears.answer = (_request, signal) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  dead('api', 11);
  dead('web', 11);
  dead('mail', 11);
  t.strictSame(await pass(500), ['api', 'web']);
  await sweep.stop();
  t.strictSame(logs.messages(), []);
});

t.test('what nobody thought of is told, and is no end', async (t) => {
  const { sweep, dead, pass, locks, logs } = world(t);
  locks.values = () => {
    throw new Error('odd');
  };
  sweep.wake();
  await pass(0);
  t.match(logs.lines.at(-1), { msg: 'stale locks cannot be swept' });
  Reflect.deleteProperty(locks, 'values');
  dead('api', 11);
  t.strictSame([...(await pass(1_000)), ...(await pass(1_000))], ['api']);
});
