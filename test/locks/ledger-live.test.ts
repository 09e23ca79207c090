/** ReleaseLocks by the whole service, on a cluster that counts what it is asked, and fails on demand. */
import t, { type Test } from 'tap';
import type { EmbeddedCluster, EmbeddedClusterOptions } from '../clusters/embedded/cluster.ts';
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import { deployReview } from '../fixtures/reviews.ts';
import { freePort } from '../support/free-port.ts';
import { LOCKKEEPER, startLockkeeper, startServiceOn } from '../support/lockkeeper.ts';
import { record } from '../support/records.ts';
import { restClient } from '../support/rest.ts';
import { serving } from '../support/serving.ts';
import { until } from '../support/until.ts';

const SECRETS = '/api/v1/namespaces/prod/secrets';

const BOB = { username: 'bob' };

async function world(t: Test, cluster?: EmbeddedClusterOptions) {
  const lockkeeper = await startLockkeeper(t, cluster && { cluster });
  const bob = await lockkeeper.cluster.client(BOB);
  return { ...lockkeeper, bob, rest: await restClient(t, lockkeeper, BOB) };
}

interface Entry extends StoredObject {
  readonly status?: { readonly waiting?: number };
}

/** The requests of Lockkeeper about ReleaseLocks, as `create 500`. */
function asked({ traffic }: EmbeddedCluster): string[] {
  return traffic
    .requests()
    .filter(({ userAgent, pattern }) => userAgent === 'lockkeeper' && pattern.includes('releaselocks'))
    .map(({ verb, pattern, count }) => `${verb}${pattern.endsWith('/status') ? ' status' : ''} ${count}`)
    .toSorted();
}

function names(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `release-${index}`);
}

t.test('an entry is there milliseconds after its deploy, and costs three writes', async (t) => {
  const { cluster, bob, logs } = await world(t);
  await logs.line('listed', ({ resource }) => resource === 'releaselocks');
  const judged = cluster.waitForWrite(({ object }) => object.kind === 'ReleaseLock' && 'status' in object);
  const { metadata } = await bob.create(SECRETS, record('api', 1, 'pending-install'));
  t.match((await judged).object, {
    metadata: { name: 'api', namespace: 'prod' },
    spec: { revision: 1, recordUID: metadata.uid, holder: { user: 'bob' } },
    status: { verdict: 'live', waiting: 0 },
  });
  const gone = cluster.waitForWrite(
    ({ object, verb }) => object.kind === 'ReleaseLock' && verb === 'DELETED',
  );
  await bob.patch(`${SECRETS}/${metadata.name}`, { metadata: { labels: { status: 'deployed' } } });
  await gone;
  t.same(asked(cluster), ['create 1', 'delete 1', 'list 1', 'update status 1', 'watch 1']);
});

t.test(
  '500 locks that are found at the start have their entries in seconds, and cost two writes each',
  async (t) => {
    const { cluster, service } = await world(t);
    await service.close();
    cluster.seed(names(500).map((name) => record(name, 1, 'pending-install')));
    cluster.traffic.reset();
    const started = performance.now();
    const judged = new Set<string>();
    const all = cluster.waitForWrite(({ object }) => {
      if (object.kind === 'ReleaseLock' && 'status' in object) judged.add(object.metadata.name);
      return judged.size === 500;
    });
    await startServiceOn(t, cluster);
    await all;
    t.comment(`500 locks had their entries after ${Math.round(performance.now() - started)} ms`);
    t.same(asked(cluster), ['create 500', 'list 1', 'update status 500', 'watch 1']);
    const lists = cluster.traffic
      .requests()
      .filter(
        ({ userAgent, verb, pattern }) =>
          userAgent === 'lockkeeper' && verb === 'list' && /secrets$/.test(pattern),
      );
    const count = lists.reduce((sum, list) => sum + list.count, 0);
    t.ok(count >= 6, 'one list of what is pending, and one for each 100 names to see what is newest');
    t.ok(count < 50, 'and not one for each lock');
  },
);

t.test('given two replicas, then each lock has one entry, and nobody writes in vain', async (t) => {
  const { cluster, bob, rest } = await world(t);
  const second = await startServiceOn(t, cluster);
  await second.ready();
  await second.logs.line('listed', ({ resource }) => resource === 'releaselocks');
  cluster.traffic.reset();
  const waitingIs = (count: number) =>
    cluster.waitForWrite(({ object }) => (object as Entry).status?.waiting === count);
  const judged = waitingIs(0);
  await bob.create(SECRETS, record('api', 1, 'pending-install'));
  await judged;
  const waits = new AbortController();
  for (let count = 1; count <= 3; count += 1) {
    const counted = waitingIs(count);
    rest.get('/api/wait?timeout=60', { signal: waits.signal }).catch(() => {});
    await counted;
  }
  const nobody = waitingIs(0);
  waits.abort();
  await nobody;
  const writes = asked(cluster).filter((request) => !request.startsWith('watch'));
  t.same(writes, ['create 1', 'update status 5']);
});

