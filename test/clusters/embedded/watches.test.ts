/** Watches deliver what a real API server delivers, and fail as it does. */
import t from 'tap';
import type { ApiClient, WatchEvent } from '../client.ts';
import { fails, firstMatch, SECRETS, secret, startCluster } from './fixture.ts';

const METADATA_ONLY = { accept: 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1' };

/** The next events of a watch, as type and name. */
async function next(events: AsyncGenerator<WatchEvent>, count: number): Promise<string[]> {
  const seen: string[] = [];
  while (seen.length < count) {
    const { value } = await events.next();
    seen.push(`${value?.type} ${value?.object.metadata.name}`);
  }
  return seen;
}

async function versionOf(client: ApiClient): Promise<string> {
  const { body } = await client.request('GET', SECRETS);
  return body.metadata.resourceVersion;
}

t.test('from a version on, everything that happened since', async (t) => {
  const { admin } = await startCluster(t);
  const from = await versionOf(admin);
  await admin.create(SECRETS, secret('one'));
  await admin.patch(`${SECRETS}/one`, { metadata: { labels: { a: 'b' } } });
  await admin.remove(`${SECRETS}/one`);
  const events = admin.watch(`${SECRETS}?watch=1&resourceVersion=${from}`);
  t.same(await next(events, 3), ['ADDED one', 'MODIFIED one', 'DELETED one']);
  await admin.create('/api/v1/namespaces/prod/configmaps', { metadata: { name: 'other-resource' } });
  await admin.create('/api/v1/namespaces/default/secrets', secret('other-namespace'));
  await admin.create(SECRETS, secret('two'));
  t.same(await next(events, 1), ['ADDED two']);
  await events.return(undefined);
});

t.test('without a version, first the current state', async (t) => {
  const { cluster, admin } = await startCluster(t);
  await admin.create(SECRETS, secret('one'));
  await admin.create(SECRETS, secret('two'));
  const events = admin.watch(`${SECRETS}?watch=true&fieldSelector=metadata.name%3Done`);
  t.same(await next(events, 1), ['ADDED one']);
  t.equal(cluster.openWatches(), 1);
  await admin.remove(`${SECRETS}/one`);
  t.same(await next(events, 1), ['DELETED one']);
  await events.return(undefined);
});

t.test('DELETED is sent for an object that stops matching, with its last matching state', async (t) => {
  const { admin } = await startCluster(t);
  const from = await versionOf(admin);
  const events = admin.watch(`${SECRETS}?watch=1&resourceVersion=${from}&labelSelector=status%3Dpending`);
  const label = (status: string) => admin.patch(`${SECRETS}/one`, { metadata: { labels: { status } } });
  await admin.create(SECRETS, secret('one'));
  await label('pending');
  t.same(await next(events, 1), ['ADDED one'], 'it starts matching');
  const done = await label('done');
  const { value } = await events.next();
  t.match(value, {
    type: 'DELETED',
    object: { metadata: { labels: { status: 'pending' }, resourceVersion: done.metadata.resourceVersion } },
  });
  await admin.get(`${SECRETS}/one`);
  await label('other');
  await admin.remove(`${SECRETS}/one`);
  await admin.create(SECRETS, { metadata: { name: 'two', labels: { status: 'pending' } } });
  t.same(await next(events, 1), ['ADDED two'], 'nothing is said of what matched neither before nor after');
  await events.return(undefined);
});

t.test('metadata only, bookmarks as well', async (t) => {
  const { admin } = await startCluster(t, { bookmarkSeconds: 0.02 });
  await admin.create(SECRETS, secret('one', { data: { a: 'YQ==' } }));
  const path = `${SECRETS}?watch=1&allowWatchBookmarks=true`;
  const events = admin.watch(path, { headers: METADATA_ONLY });
  const { value } = await events.next();
  t.same(Object.keys(value?.object ?? {}), ['kind', 'apiVersion', 'metadata']);
  const bookmark = await firstMatch(events, { type: 'BOOKMARK' });
  t.same(bookmark?.object, {
    kind: 'PartialObjectMetadata',
    apiVersion: 'meta.k8s.io/v1',
    metadata: { resourceVersion: await versionOf(admin), creationTimestamp: null },
  });
  const whole = await firstMatch(admin.watch(path), { type: 'BOOKMARK' });
  t.match(whole?.object, { kind: 'Secret', apiVersion: 'v1' });
  const table = await firstMatch(
    admin.watch(path, { headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' } }),
    { type: 'BOOKMARK' },
  );
  t.match(table?.object, { kind: 'Table', rows: [] });
});

t.test('a watch ends after timeoutSeconds', async (t) => {
  const { cluster, admin } = await startCluster(t);
  const events = admin.watch(`${SECRETS}?watch=1&timeoutSeconds=1`);
  t.match(await events.next(), { done: true });
  t.equal(cluster.openWatches(), 0);
});

t.test('versions that are forgotten', async (t) => {
  const { cluster, admin } = await startCluster(t);
  const from = await versionOf(admin);
  for (const name of ['one', 'two']) await admin.create(SECRETS, secret(name));
  const { body: page } = await admin.request<{ metadata: { continue: string } }>('GET', `${SECRETS}?limit=1`);
  await admin.create(SECRETS, secret('three'));
  cluster.faults.compact();

  await t.test('a watch gets an ERROR with 410, then ends', async (t) => {
    const events = admin.watch(`${SECRETS}?watch=1&resourceVersion=${from}`);
    const { value } = await events.next();
    t.match(value, {
      type: 'ERROR',
      object: {
        kind: 'Status',
        code: 410,
        reason: 'Expired',
        message: /^too old resource version: \d+ \(\d+\)$/,
      },
    });
    t.match(await events.next(), { done: true });
  });

  await t.test('a continued list gets 410', async (t) => {
    const late = admin.request('GET', `${SECRETS}?limit=1&continue=${page.metadata.continue}`);
    await fails(t, late, { code: 410, reason: 'Expired', message: /continue parameter is too old/ });
  });

  await t.test('a watch from the current version goes on', async (t) => {
    const events = admin.watch(`${SECRETS}?watch=1&resourceVersion=${await versionOf(admin)}`);
    await admin.create(SECRETS, secret('four'));
    t.same(await next(events, 1), ['ADDED four']);
    await events.return(undefined);
  });

  await t.test('old changes are forgotten by themselves, so that memory is bounded', async (t) => {
    const old = await versionOf(admin);
    cluster.seed(
      Array.from({ length: 5_000 }, (_, index) => ({
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: `s${index}`, namespace: 'prod' },
      })),
    );
    t.match(await admin.watch(`${SECRETS}?watch=1&resourceVersion=${old}`).next(), {
      value: { type: 'ERROR' },
    });
  });
});

t.test('watch lists are refused as an older server does, so that clients fall back', async (t) => {
  const { admin } = await startCluster(t);
  const refused = admin.request(
    'GET',
    `${SECRETS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan`,
  );
  await fails(t, refused, {
    code: 422,
    reason: 'Invalid',
    message: /sendInitialEvents is forbidden for watch/,
  });
  await t.rejects(admin.watch(`${SECRETS}?watch=1&sendInitialEvents=true`).next(), /422/);
});
