/** The list-watch: what it delivers, and how it comes back from everything that can happen to it. */
import { KubeConfig } from '@kubernetes/client-node';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/clock.ts';
import { createKubernetesClient } from '../../src/kubernetes/client.ts';
import { connect } from '../../src/kubernetes/connection.ts';
import { createReleaseLockStore } from '../../src/kubernetes/release-locks.ts';
import { createRequests } from '../../src/kubernetes/requests.ts';
import { startListWatch } from '../../src/kubernetes/watch.ts';
import { startEmbeddedCluster } from '../clusters/embedded/cluster.ts';
import { startMeddling } from '../support/clearing.ts';
import { testLog } from '../support/log.ts';
import { record } from '../support/records.ts';
import { until } from '../support/until.ts';

const SECRETS = '/api/v1/namespaces/prod/secrets';

async function follow(t: Test, options: { bookmarkSeconds?: number } = {}) {
  const cluster = await startEmbeddedCluster(options);
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromFile(await cluster.kubeconfig({ user: { username: 'lockkeeper' } }));
  const connection = connect(kubeConfig, { clock: systemClock });
  const logs = testLog();
  const seen: string[] = [];
  const arrivals = new Map<string, () => void>();
  const waits: number[] = [];
  let passed = 0;

  function arrive(what: string): void {
    seen.push(what);
    arrivals.get(what)?.();
  }

  const watch = startListWatch({
    client: createKubernetesClient(createRequests({ connection, pool: 'requests' })),
    resource: 'secrets',
    labelSelector: 'owner=helm,status=pending-upgrade',
    onList: (items) => arrive(`LIST ${items.map(({ name }) => shortName(name)).join(' ')}`.trim()),
    onEvent: (type, item) => arrive(`${type} ${shortName(item.name)}`),
    clock: {
      ...systemClock,
      now: () => systemClock.now() + passed,
      after: (ms, callback) => {
        waits.push(ms);
        return systemClock.after(ms, callback);
      },
    },
    random: () => 0.5,
    log: logs.log,
  });
  t.teardown(async () => {
    await watch.stop();
    await connection.close();
    await cluster.stop();
  });

  return {
    cluster,
    admin,
    watch,
    logs,
    seen,
    waits,
    /** Puts its clock forward. */
    letTimePass(milliseconds: number) {
      passed += milliseconds;
    },
    /** Resolves when this was delivered, past or to come. */
    async delivered(what: string): Promise<void> {
      const { promise, resolve } = Promise.withResolvers<void>();
      arrivals.set(what, resolve);
      if (seen.includes(what)) resolve();
      await promise;
    },
    create: (release: string, revision: number) =>
      admin.create(SECRETS, record(release, revision, 'pending-upgrade')),
    lists: () =>
      cluster.traffic.countRequests(({ verb, userAgent }) => verb === 'list' && userAgent === 'lockkeeper'),
    /** Resolves at the next watch request. */
    watching: () =>
      new Promise<string>((resolve) => {
        const stop = cluster.faults.failRequests(({ userAgent, query }) => {
          if (userAgent === 'lockkeeper' && query.has('watch')) {
            stop();
            resolve(query.toString());
          }
          return undefined;
        });
      }),
  };
}

function shortName(name: string | undefined): string {
  return name?.replace('sh.helm.release.v1.', '') ?? '';
}

t.test('a list, then every change', async (t) => {
  const { delivered, create, admin, seen, watch, logs } = await follow(t);
  t.equal(watch.lastEventAt(), undefined, 'nothing was heard yet');
  await delivered('LIST');
  const listed = watch.lastEventAt() ?? 0;
  t.match(await logs.line('listed'), { resource: 'secrets', found: 0 });
  await create('api', 2);
  await delivered('ADDED api.v2');
  t.ok((watch.lastEventAt() ?? 0) > listed, 'the time of the last event moves on');
  await admin.patch(`${SECRETS}/sh.helm.release.v1.api.v2`, {
    metadata: { annotations: { hook: 'started' } },
  });
  await delivered('MODIFIED api.v2');
  await admin.patch(`${SECRETS}/sh.helm.release.v1.api.v2`, { metadata: { labels: { status: 'deployed' } } });
  await delivered('DELETED api.v2');
  t.same(seen, ['LIST', 'ADDED api.v2', 'MODIFIED api.v2', 'DELETED api.v2']);
});

t.test('it asks for bookmarks, and for an end after 5 to 10 minutes', async (t) => {
  const { watching } = await follow(t);
  const query = new URLSearchParams(await watching());
  t.equal(query.get('allowWatchBookmarks'), 'true');
  t.equal(query.get('timeoutSeconds'), '450');
});

t.test('a watch that is cut goes on where it was, without a list', async (t) => {
  const { cluster, delivered, create, lists, watching } = await follow(t);
  const first = watching();
  await delivered('LIST');
  await first;
  await create('api', 2);
  await delivered('ADDED api.v2');
  const second = watching();
  cluster.faults.cutWatches();
  await second;
  await create('web', 5);
  await delivered('ADDED web.v5');
  t.equal(lists(), 1);
});

t.test('bookmarks keep the resourceVersion young: others may write what they like', async (t) => {
  const { cluster, admin, delivered, watching, lists, watch } = await follow(t, { bookmarkSeconds: 0.02 });
  const first = watching();
  await delivered('LIST');
  const before = new URLSearchParams(await first).get('resourceVersion');
  await admin.create(SECRETS, record('other', 1, 'deployed'));
  const heard = watch.lastEventAt() ?? 0;
  while ((watch.lastEventAt() ?? 0) === heard) await new Promise((resolve) => setImmediate(resolve));
  const second = watching();
  cluster.faults.cutWatches();
  const after = new URLSearchParams(await second).get('resourceVersion');
  t.ok(Number(after) > Number(before), `from ${before} to ${after} by a bookmark alone`);
  t.equal(lists(), 1);
});

