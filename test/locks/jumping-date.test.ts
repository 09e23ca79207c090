/**
 * API servers whose clocks are wrong, and one that was restored: nothing that they say ends a live lock. The embedded cluster's
 * clock dates its answers, and what it stores.
 */
import t, { type Test } from 'tap';
import { startEmbeddedCluster } from '../clusters/embedded/cluster.ts';
import { askThrough } from '../e2e/webhook.ts';
import { startServiceOn } from '../support/lockkeeper.ts';
import { record } from '../support/records.ts';
import { restClient } from '../support/rest.ts';
import { serving } from '../support/serving.ts';
import { until } from '../support/until.ts';

const SECRETS = '/api/v1/namespaces/prod/secrets';
const PODS = '/api/v1/namespaces/ci/pods';
const LOCKS = '/apis/lockkeeper.dev/v1alpha1/namespaces/prod/releaselocks';
const RUNNER = 'system:serviceaccount:ci:runner';

/** Of an API server's clock, in milliseconds. */
const JUMPS = [20_000, -20_000, 1_200_000, -1_200_000];

function ordersOf(jumps: readonly number[]): number[][] {
  if (jumps.length === 0) return [[]];
  return jumps.flatMap((jump, at) => ordersOf(jumps.toSpliced(at, 1)).map((rest) => [jump, ...rest]));
}

/** @param deathGraceSeconds of real seconds: nobody turns the clock of this machine */
async function world(t: Test, deathGraceSeconds: number) {
  const cluster = await startEmbeddedCluster();
  t.teardown(() => cluster.stop());
  const admin = await cluster.client();
  for (const namespace of ['prod', 'ci']) await admin.createNamespace(namespace);
  const { service, ready, logs } = await startServiceOn(t, cluster, {
    autoClear: 'expired',
    holdSeconds: 0,
    maxWaitSeconds: 0,
    deathGraceSeconds,
  });
  await ready();
  const url = `https://127.0.0.1:${service.port}`;
  await askThrough(admin, { url });
  const way = { url, caCertificate: serving.caCertificate, cluster };
  return { cluster, admin, logs, rest: await restClient(t, way, { username: 'alice' }) };
}

type World = Awaited<ReturnType<typeof world>>;

/** A release that a pod deploys. Resolves when it is known which kind of pod that is. */
async function deployFrom({ cluster, admin }: World, release: string, annotations: object = {}) {
  const { metadata } = await admin.create(PODS, { metadata: { name: release, annotations } });
  const extra = {
    'authentication.kubernetes.io/pod-name': [release],
    'authentication.kubernetes.io/pod-uid': [metadata.uid],
  };
  const client = await cluster.client({ username: RUNNER, extra });
  await client.create(SECRETS, record(release, 1, 'pending-install'));
  await until(
    () => admin.request<{ spec?: { holder?: { podKind?: string } } }>('GET', `${LOCKS}/${release}`),
    ({ body }) => body.spec?.holder?.podKind !== undefined,
  );
}

t.test('jumps of an API server’s clock, in every order, change no verdict of a live lock', async (t) => {
  const w = await world(t, 15);
  const { cluster, admin, rest } = w;
  const bob = await cluster.client({ username: 'bob' });
  await deployFrom(w, 'job');
  await deployFrom(w, 'gateway', { 'lockkeeper.dev/runs-helm': 'false' });
  await bob.create(SECRETS, record('person', 1, 'pending-install'));
  const releases = ['job', 'gateway', 'person'];
  for (const order of ordersOf(JUMPS)) {
    for (const jump of order) {
      cluster.clock.advance(jump);
      for (const release of releases) {
        const { body } = await rest.get(`/${release}`);
        t.equal(body.verdict, 'live', `${order.map((ms) => ms / 1000)}: after ${jump / 1000} s, ${release}`);
      }
    }
  }
  for (const release of releases) {
    const rollback = await admin.request('POST', SECRETS, record(release, 2, 'pending-rollback'));
    t.equal(rollback.code, 409, 'and a rollback clears none of them');
  }
});

t.test('a jump of the clock does not shorten the grace of a pod that is gone', async (t) => {
  const w = await world(t, 3_600);
  const { cluster, admin, rest, logs } = w;
  await deployFrom(w, 'job');
  const proven = logs.line('the holder of a lock is dead');
  await admin.remove(`${PODS}/job?gracePeriodSeconds=0`);
  await proven;
  for (const jump of [20_000, 1_200_000, 7_200_000]) {
    cluster.clock.advance(jump);
    t.equal((await rest.get('/job')).body.verdict, 'ending', `${jump / 1000} s ahead`);
  }
});

t.test('a restored etcd brings a pod back: its lock is live, and is not cleared', async (t) => {
  const w = await world(t, 5);
  const { cluster, admin, rest, logs } = w;
  await deployFrom(w, 'job');
  const pod = await admin.get(`${PODS}/job`);
  const proven = logs.line('the holder of a lock is dead');
  await admin.remove(`${PODS}/job?gracePeriodSeconds=0`);
  await proven;
  cluster.seed([{ ...pod, apiVersion: 'v1', kind: 'Pod' }]);
  await logs.line('the holder of a lock that was gone is there again');
  t.match((await rest.get('/job')).body, { verdict: 'live', status: 'pending-install' });
});
