/** `wait` and `run` beside a lock that nobody will end: with Lockkeeper, without it, and with too few rights. */
import t, { type Test } from 'tap';
import { startEmbeddedCluster } from '../clusters/embedded/cluster.ts';
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import { lockkeeperOn } from '../e2e/world.ts';
import { helmRecord, jsonOf, MINUTE, pathOf } from '../support/clearing.ts';
import { clusterWithRights, type Rule, roleFor } from '../support/rights.ts';
import { doorOf, fail, HOLDER, judged, RELEASE_LOCKS, releaseLock } from './door.ts';
import { CHART, type CliWorld, cliWorld, hookOf } from './world.ts';

const SEE_LOCKS: Rule = {
  apiGroups: ['lockkeeper.dev'],
  resources: ['releaselocks'],
  verbs: ['list', 'watch'],
};
const SEE_RECORDS: Rule = {
  apiGroups: [''],
  resources: ['secrets', 'configmaps'],
  verbs: ['get', 'list', 'watch'],
};

const EXPIRED = { verdict: 'expired', reason: 'no sign of life since 03:00, and 15m are enough' } as const;

async function bare(t: Test): Promise<CliWorld> {
  const cluster = await startEmbeddedCluster({ without: ['releaselocks'] });
  t.teardown(() => cluster.stop());
  return cliWorld(t, '3.17.3', cluster);
}

/** Revision 5 of prod/api is deployed, and 6 is pending since so many minutes. */
async function locked({ admin, cluster }: CliWorld, minutes: number, json?: string): Promise<StoredObject> {
  await admin.create(pathOf('secrets'), helmRecord(5, 'deployed'));
  const record = await admin.create(
    pathOf('secrets'),
    helmRecord(6, 'pending-upgrade', json === undefined ? {} : { json }),
  );
  await cluster.letTimePass(minutes * MINUTE);
  return record;
}

/** A write of somebody who is not Helm wakes who waits, and is no sign of life. */
function stir({ admin }: CliWorld, text: string): Promise<unknown> {
  return admin.patch(`${pathOf('secrets', 6)}?fieldManager=somebody`, {
    metadata: { annotations: { stirred: text } },
  });
}

function descriptionOf({ data, kind, ...rest }: StoredObject): string {
  const { info } = JSON.parse(jsonOf({ data, kind, ...rest })) as { info: { description: string } };
  return info.description;
}

t.test(
  'Lockkeeper is there: run waits while Helm may be at work, clears when it is not, and deploys',
  async (t) => {
    const { cluster } = await clusterWithRights(t);
    await lockkeeperOn(t, cluster, { config: { staleAfterSeconds: 4 } });
    const w = await cliWorld(t, '3.17.3', cluster);
    t.equal((await w.helm('install', 'api', CHART).done).code, 0);
    const hook = hookOf(w);
    const upgrade = w.helm('upgrade', 'api', CHART, '--set', 'hook.pre=true');
    await hook;
    upgrade.kill('SIGKILL');
    await upgrade.done;
    const user = { username: 'bob' };
    const { code, stderr, stdout } = await w.cli(['run', '--', 'helm', 'upgrade', 'api', CHART], { user });
    t.equal(code, 0, stderr);
    t.match(stdout, 'STATUS: deployed');
    t.match(
      stderr,
      /^lockkeeper: cleared a stale lock: revision 2 \(pending-upgrade, \S+, alice\) of release prod\/api is marked as failed, in the name of bob\. Cause: no sign of life /m,
    );
    t.same(await w.history(), ['1 superseded', '2 failed', '3 deployed']);
    t.match((await w.helm('history', 'api').done).stdout, /Cleared by bob at \S+, was pending-upgrade/);
  },
);