t.test('410 Gone: it lists anew, and misses nothing', async (t) => {
  const { cluster, delivered, create, lists, watching } = await follow(t);
  const first = watching();
  await delivered('LIST');
  await first;
  cluster.faults.silenceWatches(true);
  await create('api', 2);
  cluster.faults.compact();
  cluster.faults.silenceWatches(false);
  cluster.faults.cutWatches();
  await delivered('LIST api.v2');
  t.equal(lists(), 2);
  await create('web', 5);
  await delivered('ADDED web.v5');
});

t.test('an API server that goes away and returns', async (t) => {
  const { cluster, delivered, create, logs } = await follow(t);
  await delivered('LIST');
  await cluster.faults.goAway();
  t.match(await logs.line('the watch was lost, trying again', ({ failures }) => failures === 2), {
    resource: 'secrets',
  });
  await cluster.faults.comeBack();
  await create('api', 2);
  await delivered('ADDED api.v2');
});

t.test('before the first list, too', async (t) => {
  const { cluster, delivered, logs, watch } = await follow(t);
  const mend = cluster.faults.failRequests(({ userAgent }) =>
    userAgent === 'lockkeeper' ? { status: 403 } : undefined,
  );
  cluster.faults.cutWatches();
  t.match(await logs.line('the watch was lost, trying again'), { level: 40, reason: /403/ });
  mend();
  await delivered('LIST');
  t.type(watch.lastEventAt(), 'number');
});

t.test('the waits between tries grow from 0.1 s to 5 s, half of each by chance', async (t) => {
  const { cluster, logs, waits, letTimePass, delivered, create, watching } = await follow(t);
  await delivered('LIST');
  waits.length = 0;
  const mend = cluster.faults.failRequests(({ userAgent }) =>
    userAgent === 'lockkeeper' ? { status: 403 } : undefined,
  );
  cluster.faults.cutWatches();
  await logs.line('the watch was lost, trying again', ({ failures }) => failures === 4);
  const again = watching();
  mend();
  await again;
  await create('api', 2);
  await delivered('ADDED api.v2');
  t.same(waits.slice(0, 4), [75, 150, 300, 600], 'random() is 0.5 here');
  const next = watching();
  cluster.faults.cutWatches();
  await next;
  t.same(waits.slice(4), [1_200], 'an event alone does not make it begin anew');
  letTimePass(5_000);
  await create('web', 5);
  await delivered('ADDED web.v5');
  waits.length = 0;
  cluster.faults.cutWatches();
  await watching();
  t.same(waits, [75], 'but one of a watch that has lasted does');
});

t.test('it stops in the middle of a wait, and of a list', async (t) => {
  const lost = await follow(t);
  await lost.delivered('LIST');
  await lost.cluster.faults.goAway();
  await lost.logs.line('the watch was lost, trying again');
  await lost.watch.stop();
  t.same(lost.seen, ['LIST']);

  const listing = await follow(t);
  listing.cluster.faults.failRequests(({ userAgent }) =>
    userAgent === 'lockkeeper' ? { hang: true } : undefined,
  );
  await listing.watch.stop();
  t.notOk(listing.logs.messages().includes('the watch was lost, trying again'), 'which is no loss');
});

t.test('what may be missing is missed once in words, and looked for rarely', async (t) => {
  const { cluster, connection } = await startMeddling(t);
  const logs = testLog();
  const waits: number[] = [];
  const due: (() => void)[] = [];
  const told: string[] = [];
  let status = 404;
  const mend = cluster.faults.failRequests(({ path }) =>
    path.includes('releaselocks') ? { status } : undefined,
  );
  const requests = createRequests({ connection, pool: 'requests' });
  const watch = startListWatch({
    client: createReleaseLockStore(requests),
    resource: 'releaselocks',
    onList: (items) => told.push(`LIST ${items.length}`),
    onEvent: (type, { metadata, spec }) => told.push(`${type} ${metadata.name} ${spec?.revision}`),
    onMissing: () => told.push('MISSING'),
    clock: {
      ...systemClock,
      after(ms, callback) {
        waits.push(ms);
        due.push(callback);
        return () => {};
      },
    },
    random: () => 0.5,
    log: logs.log,
  });
  t.teardown(() => watch.stop());
  const isSo = (holds: () => boolean) =>
    until(
      () => new Promise<boolean>((resolve) => setImmediate(() => resolve(holds()))),
      (found) => found,
    );
  const tellsOf = (count: number) => isSo(() => told.length >= count);
  const again = async () => {
    await isSo(() => due.length > 0);
    due.shift()?.();
  };
  await tellsOf(1);
  await again();
  await tellsOf(2);
  status = 403;
  await again();
  await tellsOf(3);
  t.same(told, ['MISSING', 'MISSING', 'MISSING']);
  const said = logs.lines.filter(({ level }) => level >= 40);
  t.match(said, [
    { msg: 'there is none, going on without', resource: 'releaselocks', reason: /404/ },
    { msg: 'there is none, going on without', resource: 'releaselocks', reason: /403/ },
  ]);
  t.equal(said.length, 2, 'each reason once');
  t.same(waits.slice(0, 2), [22_500, 22_500]);
  mend();
  await again();
  await tellsOf(4);
  const admin = await cluster.client();
  const path = '/apis/lockkeeper.dev/v1alpha1/namespaces/prod/releaselocks';
  await admin.create(path, { metadata: { name: 'api' }, spec: { revision: 6 } });
  await tellsOf(5);
  t.same(told.slice(3), ['LIST 0', 'ADDED api 6'], 'whole objects are told');
});
