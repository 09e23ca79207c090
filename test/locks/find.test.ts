/** Where the locks are: read live, wherever the watch says that it is worth a look. */
import t, { type Test } from 'tap';
import type { Client } from '../../src/gate/lock.ts';
import { DRIVERS, type Driver, type Release } from '../../src/helm/release.ts';
import { createKubernetesClient } from '../../src/kubernetes/client.ts';
import { createRequests } from '../../src/kubernetes/requests.ts';
import { createLockFinder, type NewestReader } from '../../src/locks/find.ts';
import { createRevisionReader } from '../../src/locks/newest-revision.ts';
import { failure, never, pathOf, startMeddling } from '../support/clearing.ts';
import { record } from '../support/records.ts';
import { revision } from '../support/revisions.ts';

/** The finder on the embedded cluster, and what the watch would say. */
async function startFinding(t: Test, drivers: readonly Driver[] = DRIVERS) {
  const meddling = await startMeddling(t);
  const { connection, cluster } = meddling;
  const suspects: Release[] = [];
  const holders = new Map<string, Client>();
  /** The status in the payload of each revision, where it is not as the label says. */
  const payloads = new Map<number, string>();
  const payloadsRead: number[] = [];
  const finder = createLockFinder({
    drivers,
    reader: createRevisionReader(createKubernetesClient(createRequests({ connection, pool: 'errands' }))),
    suspects: () => suspects,
    holders: { lockOf: (revision) => ({ revision, holder: holders.get(revision.uid) }) },
    statusInPayload: async ({ number }) => {
      payloadsRead.push(number);
      return payloads.get(number);
    },
  });
  return {
    ...meddling,
    payloads,
    payloadsRead,
    finder,
    holders,
    /** Stores revisions of a release, and has the watch suspect it. */
    seed(
      name: string,
      statuses: Record<number, string>,
      { namespace = 'prod', driver = 'secrets' as Driver } = {},
    ) {
      const revisions = Object.entries(statuses);
      cluster.seed(
        revisions.map(([number, status]) => record(name, Number(number), status, { namespace, driver })),
      );
      suspects.push({ driver, namespace, name });
    },
    suspects,
  };
}

type Finding = Awaited<ReturnType<typeof startFinding>>;

/** The locks that are listed, as `namespace/name:revision`. */
async function listed({ finder }: Pick<Finding, 'finder'>, namespace?: string): Promise<string[]> {
  const locks = await finder.list(namespace, never);
  return locks.map(({ revision: { release, number } }) => `${release.namespace}/${release.name}:${number}`);
}

t.test('a lock whose label says that it has ended', async (t) => {
  const { finder, seed, payloads, payloadsRead } = await startFinding(t);
  seed('api', { 3: 'superseded', 4: 'deployed' });
  const target = { namespace: 'prod', name: 'api' };
  t.equal(await finder.findInPayload(target, never), undefined, 'its payload cannot be read');
  payloads.set(4, 'deployed');
  t.equal(await finder.findInPayload(target, never), undefined, 'its payload says the same');
  payloads.set(4, 'pending-upgrade');
  t.strictSame(payloadsRead.splice(0), [4, 4], 'the newest one, once for each question');
  t.match(await finder.findInPayload(target, never), {
    lock: { revision: { number: 4, status: 'pending-upgrade' } },
    revisions: [
      { number: 4, status: 'pending-upgrade' },
      { number: 3, status: 'superseded' },
    ],
  });
  t.equal(await finder.find(target, never), undefined, 'labels alone do not tell it');
  t.strictSame(payloadsRead.splice(0), [4]);
  seed('api', { 5: 'pending-rollback' });
  t.match(await finder.findInPayload(target, never), { lock: { revision: { number: 5 } } });
  t.strictSame(payloadsRead, [], 'a label that says pending is taken at its word');
  t.equal(
    await finder.findInPayload({ namespace: 'prod', name: 'web' }, never),
    undefined,
    'no such release',
  );
});

