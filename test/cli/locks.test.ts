/** `list`, `wait` and `clear`, with Lockkeeper's ReleaseLocks and without them, as processes on a cluster. */
import t, { type Test } from 'tap';
import { type EmbeddedCluster, startEmbeddedCluster } from '../clusters/embedded/cluster.ts';
import type { FakeWebhook } from '../clusters/fake-webhook.ts';
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import { helmRecord, jsonOf, MINUTE, pathOf, releaseJson } from '../support/clearing.ts';
import { clusterWithRights, roleFor } from '../support/rights.ts';
import { doorOf, fail, HOLDER, RELEASE_LOCKS, releaseLock } from './door.ts';
import { type CliWorld, cliWorld } from './world.ts';

const UNNAMED =
  "lockkeeper: Lockkeeper is not installed in this cluster: the locks are read from Helm's records, which do not tell who holds them, nor how many wait\n";

async function bare(t: Test): Promise<CliWorld> {
  const cluster = await startEmbeddedCluster({ without: ['releaselocks'] });
  t.teardown(() => cluster.stop());
  return cliWorld(t, '3.17.3', cluster);
}

/** Revision 5 of prod/api is deployed, and 6 is pending since so many minutes. */
async function locked({ admin, cluster }: CliWorld, minutes: number): Promise<StoredObject> {
  await admin.create(pathOf('secrets'), helmRecord(5, 'deployed'));
  await admin.create(pathOf('secrets'), helmRecord(6, 'pending-upgrade'));
  await cluster.letTimePass(minutes * MINUTE);
  return admin.get(pathOf('secrets', 6));
}

t.test('list, without Lockkeeper: what the records tell, and what they do not', async (t) => {
  const w = await bare(t);
  t.match(await w.cli(['list']), {
    code: 0,
    stdout: '',
    stderr: 'lockkeeper: no release is locked in namespace prod\n',
  });
  t.match(await w.call(['list', '-A']), { stderr: 'lockkeeper: no release is locked\n' });
  await locked(w, 16);
  await w.admin.create(
    pathOf('configmaps'),
    helmRecord(1, 'pending-install', { driver: 'configmaps', name: 'web' }),
  );
  await w.admin.create(pathOf('secrets'), helmRecord(1, 'pending-install', { name: 'old' }));
  await w.admin.create(pathOf('secrets'), helmRecord(2, 'deployed', { name: 'old' }));
  const { code, stdout, stderr } = await w.call(['list']);
  t.equal(code, 0);
  t.equal(stderr, UNNAMED);
  t.match(
    stdout.split('\n'),
    [
      /^RELEASE {3}REVISION {3}STATUS {12}HOLDER {6}POD {6}AGE +VERDICT {3}WAITING$/,
      /^api {7}6 {10}pending-upgrade {3}<unknown> {3}<none> {3}16m(\ds)? {3}expired {3}<unknown>$/,
      /^web {7}1 {10}pending-install {3}<unknown> {3}<none> {3}\ds +live {6}<unknown>$/,
      '',
    ],
    'the revision that a newer one shadows is no lock',
  );
  const all = await w.call(['list', '-A', '--stale-after', '1h', '--output=json']);
  t.match(JSON.parse(all.stdout), {
    items: [
      {
        namespace: 'prod',
        release: 'api',
        revision: 6,
        status: 'pending-upgrade',
        holder: null,
        verdict: 'live',
        waiting: 0,
      },
      { release: 'web' },
    ],
  });
  t.match((await w.call(['list', '-A'])).stdout, /^NAMESPACE {3}RELEASE .*\nprod {8}api /);
  t.match(await w.call(['list', '-n=other']), {
    stdout: '',
    stderr: /no release is locked in namespace other/,
  });
  t.match(await w.call(['list', 'api']), { code: 2, stderr: /list takes no names, and was given api/ });
});