t.test(
  'an entry that the watch tells no lock for is not taken away while the record says that it is one',
  async (t) => {
    const { cluster, bob, logs } = await world(t);
    await logs.line('listed', ({ resource }) => resource === 'releaselocks');
    const looked = Promise.withResolvers<void>();
    const mend = cluster.faults.failRequests(({ path, query, userAgent }) => {
      if (userAgent !== 'lockkeeper') return undefined;
      if (path === SECRETS && query.get('labelSelector')?.includes('name=')) looked.resolve();
      return path === '/api/v1/secrets' ? { status: 503 } : undefined; // its watch
    });
    cluster.faults.cutWatches();
    cluster.seed([record('api', 1, 'pending-install')]);
    const { metadata } = (await bob.list(SECRETS))[0] as StoredObject;
    const otherReplica = await cluster.client(LOCKKEEPER);
    const made = await otherReplica.create('/apis/lockkeeper.dev/v1alpha1/namespaces/prod/releaselocks', {
      apiVersion: 'lockkeeper.dev/v1alpha1',
      kind: 'ReleaseLock',
      metadata: { name: 'api' },
      spec: {
        driver: 'secrets',
        revision: 1,
        status: 'pending-install',
        recordUID: metadata.uid,
        since: metadata.creationTimestamp,
      },
    });
    await looked.promise;
    const judged = cluster.waitForWrite(({ object }) => object.kind === 'ReleaseLock');
    mend();
    t.match(await judged, {
      object: { metadata: { uid: made.metadata.uid }, status: { verdict: 'live' } },
    });
  },
);

t.test('given no definition, then that is said once, and nothing else suffers', async (t) => {
  const { cluster, bob, logs, rest } = await world(t, { without: ['releaselocks'] });
  t.match(await logs.line('there is none, going on without'), { resource: 'releaselocks', reason: /404/ });
  await bob.create(SECRETS, record('api', 1, 'pending-install'));
  t.match((await rest.get('/api')).body, { holder: { user: 'bob' } });
  t.match(await rest.remove('/api?force=true&strategy=delete'), { status: 200 });
  t.same(asked(cluster), ['get 1'], 'of what is no resource, nothing can be listed');
  const complaints = logs.lines.filter(({ level, path }) => level >= 40 && path !== '/admission');
  t.same(
    complaints.map(({ msg }) => msg),
    ['there is none, going on without'],
  );
});

t.test('a definition that goes away takes nothing else with it', async (t) => {
  const { cluster, bob, logs, rest } = await world(t);
  await logs.line('listed', ({ resource }) => resource === 'releaselocks');
  cluster.faults.failRequests(({ path }) => (path.includes('releaselocks') ? { status: 404 } : undefined));
  cluster.faults.cutWatches();
  await logs.line('there is none, going on without');
  await bob.create(SECRETS, record('api', 1, 'pending-install'));
  t.match((await rest.get('/api')).body, { holder: { user: 'bob' } });
});

t.test('given a replica that has no list yet, then a forged review names nobody', async (t) => {
  const { cluster, bob, service } = await world(t);
  await service.close();
  cluster.seed([record('api', 7, 'pending-upgrade')]);
  const { metadata } = (await bob.list(SECRETS))[0] as StoredObject;
  const mend = cluster.faults.failRequests(({ userAgent, query }) =>
    userAgent === 'lockkeeper' && query.get('labelSelector')?.includes('status')
      ? { status: 503 }
      : undefined,
  );
  const second = await startServiceOn(t, cluster);
  const url = `https://127.0.0.1:${second.service.port}`;
  const rest = await restClient(t, { url, caCertificate: serving.caCertificate, cluster }, BOB);
  const answer = await rest.request('POST', '/admission?timeout=10s', {
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(deployReview({ revision: 7, uid: metadata.uid, user: 'mallory' })),
  });
  t.equal(answer.status, 200);
  mend();
  await second.ready();
  t.match((await rest.get('/api')).body, { revision: 7, holder: null });
});

t.test(
  'given that nobody can read which locks there are, then nothing is taken away, and none are counted',
  async (t) => {
    const { cluster, bob, service } = await world(t);
    await bob.create(SECRETS, record('api', 1, 'pending-install'));
    await service.close();
    const mend = cluster.faults.failRequests(({ userAgent, query }) =>
      userAgent === 'lockkeeper' && query.get('labelSelector')?.includes('name=')
        ? { status: 403 }
        : undefined,
    );
    const second = await startServiceOn(t, cluster, { metricsPort: await freePort() });
    const metrics = async () =>
      (await fetch(`http://127.0.0.1:${second.service.metricsPort}/metrics`)).text();
    t.match(await second.logs.line('it could not be read which locks there are'), { reason: /403/ });
    t.notMatch(await metrics(), /lockkeeper_locks\{/);
    mend();
    t.match(
      await until(metrics, (text) => /lockkeeper_locks\{/.test(text)),
      'lockkeeper_locks{verdict="live"} 1',
    );
  },
);