t.test('the lock of one release', async (t) => {
  const finding = await startFinding(t);
  const { finder, seed, holders, admin } = finding;
  seed('api', { 3: 'superseded', 4: 'deployed', 5: 'pending-upgrade', 10: 'pending-rollback' });
  const { metadata } = await admin.get(pathOf('secrets', 10));
  const holder = { user: 'alice', pod: undefined };
  holders.set(metadata.uid, holder);

  const found = await finder.find({ namespace: 'prod', name: 'api' }, never);
  t.match(found?.lock, { revision: { number: 10, status: 'pending-rollback', uid: metadata.uid }, holder });
  t.same(
    found?.revisions.map(({ number }) => number),
    [10, 5, 4, 3],
    'with all revisions, newest first',
  );
  for (const [name, statuses] of [
    ['is deployed', { 1: 'deployed' }],
    ['has a pending revision below a newer one', { 5: 'pending-upgrade', 6: 'deployed' }],
    ['failed', { 1: 'failed' }],
    ['has a newest revision without a status', { 1: 'pending-install', 2: '' }],
  ] as const) {
    const release = name.replaceAll(' ', '-');
    seed(release, statuses);
    t.equal(await finder.find({ namespace: 'prod', name: release }, never), undefined, `none if it ${name}`);
  }
  t.equal(
    await finder.find({ namespace: 'prod', name: 'nobody' }, never),
    undefined,
    'none if there is none',
  );
  t.equal(
    await finder.find({ namespace: 'dev', name: 'api' }, never),
    undefined,
    'none in another namespace',
  );
});

t.test('a release is looked for in every driver, unless one is named', async (t) => {
  for (const [locked, free] of [DRIVERS, DRIVERS.toReversed()] as [Driver, Driver][]) {
    const { finder, seed } = await startFinding(t);
    seed('api', { 1: 'deployed' }, { driver: free });
    seed('api', { 2: 'pending-upgrade' }, { driver: locked });
    const target = { namespace: 'prod', name: 'api' };
    const revision = { release: { driver: locked }, number: 2 };
    t.match(await finder.find(target, never), { lock: { revision } }, `${locked} is found beside ${free}`);
    t.match(await finder.find({ ...target, driver: locked }, never), { lock: { revision } });
    t.equal(await finder.find({ ...target, driver: free }, never), undefined, 'the other is free');
  }
  const { finder, seed, count } = await startFinding(t, ['configmaps']);
  seed('api', { 1: 'pending-install' });
  t.equal(await finder.find({ namespace: 'prod', name: 'api' }, never), undefined);
  t.equal(count('list'), 1, 'a driver that is not configured is not read');
});

t.test('all locks, by namespace and name, over both drivers', async (t) => {
  const finding = await startFinding(t);
  const { seed, suspects, finder } = finding;
  seed('web', { 2: 'pending-upgrade' });
  seed('api', { 6: 'pending-upgrade', 7: 'pending-rollback' });
  seed('api', { 1: 'pending-install' }, { driver: 'configmaps' });
  seed('api', { 3: 'pending-upgrade' }, { namespace: 'prod-eu' });
  seed('api-2', { 4: 'pending-upgrade' });
  seed('cron', { 1: 'pending-install' }, { namespace: 'dev' });
  seed('shadowed', { 6: 'pending-upgrade', 7: 'deployed' });
  seed('freed-meanwhile', { 1: 'deployed' });
  suspects.push({ driver: 'secrets', namespace: 'prod', name: 'gone-meanwhile' });
  suspects.push({ driver: 'secrets', namespace: 'gone', name: 'api' });

  const prod = ['prod/api:1', 'prod/api:7', 'prod/api-2:4', 'prod/web:2'];
  t.same(await listed(finding), ['dev/cron:1', ...prod, 'prod-eu/api:3']);
  t.same(await listed(finding, 'prod'), prod, 'or those of one namespace');
  t.same(await listed(finding, 'nowhere'), []);
  const locks = await finder.list('prod', never);
  t.same(
    locks.map(({ revision: { release } }) => release.driver),
    ['configmaps', 'secrets', 'secrets', 'secrets'],
  );
});

t.test('every order of the suspects gives the same list', async (t) => {
  const finding = await startFinding(t);
  for (const name of ['c', 'a', 'b']) finding.seed(name, { 1: 'pending-install' });
  const inOrder = ['prod/a:1', 'prod/b:1', 'prod/c:1'];
  t.same(await listed(finding), inOrder);
  finding.suspects.reverse();
  t.same(await listed(finding), inOrder);
});