t.test('list, with ReleaseLocks: who holds them, what Lockkeeper makes of it, and who waits', async (t) => {
  const w = await cliWorld(t);
  const record = await locked(w, 1);
  await releaseLock(w, record, { verdict: 'dead-holder' });
  const { stdout, stderr } = await w.call(['list', '-A']);
  t.equal(stderr, '');
  t.match(
    stdout,
    /^prod +api +6 +pending-upgrade +system:serviceaccount:ci:runner +runner-7f9c +1m(\ds)? +dead-holder +2$/m,
  );
  const { items } = JSON.parse((await w.call(['list', '-o', 'json'])).stdout);
  t.same(items, [
    {
      namespace: 'prod',
      release: 'api',
      revision: 6,
      status: 'pending-upgrade',
      since: record.metadata.creationTimestamp,
      lastActivity: record.metadata.creationTimestamp,
      holder: HOLDER,
      verdict: 'dead-holder',
      reason: 'its holder, pod ci/runner-7f9c, is gone',
      waiting: 2,
    },
  ]);
  await w.admin.replace(pathOf('secrets', 6), helmRecord(6, 'failed'));
  t.match(
    await w.call(['list']),
    { stdout: '', stderr: /no release is locked/ },
    'the record has the last word',
  );
});

t.test('wait: at once when it is free, woken when it is, and an end when the time is up', async (t) => {
  const w = await bare(t);
  t.match(await w.call(['wait', 'api']), { code: 0, stdout: '', stderr: '' });
  await locked(w, 0);
  const late = await w.call(['wait', 'api', '--timeout=0', '-o=json']);
  t.equal(late.code, 3);
  t.match(JSON.parse(late.stdout), { free: false, lock: { release: 'api', revision: 6 } });
  t.match(
    late.stderr,
    /release prod\/api is locked by revision 6 \(pending-upgrade, \d+s, holder unknown\), live: /,
  );

  const waiting = await w.start(['wait', 'api', '-o', 'json']);
  await waiting.says('waiting: ');
  const freed = performance.now();
  await w.admin.replace(pathOf('secrets', 6), helmRecord(6, 'deployed'));
  const { code, stdout } = await waiting.done;
  t.equal(code, 0);
  t.same(JSON.parse(stdout), { free: true, lock: null });
  t.ok(performance.now() - freed < 5_000, 'not by looking every 15 seconds');
  for (const args of [['wait'], ['wait', 'api', 'web'], ['wait', 'api', '--timeout', 'soon']]) {
    t.match(await w.call(args), { code: 2, stderr: /see "lockkeeper --help"/ }, args.join(' '));
  }
});

t.test('clear, without Lockkeeper: a stale one is marked as failed, a live one is left alone', async (t) => {
  const w = await bare(t);
  t.match(await w.call(['clear', 'api']), { code: 5, stderr: /release prod\/api is not locked/ });
  await locked(w, 5);
  const live = await w.call(['clear', 'api']);
  t.equal(live.code, 4);
  t.match(
    live.stderr,
    /and that lock is live: created 5m(\ds)? ago.*Nothing was changed\. If you know that its holder is dead: lockkeeper clear api -n prod --force\n$/,
  );
  t.match(await w.call(['clear', 'api', '--dry-run']), {
    code: 4,
    stderr: /it would not be cleared: .*, live: created .*\. Its deploy may be at work: wait for it\n$/,
  });
  t.match(await w.call(['clear', 'api', '--revision', '5']), { code: 8, stderr: /not by revision 5/ });
  t.match(await w.call(['clear', 'api', '--revision', '-1']), { code: 2 });
  t.match(await w.call(['clear', 'api', '--strategy', 'hope']), {
    code: 2,
    stderr: /--strategy is "hope", but must be mark-failed or delete/,
  });
  const tried = await w.call(['clear', 'api', '--dry-run', '--stale-after=5m', '-o=json']);
  t.match(tried, {
    code: 0,
    stderr: /it would be cleared: release prod\/api is locked by .*, expired: no sign of life for 5m/,
  });
  t.match(JSON.parse(tried.stdout), {
    cleared: null,
    strategy: 'mark-failed',
    next: [],
    lock: { revision: 6 },
  });
  t.same(await w.history(), ['5 deployed', '6 pending-upgrade'], 'nothing was changed');

  const done = await w.cli(['clear', 'api', '--revision=6', '--stale-after', '5m', '--reason', 'job 4711']);
  t.equal(done.code, 0, done.stderr);
  t.equal(
    done.stdout,
    'revision 6 of release prod/api is marked as failed\nnext: helm upgrade api CHART -n prod\n  or: helm upgrade --install api CHART -n prod\n  or: helm rollback api 5 -n prod\n',
  );
  t.same(await w.history(), ['5 deployed', '6 failed']);
  const json = jsonOf(await w.admin.get(pathOf('secrets', 6)));
  t.match(json, /"Cleared by alice at \S+, was pending-upgrade: no sign of life for 5m.*; job 4711"/);
  t.match(await w.admin.list('/api/v1/namespaces/prod/events'), [{ reason: 'Cleared' }]);
});

