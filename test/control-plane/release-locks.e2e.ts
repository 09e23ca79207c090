/** ReleaseLocks on a real cluster: they tell of each deploy, come and go with it, and cannot be made to lie. */
import t, { type Test } from 'tap';
import type { ApiClient } from '../clusters/client.ts';
import type { Cluster, User } from '../clusters/cluster.ts';
import { emptyControlPlane } from '../clusters/start.ts';
import { lockkeeperOn } from '../e2e/world.ts';
import { deployReview } from '../fixtures/reviews.ts';
import { LOCKKEEPER, startServiceOn } from '../support/lockkeeper.ts';
import { record } from '../support/records.ts';
import { restClient } from '../support/rest.ts';
import { serving } from '../support/serving.ts';
import { until } from '../support/until.ts';
import { helmBinary } from '../tools/binaries.ts';
import { helmEnvironment, run } from '../tools/run.ts';
import { crew } from './crew.ts';

const RUNNER: User = {
  username: 'system:serviceaccount:ci:runner',
  extra: { 'authentication.kubernetes.io/pod-name': ['runner-7f9c'] },
};

const BOB: User = { username: 'bob' };

const HELM = { version: '4.1.4', driver: 'secret' } as const;

const LOCKS = '/apis/lockkeeper.dev/v1alpha1/namespaces/prod/releaselocks';
const SECRETS = '/api/v1/namespaces/prod/secrets';

/** The entry of a release once it is as wanted. */
function entryOf(admin: ApiClient, release: string, isSo: (entry: Entry) => boolean = () => true) {
  const read = () => admin.request<Entry>('GET', `${LOCKS}/${release}`);
  return until(read, ({ code, body }) => code === 200 && isSo(body)).then(({ body }) => body);
}

interface Entry {
  readonly metadata: { readonly uid: string };
  readonly spec: { readonly revision: number; readonly status: string; readonly holder?: object };
  readonly status?: { readonly verdict?: string; readonly waiting?: number };
}

function noEntries(admin: ApiClient) {
  return until(
    () => admin.list(LOCKS),
    (entries) => entries.length === 0,
  );
}

function recordPath(release: string, revision: number): string {
  return `${SECRETS}/sh.helm.release.v1.${release}.v${revision}`;
}

function end(admin: ApiClient, release: string, revision: number) {
  return admin.patch(recordPath(release, revision), { metadata: { labels: { status: 'deployed' } } });
}

async function kubectlOf(cluster: Cluster) {
  const { kubectl } = await helmBinary(HELM.version);
  const kubeconfig = await cluster.kubeconfig({ user: BOB, namespace: 'prod' });
  const env = helmEnvironment({ folder: cluster.folder, kubeconfig });
  return (command: string) => run(kubectl, command.split(' '), { env });
}

t.test('Helm deploys from a pod: whoever looks with kubectl sees it, and waits for its end', async (t) => {
  const { cluster, admin, helm, writes } = await crew(t, [RUNNER]);
  await admin.create('/apis/rbac.authorization.k8s.io/v1/namespaces/prod/rolebindings', {
    metadata: { name: 'runner' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ kind: 'ServiceAccount', namespace: 'ci', name: 'runner' }],
  });
  await lockkeeperOn(t, cluster);
  const kubectl = await kubectlOf(cluster);
  const runner = (command: string) => helm(HELM, command, RUNNER.username);
  const inHook = () => writes.next(({ object }) => object.kind === 'Job');

  const hook = inHook();
  const install = runner('install api CHART --set hooks={pre-install},outcome=Never');
  const { object } = await hook;
  const { metadata: pod } = await admin.get('/api/v1/namespaces/ci/pods/runner-7f9c');
  const { metadata: stored } = await admin.get(recordPath('api', 1));
  t.match(await entryOf(admin, 'api', ({ status }) => status?.verdict === 'live'), {
    metadata: { ownerReferences: [{ kind: 'Secret', name: stored.name, uid: stored.uid }] },
    spec: {
      driver: 'secrets',
      revision: 1,
      status: 'pending-install',
      recordUID: stored.uid,
      since: stored.creationTimestamp,
      holder: { user: RUNNER.username, pod: { namespace: 'ci', name: pod.name, uid: pod.uid } },
    },
    status: { verdict: 'live', reason: /^(created|last written) at \S+Z, stale at /, waiting: 0 },
  });
  const { stdout } = await kubectl('get rlock -A');
  t.match(
    stdout.replaceAll(/ +/g, ' '),
    /^NAMESPACE NAME REVISION STATUS HOLDER POD AGE VERDICT WAITING\nprod api 1 pending-install system:serviceaccount:ci:runner runner-7f9c \d+s live 0\n$/,
  );
  const held = helm(HELM, 'rollback api 1', 'bob');
  await entryOf(admin, 'api', ({ status }) => status?.waiting === 1);
  held.kill('SIGKILL');
  await held.done;
  const waited = kubectl('wait --for=delete rlock/api --timeout=20s');
  await admin.completeJob('prod', object.metadata.name, 'Complete');
  t.match(await install.done, { code: 0 });
  t.match(await waited, { code: 0 }, 'who waits goes on');
  await noEntries(admin);

  for (const [command, code] of [
    ['upgrade api CHART --set hooks={pre-upgrade},outcome=Failed', 1],
    ['rollback api 1', 0],
    ['uninstall api', 0],
  ] as const) {
    t.match(await runner(command).done, { code }, command);
    await noEntries(admin);
    t.pass('no entry stays');
  }
});

