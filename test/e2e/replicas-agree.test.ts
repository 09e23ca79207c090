/** Two replicas that see one cluster: what one of them let in, the other one holds, tells of, and clears. */
import t, { type Test } from 'tap';
import type { ApiClient, ApiResponse } from '../clusters/client.ts';
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import { startCluster } from '../clusters/start.ts';
import { type Balancer, startBalancer } from '../support/balancer.ts';
import { startServiceOn } from '../support/lockkeeper.ts';
import { record } from '../support/records.ts';
import { type RestClient, restClient } from '../support/rest.ts';
import { serving } from '../support/serving.ts';
import { until } from '../support/until.ts';
import { raceOf } from './stories.ts';
import { askThrough } from './webhook.ts';
import { CHART, history, peopleOn, succeeds } from './world.ts';

const SECRETS = '/api/v1/namespaces/prod/secrets';
const PENDING = 'pending-upgrade';

async function world(t: Test) {
  const cluster = await startCluster(t);
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  const balancer = await startBalancer(t);
  const start = async () => {
    const { service, logs, ready } = await startServiceOn(t, cluster);
    await ready();
    const url = `https://127.0.0.1:${service.port}`;
    return {
      ...service,
      logs,
      rest: await restClient(t, { ...serving, cluster, url }, { username: 'alice' }),
    };
  };
  return { cluster, admin, balancer, first: await start(), second: await start() };
}

/** The API server connects anew for its next calls: each replica gets one of the next two. */
function forgetConnections(balancer: Balancer, replicas: readonly { readonly port: number }[]): void {
  for (const { port } of replicas) balancer.cut(port);
}

function create(client: ApiClient, release: string, revision: number): Promise<ApiResponse<StoredObject>> {
  return client.request('POST', SECRETS, record(release, revision, PENDING));
}

async function finish(admin: ApiClient, release: string, revision: number): Promise<void> {
  const path = `${SECRETS}/sh.helm.release.v1.${release}.v${revision}`;
  await admin.patch(path, { metadata: { labels: { status: 'deployed' } } });
}

async function untilWaiting({ get }: RestClient, release: string): Promise<void> {
  while ((await get(`/${release}`)).body.waiting !== 1);
}

t.test('deploys wait at both replicas for one lock: its end wakes both, and one goes through', async (t) => {
  const { cluster, admin, balancer, first, second } = await world(t);
  const replicas = [first, second];
  await Promise.all(replicas.map(({ port }) => balancer.add(port)));
  await askThrough(admin, balancer);
  await create(admin, 'api', 1);
  forgetConnections(balancer, replicas);
  const deploys: Promise<ApiResponse<StoredObject>>[] = [];
  const holders = new Set<number>();
  for (const username of ['bob', 'carol']) {
    const held = replicas.map(({ port, logs }) => logs.nextLine('held').then(() => port));
    deploys.push(create(await cluster.client({ username }), 'api', 2));
    holders.add(await Promise.race(held));
  }
  t.equal(holders.size, 2, 'one waits at each');
  await finish(admin, 'api', 1);
  const codes = (await Promise.all(deploys)).map(({ code }) => code);
  t.same(codes.toSorted(), [201, 409], 'both are answered, one goes through');
});

t.test('people wait at both replicas for one lock: its end wakes both', async (t) => {
  const { admin, first, second } = await world(t);
  await create(admin, 'api', 1);
  const waits = [];
  for (const { rest } of [first, second]) {
    waits.push(rest.get('/api/wait?timeout=60'));
    await untilWaiting(rest, 'api');
  }
  await finish(admin, 'api', 1);
  for (const { status } of await Promise.all(waits)) t.equal(status, 204);
});

t.test('a lock that one replica let in is cleared at the other, and whoever is held goes on', async (t) => {
  const { cluster, admin, balancer, first, second } = await world(t);
  await balancer.add(first.port);
  await askThrough(admin, balancer);
  await create(admin, 'api', 1);
  t.match((await first.rest.get('/api')).body, { revision: 1, holder: { user: 'admin' } });
  const there = await until(
    () => second.rest.get('/api'),
    ({ body }) => body.holder !== null,
  );
  t.match(there.body, { revision: 1, holder: { user: 'admin' } }, 'the other one reads whose it is');
  const held = first.logs.nextLine('held');
  const deploy = create(await cluster.client({ username: 'bob' }), 'api', 2);
  await held;
  t.equal((await second.rest.remove('/api?force=true&strategy=delete')).status, 200);
  t.equal((await deploy).code, 201);
});

t.test('two upgrades at the same moment, before two replicas: storage tells who was first', async (t) => {
  const { cluster, admin, balancer, first, second } = await world(t);
  const replicas = [first, second];
  await Promise.all(replicas.map(({ port }) => balancer.add(port)));
  await askThrough(admin, balancer);
  const people = await peopleOn(t, cluster, '4.1.4');
  await succeeds(t, people.helm(['install', 'api', CHART]), 'a first install');
  forgetConnections(balancer, replicas);
  const results = await raceOf(people);
  t.equal(results.filter(({ code }) => code === 0).length, 1, 'one wins');
  const loser = results.find(({ code }) => code !== 0);
  // A replica does not know what the other one has admitted a moment ago.
  t.match(loser?.stderr, /release: already exists|another deploy was first/);
  t.same(await history(people), ['1 superseded', '2 deployed']);
  const admitted = replicas.map(({ logs }) =>
    logs.lines.filter(
      ({ msg, release, revision }) => msg === 'admitted' && release === 'api' && revision === 2,
    ),
  );
  t.comment(`admitted by ${admitted.flat().length} of them: ${loser?.stderr}`);
});
