/** How the deaths of pods are proven: by a live read, again and again, and never by anything else. */
import { setImmediate } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { Pod } from '../../src/gate/lock.ts';
import type { ListOptions } from '../../src/kubernetes/client.ts';
import { createDeaths } from '../../src/locks/deaths.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { testLog } from '../support/log.ts';

/** The pause between two looks. */
const STEP_MS = 100;

function pod(name: string, namespace = 'ci'): Pod {
  return { namespace, name, uid: `uid-of-${namespace}-${name}` };
}

function world(t: Test, pods: Pod[]) {
  const clock = fakeClock();
  const logs = testLog();
  const ended = new Map<string, string>();
  /** What was asked of the API server, in order. */
  const asked: string[] = [];
  const cluster = { failure: undefined as Error | undefined, until: Promise.resolve(), holders: pods };
  const deaths = createDeaths({
    pods: () => cluster.holders,
    reader: {
      async howItEnded({ namespace, name, uid }) {
        asked.push(`get ${namespace}/${name}`);
        await cluster.until;
        if (cluster.failure) throw cluster.failure;
        return ended.get(uid);
      },
    },
    client: {
      async list(_resource: string, { namespace = '', fieldSelector = '' }: ListOptions) {
        asked.push(`list ${namespace} ${fieldSelector}`);
        if (cluster.failure) throw cluster.failure;
        const items = cluster.holders.filter(({ uid }) => !ended.has(uid)).map(({ uid }) => ({ uid }));
        return { items, resourceVersion: '1' };
      },
    },
    onDeath: () => asked.push('told'),
    clock,
    random: () => 1,
    log: logs.log,
  });
  t.teardown(() => deaths.stop());
  /** What is asked while so much time passes. */
  async function pass(ms: number): Promise<string[]> {
    asked.length = 0;
    await setImmediate(); // whoever is woken goes to sleep first
    for (let left = ms; left > 0; left -= STEP_MS) {
      clock.advance(Math.min(left, STEP_MS));
      await setImmediate();
    }
    return [...asked];
  }
  return { deaths, clock, logs, ended, cluster, pass };
}

t.test('a pod that holds a lock is looked at every three seconds, until it has ended', async (t) => {
  const runner = pod('runner-7f9c');
  const { deaths, clock, pass, ended, logs } = world(t, [runner]);
  t.strictSame(await pass(2_900), [], 'most deploys end before');
  t.strictSame(await pass(100), ['get ci/runner-7f9c']);
  t.equal(deaths.of(runner), undefined);
  t.strictSame(await pass(6_000), ['get ci/runner-7f9c', 'get ci/runner-7f9c']);
  ended.set(runner.uid, 'is gone');
  t.strictSame(await pass(3_000), ['get ci/runner-7f9c', 'told']);
  t.strictSame(deaths.of(runner), { how: 'is gone', provenAt: clock.now() });
  t.match(logs.lines.at(-1), { msg: 'the holder of a lock is dead', pod: 'ci/runner-7f9c', how: 'is gone' });
  ended.delete(runner.uid);
  t.strictSame(await pass(60_000), [], 'it is not looked at again');
  t.match(deaths.of(runner), { how: 'is gone' }, 'nor does it come back');
});

t.test('a death is read again before anything rests on it', async (t) => {
  const runner = pod('runner-7f9c');
  const { deaths, pass, ended, logs, cluster } = world(t, [runner]);
  const never = new AbortController().signal;
  ended.set(runner.uid, 'is gone');
  await pass(3_000);
  t.equal(await deaths.confirm(runner, never), true);
  t.match(deaths.of(runner), { how: 'is gone' });
  cluster.failure = new Error('pods is forbidden');
  await t.rejects(deaths.confirm(runner, never), { message: 'pods is forbidden' });
  t.match(deaths.of(runner), { how: 'is gone' }, 'what cannot be read proves nothing');
  cluster.failure = undefined;
  ended.delete(runner.uid);
  t.equal(await deaths.confirm(runner, never), false, 'a restored etcd has it again');
  t.equal(deaths.of(runner), undefined);
  t.match(logs.lines.at(-1), {
    msg: 'the holder of a lock that was gone is there again',
    pod: 'ci/runner-7f9c',
  });
  t.strictSame(await pass(6_000), ['get ci/runner-7f9c', 'get ci/runner-7f9c'], 'it is looked at again');
});