/** Lockkeeper on a real cluster, and records as Helm would make them. */
async function world(t: Test) {
  const cluster = await emptyControlPlane(t);
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  const lockkeeper = await lockkeeperOn(t, cluster);
  return {
    ...lockkeeper,
    admin,
    bob: await cluster.client(BOB),
    rest: await restClient(t, lockkeeper, BOB),
  };
}

/** One more replica, which nobody sends reviews to. */
async function replica(t: Test, cluster: Cluster) {
  const started = await startServiceOn(t, cluster);
  const url = `https://127.0.0.1:${started.service.port}`;
  const { caCertificate } = serving;
  return { ...started, rest: await restClient(t, { url, caCertificate, cluster }, BOB) };
}

t.test('two replicas write one entry, and either goes on with it alone', async (t) => {
  const { cluster, admin, bob, rest, service } = await world(t);
  const second = await replica(t, cluster);
  await second.ready();
  await bob.create(SECRETS, record('api', 1, 'pending-install'));
  const entry = await entryOf(admin, 'api', ({ status }) => status !== undefined);
  t.match(entry.spec, { holder: { user: 'bob' } });
  await until(
    () => second.rest.get('/api'),
    ({ body }) => body.holder !== null,
  );
  const [here, there] = await Promise.all([rest.get('/api'), second.rest.get('/api')]);
  t.match(here.body, { holder: { user: 'bob', pod: null } });
  const { reason: _, ...told } = here.body;
  t.match(there.body, told, 'both tell the same, but for seconds that run');

  await service.close();
  const third = await replica(t, cluster);
  await third.ready();
  const known = await until(
    () => third.rest.get('/api'),
    ({ body }) => body.holder !== null,
  );
  t.match(known.body, { holder: { user: 'bob' } }, 'who comes later knows whose it is');
  t.equal(
    (await entryOf(admin, 'api')).metadata.uid,
    entry.metadata.uid,
    'it is the same entry all the time',
  );
  await end(admin, 'api', 1);
  await noEntries(admin);
  t.pass('and goes with the lock, although nobody is left who wrote it');
});

t.test('what nobody was there to see is put right by whoever comes next', async (t) => {
  const { cluster, admin, bob, service, removeWebhook } = await world(t);
  for (const release of ['ends', 'goes', 'stays']) {
    await bob.create(SECRETS, record(release, 1, 'pending-install'));
    await entryOf(admin, release);
  }
  await removeWebhook();
  await service.close();
  await end(admin, 'ends', 1);
  await admin.remove(recordPath('goes', 1));
  await bob.create(SECRETS, record('begins', 1, 'pending-install'));
  const { spec } = await entryOf(admin, 'stays');
  await admin.create(LOCKS, { ...planted('planted'), spec: { ...spec, recordUID: 'nobody' } });
  await admin.create(SECRETS, record('free', 1, 'deployed'));
  const { metadata } = await admin.get(recordPath('free', 1));
  await admin.create(LOCKS, { ...planted('free'), spec: { ...spec, recordUID: metadata.uid } });

  await replica(t, cluster);
  const names = async () => (await admin.list(LOCKS)).map(({ metadata: { name } }) => name);
  await until(names, (found) => String(found) === 'begins,stays');
  t.match(await entryOf(admin, 'stays'), { spec }, 'whose holder is still known');
  t.equal((await entryOf(admin, 'begins')).spec.holder, undefined, 'and nobody is made up');
});

