/**
 * Reviews that no API server sent: a stranger knows the uid of a live record, and names a pod that does not exist. Whatever becomes
 * of Lockkeeper's watches meanwhile, the lock keeps its holder, at each replica.
 */
import t, { type Test } from 'tap';
import { startCluster } from '../clusters/start.ts';
import { type DeployOptions, deployReview } from '../fixtures/reviews.ts';
import { startServiceOn } from '../support/lockkeeper.ts';
import { record } from '../support/records.ts';
import { restClient } from '../support/rest.ts';
import { serving } from '../support/serving.ts';
import { until } from '../support/until.ts';
import { behindProxy } from './behind-proxy.ts';
import { askThrough } from './webhook.ts';

const SECRETS = '/api/v1/namespaces/prod/secrets';
const RECORD = `${SECRETS}/sh.helm.release.v1.api.v1`;

async function world(t: Test, replicas: number) {
  const cluster = await startCluster(t);
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  const proxy = await behindProxy(t, cluster);
  const services = [];
  for (let index = 0; index < replicas; index += 1) {
    const { service, ready, logs } = await startServiceOn(t, proxy.cluster);
    await ready();
    const url = `https://127.0.0.1:${service.port}`;
    const rest = await restClient(
      t,
      { url, caCertificate: serving.caCertificate, cluster },
      { username: 'alice' },
    );
    services.push({ url, rest, logs });
  }
  const [first] = services as [(typeof services)[number]];
  await askThrough(admin, first);
  const bob = await cluster.client({ username: 'bob' });
  return { admin, bob, services, ...proxy };
}

type Service = Awaited<ReturnType<typeof world>>['services'][number];

async function forge(
  { rest }: Service,
  options: DeployOptions,
  change: (review: ReturnType<typeof deployReview>) => void,
) {
  const pod = { name: 'not-there', uid: 'made-up' };
  const review = deployReview({ user: 'system:serviceaccount:ci:runner', pod, ...options });
  change(review);
  // So little time that nothing is held.
  return rest.request('POST', '/admission?timeout=2s', {
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(review),
  });
}

/** Every kind of forgery that carries the uid of the live record. */
async function forgeAll(service: Service, uid: string): Promise<void> {
  const forgeries: DeployOptions[] = [
    { release: 'not-there', revision: 1, uid },
    { release: 'not-there', revision: 7, uid },
    { release: 'api', revision: 1, uid },
    { release: 'api', revision: 2, uid },
    { release: 'api', revision: 1, uid, namespace: 'staging' },
    { release: 'api', revision: 1, uid, driver: 'configmaps' },
    { release: 'api', revision: 1, uid, status: 'pending-rollback' },
  ];
  for (const options of forgeries) {
    await forge(service, options, () => {});
    // The same as an end of the lock, and as its deletion.
    await forge(service, options, ({ request }) => {
      const { object } = request;
      const labels = { ...object?.metadata.labels, status: 'failed' };
      const failed = object && { ...object, metadata: { ...object.metadata, labels } };
      Object.assign(request, { operation: 'UPDATE', oldObject: object, object: failed });
    });
    await forge(service, options, ({ request }) => {
      Object.assign(request, { operation: 'DELETE', oldObject: request.object, object: null });
    });
  }
}

async function holdersAt(services: readonly Service[]) {
  const answers = await Promise.all(services.map(({ rest }) => rest.get('/api')));
  return answers.map(({ body }) => [body.holder?.user, body.holder?.pod, body.verdict]);
}

for (const replicas of [1, 2]) {
  t.test(`${replicas} replicas: a forged review with the uid of a live record changes nothing`, async (t) => {
    const { admin, bob, services, cutWatches, silenceWatches } = await world(t, replicas);
    await bob.create(SECRETS, record('api', 1, 'pending-install'));
    const { metadata } = await admin.get(RECORD);
    const held = services.map(() => ['bob', null, 'live']);
    const untilHeld = () =>
      until(
        () => holdersAt(services),
        (found) => JSON.stringify(found) === JSON.stringify(held),
      );
    await untilHeld();

    for (const service of services) await forgeAll(service, metadata.uid);
    t.same(await holdersAt(services), held, 'the watches are at work');

    const renewed = services.map(({ logs }) => logs.nextLine('the watch was lost, trying again'));
    cutWatches();
    for (const service of services) await forgeAll(service, metadata.uid);
    await Promise.all(renewed);
    t.same(await holdersAt(services), held, 'they are being renewed');

    const goOn = silenceWatches();
    cutWatches();
    for (const service of services) await forgeAll(service, metadata.uid);
    t.same(await holdersAt(services), held, 'they are silent');
    await bob.create(SECRETS, record('web', 1, 'pending-install'));
    const web = (await admin.get(`${SECRETS}/sh.helm.release.v1.web.v1`)).metadata.uid;
    for (const service of services) await forge(service, { release: 'web', revision: 1, uid: web }, () => {});
    goOn();
    await untilHeld();
    const holdersOfWeb = () =>
      Promise.all(services.map(async ({ rest }) => (await rest.get('/web')).body.holder?.user));
    await until(holdersOfWeb, (users) => users.every((user) => user === 'bob'));
    t.match((await admin.get(RECORD)).metadata.labels, { status: 'pending-install' }, 'nothing was cleared');

    const ended = await bob.request(
      'PATCH',
      RECORD,
      { metadata: { labels: { status: 'failed' } } },
      {
        headers: { 'content-type': 'application/merge-patch+json' },
      },
    );
    t.equal(ended.code, 200, 'the holder ends its own lock');
  });
}