t.test(
  'Lockkeeper is there: a lock that turns stale meanwhile is cleared, and what it keeps is kept',
  async (t) => {
    const w = await cliWorld(t);
    const record = await locked(w, 1);
    const { creationTimestamp } = record.metadata;
    await releaseLock(w, record, { reason: 'created a moment ago' });
    let mayGo = false;
    const lockkeeper = await doorOf(t, w, async () => {
      if (!mayGo)
        return { allowed: false, status: { code: 409, message: 'It counts as live: last written 3s ago.' } };
      await fail(w);
      return { allowed: true };
    });
    const waiting = await w.start(['wait', 'api']);
    await waiting.says(
      /waiting: release prod\/api is locked by .*, live: created a moment ago\. .* ask system:serviceaccount:ci:runner in pod ci\/runner-7f9c\n/,
    );
    t.equal(lockkeeper.reviews.length, 0, 'a live lock is left alone');

    await judged(w, 'ending', 'its pod is gone; it is cleared at 03:00:15', creationTimestamp);
    await waiting.says(/, ending: its pod is gone; it is cleared at 03:00:15\. Wait: it ends by itself\n/);
    await judged(w, 'parked', 'for a while', creationTimestamp);
    await waiting.says(
      /, parked: for a while\. Wait: this version of lockkeeper does not know that verdict\n/,
    );
    t.equal(lockkeeper.reviews.length, 0);

    await judged(w, EXPIRED.verdict, EXPIRED.reason, creationTimestamp);
    await waiting.says(
      'the stale lock of release prod/api was not cleared. Lockkeeper says: It counts as live: last written 3s ago.\n',
    );
    t.same(await w.history(), ['5 deployed', '6 pending-upgrade'], 'Lockkeeper has the last word');

    mayGo = true;
    await judged(w, 'dead-holder', 'its holder, pod ci/runner-7f9c, is gone', creationTimestamp);
    const { code, stderr } = await waiting.done;
    t.equal(code, 0, stderr);
    t.match(
      stderr,
      /^lockkeeper: cleared a stale lock: revision 6 \(pending-upgrade, \S+, system:serviceaccount:ci:runner in pod ci\/runner-7f9c\) of release prod\/api is marked as failed, in the name of alice\. Cause: its holder, pod ci\/runner-7f9c, is gone$/m,
    );
    t.same(await w.history(), ['5 deployed', '6 failed']);
  },
);

t.test('what nobody but a person may clear is left alone', async (t) => {
  const w = await cliWorld(t);
  const record = await locked(w, 16);
  const lockkeeper = await doorOf(t, w, () => ({ allowed: true }));
  const look = ['wait', 'api', '--timeout', '0'];
  for (const [what, fields, words] of [
    [
      'a holder of that kind',
      { holder: { ...HOLDER, podKind: 'job', neverAutoClear: true } },
      /nobody but a person clear it\. To clear it: lockkeeper clear api -n prod\n/,
    ],
    [
      'a mark',
      { annotations: { 'lockkeeper.dev/force': 'true' } },
      /somebody has marked it, and is about to clear it by force/,
    ],
  ] as const) {
    await releaseLock(w, record, { ...EXPIRED, ...fields });
    t.match(await w.call(look), { code: 3, stderr: words }, what);
    t.equal(lockkeeper.reviews.length, 0, what);
    await w.admin.remove(`${RELEASE_LOCKS}/api`);
    (lockkeeper.bodies as object[]).length = 0;
  }
  await releaseLock(w, record, EXPIRED);
  t.match(await w.call([...look, '--no-clear-stale']), {
    code: 3,
    stderr: /, expired: no sign of life .*\. It is stale\. To clear it: lockkeeper clear api -n prod\n$/,
  });
  t.equal(lockkeeper.reviews.length, 0, '--no-clear-stale');
  t.same(await w.history(), ['5 deployed', '6 pending-upgrade']);
});

t.test('ReleaseLocks of a Lockkeeper that is not there any more', async (t) => {
  const w = await cliWorld(t);
  await releaseLock(w, await locked(w, 16), EXPIRED);
  t.match(await w.call(['wait', 'api', '--timeout', '0']), {
    code: 0,
    stderr: /cleared a stale lock: revision 6/,
  });
  t.match(
    descriptionOf(await w.admin.get(pathOf('secrets', 6))),
    /^Cleared by alice at .*: no sign of life for 16m/,
  );
});

t.test('no Lockkeeper: age alone makes a lock stale, also while somebody waits', async (t) => {
  const w = await bare(t);
  await locked(w, 5);
  const args = ['wait', 'api', '--stale-after', '10m'];
  t.match(await w.call([...args, '--timeout', '0']), { code: 3, stderr: /, live: created 5m/ });
  t.same(await w.history(), ['5 deployed', '6 pending-upgrade']);
  const waiting = await w.start(args);
  const patient = await w.start([...args, '--no-clear-stale']);
  await Promise.all([waiting.says('waiting: '), patient.says('waiting: ')]);
  await w.cluster.letTimePass(6 * MINUTE);
  await stir(w, 'now');
  const { code, stderr } = await waiting.done;
  t.equal(code, 0, stderr);
  t.match(
    stderr,
    /^lockkeeper: cleared a stale lock: revision 6 \(pending-upgrade, 11m\S*, holder unknown\) of release prod\/api is marked as failed, in the name of alice\. Cause: no sign of life for 11m/m,
  );
  t.match(
    descriptionOf(await w.admin.get(pathOf('secrets', 6))),
    /^Cleared by alice at .*: no sign of life for 11m.*; it was in the way of lockkeeper wait$/,
  );
  t.match(await patient.done, { code: 0 }, 'free for the other one, too');
  t.notMatch((await patient.done).stderr, 'cleared a stale lock');
});