function planted(name: string) {
  return { apiVersion: 'lockkeeper.dev/v1alpha1', kind: 'ReleaseLock', metadata: { name } };
}

t.test('an entry cannot be changed into another one, nor can nonsense be stored', async (t) => {
  const { cluster, admin, bob } = await world(t);
  await bob.create(SECRETS, record('api', 1, 'pending-install'));
  const { spec } = await entryOf(admin, 'api');
  const patch = (change: object) =>
    admin.request<{ message?: string }>('PATCH', `${LOCKS}/api`, { spec: change }, MERGE);
  for (const [change, message] of [
    [{ revision: 2 }, /a ReleaseLock tells of one revision, and never of another one/],
    [{ recordUID: 'another' }, /tells of one revision/],
    [{ since: '2020-01-01T00:00:00Z' }, /tells of one revision/],
    [{ holder: { user: 'mallory' } }, /the holder of a lock never changes/],
    [{ holder: null }, /the holder of a lock never changes/],
    [{ status: 'deployed' }, /Unsupported value: "deployed"/],
  ] as const) {
    t.match(await patch(change), { code: 422, body: { message } }, JSON.stringify(change));
  }
  for (const [name, change, message] of [
    ['x'.repeat(64), {}, /a release's name has at most 63 characters/],
    ['web', { revision: 0 }, /spec\.revision/],
    ['web', { holder: { user: 'x'.repeat(1_025) } }, /spec\.holder\.user: Too long/],
    ['web', { since: 'yesterday' }, /spec\.since/],
  ] as const) {
    const object = { ...planted(name), spec: { ...spec, ...change } };
    const { code, body } = await admin.request<{ message?: string }>('POST', LOCKS, object);
    t.match({ code, body }, { code: 422, body: { message } }, `${name.slice(0, 3)} ${message}`);
  }
  const viewer = await cluster.client(LOCKKEEPER);
  t.match(await viewer.request('GET', `${LOCKS}/api`), { code: 403 }, 'what it does not need, it may not');
});

const MERGE = { headers: { 'content-type': 'application/merge-patch+json' } };

t.test('a forged review names nobody', async (t) => {
  const { cluster, admin, bob, rest, removeWebhook, service } = await world(t);
  const forge = (to: typeof rest, release: string, uid: string) =>
    to.request('POST', '/admission?timeout=10s', {
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(deployReview({ release, revision: 1, uid, user: 'mallory' })),
    });
  const holderOf = async (to: typeof rest, release: string) => (await to.get(`/${release}`)).body.holder;

  await forge(rest, 'api', crypto.randomUUID());
  await bob.create(SECRETS, record('api', 1, 'pending-install'));
  t.match(await entryOf(admin, 'api'), { spec: { holder: { user: 'bob' } } }, 'a uid cannot be guessed');
  const { metadata } = await admin.get(recordPath('api', 1));
  await forge(rest, 'api', metadata.uid);
  t.match(await holderOf(rest, 'api'), { user: 'bob' }, 'and who is named stays');

  await removeWebhook();
  const stored = await bob.create(SECRETS, record('web', 1, 'pending-install'));
  await forge(rest, 'web', stored.metadata.uid);
  await service.close();
  const second = await replica(t, cluster);
  for (const { uid, name } of [metadata, stored.metadata]) {
    await forge(second.rest, name.split('.')[4] ?? '', uid);
  }
  await second.ready();
  await forge(second.rest, 'web', stored.metadata.uid);
  t.equal(await holderOf(second.rest, 'web'), null, 'nobody is named for a record that is stored');
  t.match(await holderOf(second.rest, 'api'), { user: 'bob' });
});