/** A door as Lockkeeper has it: deleting a ReleaseLock clears its lock, and a live one is refused but by force. */
function door(t: Test, w: CliWorld, { isAtWork = true } = {}): Promise<FakeWebhook> {
  return doorOf(t, w, async ({ oldObject }) => {
    const { status, metadata } = oldObject as StoredObject & { status: { verdict: string } };
    const isForced = metadata.annotations?.['lockkeeper.dev/force'] === 'true';
    if (status.verdict === 'live' && !isForced) {
      return {
        allowed: false,
        status: {
          code: 409,
          message:
            'release prod/api is being deployed by ci/runner-7f9c. End it with: kubectl annotate x && kubectl delete rlock api',
        },
      };
    }
    if (isAtWork) await fail(w);
    return { allowed: true };
  });
}

t.test(
  'clear, with ReleaseLocks: Lockkeeper clears it, and refuses a live one in its own words',
  async (t) => {
    const w = await cliWorld(t);
    const record = await locked(w, 1);
    await releaseLock(w, record);
    const lockkeeper = await door(t, w);
    t.match(await w.call(['clear', 'api']), {
      code: 4,
      stdout: '',
      stderr:
        'lockkeeper: release prod/api is being deployed by ci/runner-7f9c. If you know that its holder is dead: lockkeeper clear api -n prod --force\n',
    });
    t.same(await w.history(), ['5 deployed', '6 pending-upgrade']);
    const { code, stdout } = await w.call(['clear', 'api', '--force']);
    t.equal(code, 0);
    t.match(
      stdout,
      /^revision 6 of release prod\/api is marked as failed\nnext: helm upgrade api CHART -n prod\n/,
    );
    t.same(await w.history(), ['5 deployed', '6 failed']);
    t.match(
      lockkeeper.reviews.at(-1),
      { userInfo: { username: 'alice' }, operation: 'DELETE' },
      'by who asks',
    );
    t.same(await w.admin.list(RELEASE_LOCKS), []);
  },
);

t.test('clear, with ReleaseLocks: somebody else is first', async (t) => {
  const w = await cliWorld(t);
  const changed = 'lockkeeper: the lock has changed since it was looked at. Nothing was changed\n';
  await releaseLock(w, await locked(w, 16), { verdict: 'expired' });
  await doorOf(t, w, async () => {
    await fail(w);
    return { allowed: false, status: { code: 409, message: 'revision 6 is failed now' } };
  });
  t.match(await w.call(['clear', 'api']), { code: 8, stderr: changed }, 'while Lockkeeper judges it');

  await w.admin.replace(pathOf('secrets', 6), helmRecord(6, 'pending-upgrade'));
  const { faults } = w.cluster as EmbeddedCluster;
  const end = faults.failRequests(({ method, userAgent }) => {
    if (method !== 'DELETE' || userAgent !== 'lockkeeper') return undefined;
    end();
    return { status: 404 };
  });
  t.match(await w.call(['clear', 'api']), { code: 8, stderr: changed }, 'its ReleaseLock is gone');
});

t.test('clear, with ReleaseLocks: a lock that ends by itself', async (t) => {
  const w = await cliWorld(t);
  const reason = 'pod ci/runner-7f9c is gone; its lock is cleared at 03:00:15';
  await releaseLock(w, await locked(w, 1), { verdict: 'ending', reason });
  const message = 'Pod ci/runner-7f9c is gone. Lockkeeper clears this lock in 9s; just wait.';
  await doorOf(t, w, () => ({ allowed: false, status: { code: 409, message } }));
  t.match(await w.call(['list']), { stdout: / ending +2\n$/ });
  t.match(await w.call(['clear', 'api']), {
    code: 4,
    stderr: `lockkeeper: ${message} Wait: it ends by itself\n`,
  });
  t.match(await w.call(['clear', 'api', '--dry-run']), {
    code: 4,
    stderr:
      /it would not be cleared: .*, ending: pod ci\/runner-7f9c is gone; .*\. Wait: it ends by itself\n$/,
  });
});