t.test('no Lockkeeper: what Helm writes meanwhile is safe', async (t) => {
  const w = await bare(t);
  await locked(w, 16);
  const { faults } = w.cluster as Awaited<ReturnType<typeof startEmbeddedCluster>>;
  // Right before the record is replaced, its Helm ends well.
  const end = faults.failRequests(({ method, userAgent }) => {
    if (method !== 'PUT' || userAgent !== 'lockkeeper') return undefined;
    end();
    return { until: w.admin.replace(pathOf('secrets', 6), helmRecord(6, 'deployed')) };
  });
  const { code, stderr } = await w.call(['wait', 'api', '--timeout', '0']);
  t.equal(code, 0);
  t.notMatch(stderr, 'cleared a stale lock');
  t.same(await w.history(), ['5 deployed', '6 deployed']);
});

t.test('no Lockkeeper: a record that cannot be edited is told once, and waited for', async (t) => {
  const w = await bare(t);
  await locked(w, 16, '{}');
  const waiting = await w.start(['wait', 'api']);
  await waiting.says(
    /revision 6 of release prod\/api cannot be marked as failed: it has no info\. Nothing was changed\. To remove its record as it is: lockkeeper clear api -n prod --strategy delete\n/,
  );
  await waiting.says('waiting: ');
  await fail(w);
  const { code, stderr } = await waiting.done;
  t.equal(code, 0);
  t.equal(stderr.split('cannot be marked').length, 2);
});

t.test('without the right to clear: it is named, and the wait goes on', async (t) => {
  const { cluster, grant } = await clusterWithRights(t);
  const w = await cliWorld(t, '3.17.3', cluster);
  await grant(roleFor('viewer', 'prod', [SEE_LOCKS, SEE_RECORDS]));
  await releaseLock(w, await locked(w, 16), EXPIRED);
  const waiting = await w.start(['wait', 'api'], { user: { username: 'viewer' } });
  await waiting.says(
    /you may not clear the lock of release prod\/api: that takes the right to delete releaselocks\.lockkeeper\.dev in namespace prod, which the role edit usually has\n/,
  );
  await waiting.says('waiting: ');
  await fail(w);
  t.match(await waiting.done, { code: 0 });
});

t.test(
  'without the right to see ReleaseLocks: age alone does not count, since Lockkeeper may know better',
  async (t) => {
    const { cluster, grant } = await clusterWithRights(t);
    const w = await cliWorld(t, '3.17.3', cluster);
    const write: Rule = { apiGroups: [''], resources: ['secrets'], verbs: ['update'] };
    await grant(roleFor('reader', 'prod', [SEE_RECORDS, write]));
    await locked(w, 16);
    t.match(await w.call(['wait', 'api', '--timeout', '0'], { user: { username: 'reader' } }), {
      code: 3,
      stderr:
        /you may not list releaselocks\.lockkeeper\.dev in namespace prod: .*\n.*is left alone: whether Lockkeeper says so cannot be seen without the right to list releaselocks\.lockkeeper\.dev in namespace prod, which the role view usually has\. To clear it: lockkeeper clear api -n prod\n/,
    });
    t.same(await w.history(), ['5 deployed', '6 pending-upgrade']);
  },
);

t.test(
  'no Lockkeeper, and the rights of somebody who only deploys: discovery tells that there is none',
  async (t) => {
    const cluster = await startEmbeddedCluster({
      without: ['releaselocks'],
      authorize: ({ user, group }) => user.username !== 'deployer' || group === '',
    });
    t.teardown(() => cluster.stop());
    const w = await cliWorld(t, '3.17.3', cluster);
    await locked(w, 16);
    const { code, stderr } = await w.call(['wait', 'api', '--timeout', '0'], {
      user: { username: 'deployer' },
    });
    t.equal(code, 0, stderr);
    t.match(stderr, /Lockkeeper is not installed in this cluster: .*\n.*cleared a stale lock: revision 6/);
  },
);