t.test('names that are no labels cannot be asked for, and are left out', async (t) => {
  const finding = await startFinding(t);
  const { seed, suspects, count } = finding;
  suspects.push({ driver: 'secrets', namespace: 'prod', name: 'UPPER' });
  t.same(await listed(finding), []);
  t.equal(count('list'), 0, 'there is nothing to ask');
  seed('api', { 1: 'pending-install' });
  for (const name of ['a'.repeat(64), 'UPPER', 'a,b', 'a)', '-a', 'a-', 'a b', '']) {
    suspects.push({ driver: 'secrets', namespace: 'prod', name });
  }
  t.same(await listed(finding), ['prod/api:1']);
});

t.test('what nobody suspects costs nothing', async (t) => {
  const finding = await startFinding(t);
  t.same(await listed(finding), []);
  t.equal(finding.count('list'), 0);
});

t.test('250 releases of one namespace cost 3 lists', async (t) => {
  const finding = await startFinding(t);
  for (let index = 0; index < 250; index += 1) finding.seed(`r-${1000 + index}`, { 1: 'pending-install' });
  finding.suspects.push(...finding.suspects); // the watch says nothing twice, but it would do no harm
  finding.cluster.traffic.reset();
  const locks = await listed(finding);
  t.equal(new Set(locks).size, 250);
  t.equal(locks.length, 250);
  t.equal(finding.count('list'), 3);
});

t.test('the paths stay below 8 KiB with the longest names', async (t) => {
  const finding = await startFinding(t);
  const lengths: number[] = [];
  finding.cluster.faults.failRequests(({ path, query, userAgent }) => {
    if (userAgent === 'lockkeeper') lengths.push(`${path}?${query}`.length);
    return undefined;
  });
  for (let index = 0; index < 200; index += 1) {
    finding.seed(`${'x'.repeat(50)}${100 + index}`, { 1: 'pending-install' });
  }
  t.equal((await listed(finding)).length, 200);
  t.equal(lengths.length, 2);
  t.ok(Math.max(...lengths) < 8_192, `${lengths}`);
});

t.test('two lists run at a time, over drivers and namespaces', async (t) => {
  const reads: { namespace: string; answer: PromiseWithResolvers<void> }[] = [];
  const reader: NewestReader = {
    async newest(driver, namespace, names) {
      const answer = Promise.withResolvers<void>();
      reads.push({ namespace, answer });
      await answer.promise;
      return names.map((name) => revision(1, 'pending-install', { release: { driver, namespace, name } }));
    },
  };
  const finder = createLockFinder({
    drivers: DRIVERS,
    reader: { ...reader, all: () => Promise.reject(new Error('nobody asked for one release')) },
    suspects: () => ['a', 'b', 'c'].map((namespace) => ({ driver: 'secrets', namespace, name: 'api' })),
    holders: { lockOf: (revision) => ({ revision, holder: undefined }) },
  });
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const listing = listed({ finder });
  t.same(
    reads.map(({ namespace }) => namespace),
    ['a', 'b'],
  );
  reads[0]?.answer.resolve();
  await turn();
  t.equal(reads.length, 2, 'the third waits for both');
  reads[1]?.answer.resolve();
  await turn();
  t.same(
    reads.map(({ namespace }) => namespace),
    ['a', 'b', 'c'],
  );
  reads[2]?.answer.resolve();
  t.same(await listing, ['a/api:1', 'b/api:1', 'c/api:1']);
});

t.test('a list that cannot be read is an error, not an empty list', async (t) => {
  const finding = await startFinding(t);
  finding.seed('api', { 1: 'pending-install' });
  finding.seed('api', { 1: 'pending-install' }, { namespace: 'dev' });
  const mend = finding.on('list', () => ({ status: 403 }));
  t.match(await failure(finding.finder.list(undefined, never)), { status: 403 });
  t.match(await failure(finding.finder.find({ namespace: 'prod', name: 'api' }, never)), { status: 403 });
  mend();
  const leaving = new AbortController();
  finding.once('list', () => {
    leaving.abort(new Error('left'));
    return { hang: true };
  });
  t.match(await failure(finding.finder.list('prod', leaving.signal)), { message: 'left' });
});