t.test('clear, with ReleaseLocks of a Lockkeeper that is not there any more', async (t) => {
  const w = await cliWorld(t);
  const record = await locked(w, 16);
  await releaseLock(w, record, { verdict: 'expired' });
  await door(t, w, { isAtWork: false });
  t.match(await w.call(['clear', 'api']), { code: 0, stdout: /is marked as failed/ });
  t.same(await w.history(), ['5 deployed', '6 failed']);
  t.match(jsonOf(await w.admin.get(pathOf('secrets', 6))), 'Cleared by alice');
});

t.test('clear, by somebody who sees ReleaseLocks, and no record', async (t) => {
  const { cluster, grant } = await clusterWithRights(t);
  const w = await cliWorld(t, '3.17.3', cluster);
  await releaseLock(w, await locked(w, 16), { verdict: 'expired' });
  await door(t, w);
  const lockRights = [
    { apiGroups: ['lockkeeper.dev'], resources: ['releaselocks'], verbs: ['list', 'delete'] },
  ];
  await grant(roleFor('viewer', 'prod', lockRights));
  const user = { username: 'viewer' };
  t.match(await w.call(['clear', 'api', '--force'], { user }), {
    code: 7,
    stderr:
      'lockkeeper: you may not clear the lock of release prod/api: that takes the right to patch releaselocks.lockkeeper.dev in namespace prod, which the role edit usually has\n',
  });
  t.match(await w.call(['clear', 'api'], { user }), {
    code: 0,
    stdout: /next: helm upgrade api CHART -n prod\n$/,
  });
  t.same(await w.history(), ['5 deployed', '6 failed']);
});

t.test('clear --force, and --strategy delete', async (t) => {
  const w = await bare(t);
  await locked(w, 1);
  const { code, stdout } = await w.call(['clear', 'api', '--force', '--strategy', 'delete', '-o', 'json']);
  t.equal(code, 0);
  t.match(JSON.parse(stdout), {
    cleared: { release: 'api', revision: 6, verdict: 'live' },
    strategy: 'delete',
    next: ['helm upgrade api CHART -n prod'],
  });
  t.same(await w.history(), ['5 deployed']);
  await w.admin.create(pathOf('secrets'), helmRecord(6, 'pending-upgrade'));
  t.match(await w.call(['clear', 'api', '--force', '--strategy=delete']), {
    code: 0,
    stdout: /^revision 6 .* was deleted\n/,
  });
});

t.test('clear, of a record that cannot be edited', async (t) => {
  const w = await bare(t);
  await w.admin.create(pathOf('secrets'), helmRecord(6, 'pending-upgrade', { json: '{}' }));
  t.match(await w.call(['clear', 'api', '--force']), {
    code: 1,
    stderr:
      /cannot be marked as failed: it has no info\. Nothing was changed\. To remove its record as it is: lockkeeper clear api -n prod --strategy delete\n$/,
  });
});

