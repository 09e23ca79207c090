/** That a lock is stale is told when it is, once for each verdict, whether anybody waits or not. */
import { setImmediate } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { Lock } from '../../src/gate/lock.ts';
import { judge } from '../../src/gate/verdict.ts';
import type { EventSubject } from '../../src/kubernetes/events.ts';
import { KubernetesError } from '../../src/kubernetes/requests.ts';
import { startStaleEvents } from '../../src/locks/stale-events.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { limits } from '../support/limits.ts';
import { testLog } from '../support/log.ts';
import { revision } from '../support/revisions.ts';

const STALE_AFTER_SECONDS = 900;

function world(t: Test) {
  const clock = fakeClock();
  const logs = testLog();
  const locks = new Map<string, Lock>();
  const entries = new Map<string, EventSubject>();
  const written: string[] = [];
  const failure = { error: undefined as Error | undefined };
  const keys: (string | undefined)[] = [];
  let onRecord = () => {};
  const staleEvents = startStaleEvents({
    locks: () => [...locks.values()],
    judge: (lock) => judge(lock, limits(STALE_AFTER_SECONDS), clock.date()),
    subjectFor: ({ uid }) => entries.get(uid),
    events: {
      async record({ kind, name }, { type, reason, message, once }) {
        if (failure.error) throw failure.error;
        onRecord();
        keys.push(once);
        written.push(`${kind} ${name}: ${type} ${reason} ${message}`);
      },
    },
    clock,
    random: () => 1,
    log: logs.log,
  });
  t.teardown(() => staleEvents.stop());

  async function turns(): Promise<void> {
    for (let turn = 0; turn < 10; turn += 1) await setImmediate();
  }

  return {
    clock,
    logs,
    locks,
    entries,
    failure,
    keys,
    staleEvents,
    put(name: string, changes: Partial<Lock> = {}): void {
      const release = { driver: 'secrets', namespace: 'prod', name } as const;
      const written = { createdAt: clock.date(), release, uid: `uid-of-${name}` };
      locks.set(name, { revision: revision(6, 'pending-upgrade', written), holder: undefined, ...changes });
      staleEvents.wake();
    },
    /** Has it end while it tells the next one. */
    held: () => ({
      stopAtFirst: () =>
        new Promise<void>((resolve) => {
          onRecord = () => void staleEvents.stop().then(resolve);
        }),
    }),
    wake: async () => {
      staleEvents.wake();
      await turns();
    },
    /** What is told while so much time passes. */
    async pass(ms: number): Promise<string[]> {
      await turns();
      clock.advance(ms);
      await turns();
      return written.splice(0);
    },
  };
}

const RUNNER = {
  user: 'runner',
  pod: { namespace: 'ci', name: 'runner-7f9c', uid: 'pod-1' },
  podKind: 'job',
} as const;

t.test('a lock that expires is told of at that moment, on its record and its ReleaseLock', async (t) => {
  const { put, pass, entries, wake } = world(t);
  put('api', { isListed: true });
  entries.set('uid-of-api', { kind: 'ReleaseLock', namespace: 'prod', name: 'api', uid: 'of-the-lock' });
  t.same([...(await pass(600_000)), ...(await pass(299_999))], []);
  const said =
    'Warning Stale revision 6 (pending-upgrade, holder unknown) of release api is stale: no sign of life for 15m, ' +
    'and 15m are enough. To clear it: kubectl delete rlock api -n prod';
  t.same(await pass(1), [`Secret sh.helm.release.v1.api.v6: ${said}`, `ReleaseLock api: ${said}`]);
  await wake();
  t.same(await pass(600_000), [], 'once');
});

t.test('without ReleaseLocks it is the record that is to be deleted', async (t) => {
  const { put, pass } = world(t);
  put('api');
  t.match(await pass(900_000), [
    /To clear it: kubectl delete secret sh\.helm\.release\.v1\.api\.v6 -n prod$/,
  ]);
});

t.test('a death is told of, and so is each time that a lock is stale anew', async (t) => {
  const { put, pass, clock, keys, locks } = world(t);
  const death = { how: 'is gone', provenAt: clock.date() - 60_000 };
  put('api', { holder: RUNNER, death });
  t.match(await pass(0), [
    /\(pending-upgrade, runner in pod ci\/runner-7f9c\) of release api is stale: its holder, pod ci\/runner-7f9c, is gone\./,
  ]);
  put('api');
  t.same(await pass(0), [], 'it was not dead after all');
  t.match(await pass(900_000), [/no sign of life/]);
  const { revision: silent } = locks.get('api') as Lock;
  put('api', { revision: { ...silent, lastWriteAt: clock.date() } });
  t.same(await pass(0), [], 'it was written again');
  t.match(await pass(900_000), [/no sign of life/]);
  t.equal(new Set(keys).size, 3, 'each by a key of its own, which is the same for all replicas');
});

t.test('a ReleaseLock that comes late is told of when it is there', async (t) => {
  const { put, pass, entries, wake } = world(t);
  put('api');
  t.match(await pass(900_000), [/^Secret /]);
  entries.set('uid-of-api', { kind: 'ReleaseLock', namespace: 'prod', name: 'api', uid: 'of-the-lock' });
  await wake();
  t.match(await pass(0), [/^ReleaseLock api: Warning Stale /]);
});

t.test('what fails is tried again; what is refused is said in the log, once', async (t) => {
  const { put, pass, failure, logs, wake } = world(t);
  put('api');
  for (const error of [new Error('no answer'), new KubernetesError('POST', 429, 'later')]) {
    failure.error = error;
    t.same(await pass(900_000), []);
    t.match(logs.lines.at(-1), { msg: 'it could not be told that locks are stale', reason: String(error) });
  }
  failure.error = undefined;
  t.match(await pass(30_000), [/^Secret /]);

  put('web');
  failure.error = new KubernetesError('POST', 403, 'the namespace is being terminated');
  t.same(await pass(900_000), []);
  t.match(logs.lines.at(-1), { msg: 'no Event could be recorded', name: 'sh.helm.release.v1.web.v6' });
  const { length } = logs.lines;
  await wake();
  t.same(await pass(60_000), []);
  t.equal(logs.lines.length, length, 'and not again');
});

t.test('many are told of in rounds, and none of those that ended meanwhile', async (t) => {
  const { put, pass, locks } = world(t);
  for (let index = 0; index < 50; index += 1) put(`release-${index}`);
  t.equal((await pass(900_000)).length, 20);
  t.equal((await pass(999)).length, 0, 'not at once');
  t.equal((await pass(1)).length, 20);
  locks.delete('release-49');
  t.equal((await pass(1_000)).length, 9);
});

t.test('at the end, what is being told is told, and nothing after it', async (t) => {
  const { put, pass, clock, held } = world(t);
  put('api');
  put('web');
  await pass(0);
  const end = held();
  clock.advance(900_000);
  await end.stopAtFirst();
  t.equal((await pass(0)).length, 1);
});

t.test('nothing is told after the end', async (t) => {
  const { put, pass, staleEvents } = world(t);
  put('api');
  await pass(0);
  await staleEvents.stop();
  t.same(await pass(900_000), []);
});