t.test('who holds no lock is not looked at, and who begins to is', async (t) => {
  const [one, other] = [pod('one'), pod('other')];
  const { deaths, pass, cluster } = world(t, [one]);
  await pass(3_000);
  cluster.holders = [];
  t.strictSame(await pass(60_000), []);
  cluster.holders = [other, other];
  deaths.wake();
  t.strictSame(await pass(3_100), ['get ci/other'], 'one pod that holds two locks is one pod');
});

t.test('more than three pods of a namespace are a list, and then those that it leaves out', async (t) => {
  const runners = ['a', 'b', 'c', 'd'].map((name) => pod(name));
  const { deaths, pass, ended, cluster } = world(t, runners);
  const list = 'list ci status.phase!=Succeeded,status.phase!=Failed';
  t.strictSame(await pass(3_000), [list]);
  for (const name of ['b', 'd']) ended.set(pod(name).uid, 'has finished (Failed)');
  t.strictSame(await pass(3_000), [list, 'get ci/b', 'told', 'get ci/d', 'told']);
  t.match(deaths.of(pod('b')), { how: 'has finished (Failed)' });
  t.equal(deaths.of(pod('a')), undefined);
  t.strictSame(await pass(3_000), ['get ci/a', 'get ci/c'], 'two are left');
  cluster.holders = [];
});

t.test('five hundred namespaces wait for their turn, ten a second', async (t) => {
  const runners = Array.from({ length: 500 }, (_, index) => pod('runner', `team-${index}`));
  const { pass } = world(t, runners);
  await pass(3_000);
  const asked = await pass(10_000);
  t.ok(asked.length <= 101, `${asked.length} requests in 10 s`);
  const all = [...asked, ...(await pass(40_000))];
  t.equal(new Set(all).size, 500, 'each has had its turn');
});

t.test('a look that fails proves nothing, is told once, and hinders no other namespace', async (t) => {
  const [here, there] = [pod('runner', 'here'), pod('runner', 'there')];
  const { deaths, pass, ended, cluster, logs } = world(t, [here, there]);
  cluster.failure = new Error('pods is forbidden');
  const told = 'it cannot be told whether the holders of locks are alive';
  t.strictSame(await pass(3_100), ['get here/runner', 'get there/runner']);
  t.strictSame(await pass(5_000), ['get here/runner', 'get there/runner']);
  t.match(logs.lines, [
    { msg: told, namespace: 'here', reason: 'pods is forbidden' },
    { msg: told, namespace: 'there' },
  ]);
  t.equal(logs.lines.length, 2, 'each once');
  t.equal(deaths.of(here), undefined);
  cluster.failure = undefined;
  ended.set(here.uid, 'is gone');
  await pass(5_000);
  t.match(deaths.of(here), { how: 'is gone' });
  cluster.failure = new Error('pods is forbidden');
  await pass(5_000);
  t.equal(logs.lines.filter(({ namespace }) => namespace === 'there').length, 2, 'again, after it went well');
});

t.test('it stops in the middle of a look, and says nothing of that', async (t) => {
  const { deaths, pass, cluster, logs } = world(t, [pod('runner')]);
  const { promise, resolve } = Promise.withResolvers<void>();
  cluster.until = promise;
  cluster.failure = new Error('the connection was closed');
  await pass(3_000);
  const stopped = deaths.stop();
  resolve();
  await stopped;
  t.strictSame(logs.messages(), []);
});

t.test('what nobody thought of is told, and is no end', async (t) => {
  const { deaths, pass, cluster, logs } = world(t, [pod('runner')]);
  await pass(3_000);
  Object.defineProperty(cluster, 'holders', { configurable: true, get: () => undefined });
  deaths.wake();
  await pass(100);
  t.match(logs.lines.at(-1), { msg: 'the holders of locks cannot be looked at' });
  Object.defineProperty(cluster, 'holders', { value: [pod('runner')] });
  t.strictSame(await pass(3_500), ['get ci/runner']);
});