t.test('a label that says that it has ended, and a payload that says that it has not', async (t) => {
  const w = await bare(t);
  await w.admin.create(pathOf('secrets'), helmRecord(5, 'deployed'));
  const lying = helmRecord(6, 'deployed', { json: releaseJson('pending-upgrade', 6) });
  await w.admin.create(pathOf('secrets'), lying);
  t.match(await w.call(['list']), { stdout: '' }, 'a list reads no payloads');
  t.match(await w.call(['wait', 'api', '--timeout=0']), {
    code: 3,
    stderr: /is locked by revision 6 \(pending-upgrade, /,
  });
  t.match(await w.call(['clear', 'api', '--force']), {
    code: 0,
    stdout: /^revision 6 .* is marked as failed/,
  });
  t.same(await w.history(), ['5 deployed', '6 failed']);
  t.match(await w.call(['wait', 'api', '--timeout=0']), { code: 0 });
});

t.test('a label that lies to somebody who may list records, and not read them', async (t) => {
  const { cluster, grant } = await clusterWithRights(t);
  const w = await cliWorld(t, '3.17.3', cluster);
  await w.admin.create(
    pathOf('secrets'),
    helmRecord(6, 'deployed', { json: releaseJson('pending-upgrade', 6) }),
  );
  await grant(roleFor('lister', 'prod', [{ apiGroups: [''], resources: ['secrets'], verbs: ['list'] }]));
  t.match(await w.call(['wait', 'api', '--timeout=0'], { user: { username: 'lister' } }), { code: 0 });
});

t.test('the rights that somebody lacks are named', async (t) => {
  const { cluster, grant } = await clusterWithRights(t);
  const w = await cliWorld(t, '3.17.3', cluster);
  const record = await locked(w, 1);
  await releaseLock(w, record);
  const viewer = { username: 'viewer' };
  const nobody = await w.call(['list'], { user: viewer });
  t.equal(nobody.code, 7);
  t.match(
    nobody.stderr,
    'you may not see who deploys in namespace prod: ask for the right to list and watch releaselocks.lockkeeper.dev, which the role view usually has, or secrets, in namespace prod\n',
  );
  t.match(
    nobody.stderr,
    /cannot list resource "releaselocks" in API group "lockkeeper.dev" in the namespace "prod"/,
  );
  t.match(
    (await w.call(['list', '-A'], { user: viewer })).stderr,
    'in all namespaces, or name a namespace with -n',
  );

  const seeRecords = [{ apiGroups: [''], resources: ['secrets'], verbs: ['get', 'list'] }];
  await grant(roleFor('reader', 'prod', seeRecords));
  const reader = { username: 'reader' };
  const seen = await w.call(['list'], { user: reader });
  t.match(seen, { code: 0, stdout: /api +6/ });
  t.match(
    seen.stderr,
    'you may not list releaselocks.lockkeeper.dev in namespace prod: the locks are read from',
  );
  t.match(
    seen.stderr,
    'you may not list configmaps in namespace prod: releases that Helm keeps there are not seen',
  );
  const waiting = await w.start(['wait', 'api', '--timeout', '1s'], { user: reader });
  t.match(
    await waiting.says('looking every 15 seconds'),
    /because the watch was refused: .*cannot watch resource "secrets"/,
  );
  t.equal((await waiting.done).code, 3);
  t.match(await w.call(['clear', 'api', '--force'], { user: reader }), {
    code: 7,
    stderr:
      /you may not clear the lock of release prod\/api: that takes the right to update secrets in namespace prod, which the role edit usually has\n$/,
  });

  const seeLocks = [{ apiGroups: ['lockkeeper.dev'], resources: ['releaselocks'], verbs: ['list', 'watch'] }];
  await grant(roleFor('viewer', 'prod', seeLocks));
  t.match(await w.call(['list'], { user: viewer }), { code: 0, stdout: /api +6 .* live +2\n$/, stderr: '' });
  const watching = await w.start(['wait', 'api'], { user: viewer });
  await watching.says('waiting: ');
  await w.admin.remove(`${RELEASE_LOCKS}/api`);
  t.equal((await watching.done).code, 0, 'woken by the ReleaseLock alone');
});

t.test('no rights, and no Lockkeeper', async (t) => {
  const authorize = ({ user }: { user: { username: string } }) => user.username !== 'nobody';
  const cluster = await startEmbeddedCluster({ without: ['releaselocks'], authorize });
  t.teardown(() => cluster.stop());
  const w = await cliWorld(t, '3.17.3', cluster);
  const { code, stderr } = await w.call(['list'], { user: { username: 'nobody' } });
  t.equal(code, 7);
  t.match(stderr, /^lockkeeper: you may not see who deploys .*\n {2}GET .*secrets/);
});

t.test('a cluster that does not answer', async (t) => {
  const w = await bare(t);
  w.writes.stop();
  await (w.cluster as EmbeddedCluster).faults.goAway();
  t.match(await w.call(['run', '--', 'helm', 'rollback', 'api', '1']), { code: 6, stderr: /ECONNREFUSED/ });
  t.match(await w.call(['list']), { code: 6, stdout: '', stderr: /^lockkeeper: GET \/a.*ECONNREFUSED/ });
});

t.test('serve is the service, with its own words and exit codes', async (t) => {
  const w = await bare(t);
  t.match(await w.cli(['serve'], { env: { LOCKKEEPER_PORT: 'none' } }), {
    code: 78,
    stderr: /^lockkeeper cannot start:\n {2}LOCKKEEPER_PORT is "none"/,
  });
  const env = {
    LOCKKEEPER_HOST: '127.0.0.1',
    LOCKKEEPER_PORT: '0',
    LOCKKEEPER_METRICS_PORT: '0',
    LOCKKEEPER_DRAIN_SECONDS: '0',
  };
  const running = await w.start(['serve'], { env });
  await running.says('"listening"');
  running.kill('SIGTERM');
  t.equal((await running.done).code, 0);
});
