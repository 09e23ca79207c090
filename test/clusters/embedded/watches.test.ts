/** Of watches, what a real API server does only in its own time: bookmarks, and what it has forgotten. */
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

t.test('bookmarks come as often as they are wanted', async (t) => {
  const { admin } = await startCluster(t, { bookmarkSeconds: 0.02 });
  await admin.create(SECRETS, secret('one'));
  const path = `${SECRETS}?watch=1&allowWatchBookmarks=true&resourceVersion=${await versionOf(admin)}`;
  const bookmark = await firstMatch(admin.watch(path, { headers: METADATA_ONLY }), { type: 'BOOKMARK' });
  t.same(bookmark?.object, {
    kind: 'PartialObjectMetadata',
    apiVersion: 'meta.k8s.io/v1',
    metadata: { resourceVersion: await versionOf(admin) },
  });
  const whole = await firstMatch(admin.watch(path), { type: 'BOOKMARK' });
  t.match(whole?.object, { kind: 'Secret', apiVersion: 'v1' });
  const headers = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
  const table = await firstMatch(admin.watch(path, { headers }), { type: 'BOOKMARK' });
  t.match(table?.object, { kind: 'Table', rows: [] });
});

t.test('watches are counted', async (t) => {
  const { cluster, admin } = await startCluster(t);
  await admin.create(SECRETS, secret('one'));
  const events = admin.watch(`${SECRETS}?watch=1&timeoutSeconds=1`);
  t.same(await next(events, 1), ['ADDED one']);
  t.equal(cluster.openWatches(), 1);
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
