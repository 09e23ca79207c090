/** What a watch tells, and in which order. */
import t from 'tap';
import type { ApiClient, WatchEvent } from '../client.ts';
import { CONFIG_MAPS, fails, firstMatch, SECRETS, secret, startCluster } from './fixture.ts';

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
  const { body } = await admin.request('DELETE', `${SECRETS}/one`);
  t.equal(body.kind, 'Status');
  const events = admin.watch(`${SECRETS}?watch=1&resourceVersion=${from}`);
  t.same(await next(events, 3), ['ADDED one', 'MODIFIED one', 'DELETED one']);
  await admin.create(CONFIG_MAPS, { metadata: { name: 'other-resource' } });
  await admin.create('/api/v1/namespaces/default/secrets', secret('other-namespace'));
  await admin.create(SECRETS, secret('two'));
  t.same(await next(events, 1), ['ADDED two']);
  await events.return(undefined);
});

t.test('without a version, first the current state', async (t) => {
  const { admin } = await startCluster(t);
  await admin.create(SECRETS, secret('one'));
  await admin.create(SECRETS, secret('two'));
  for (const version of ['', '&resourceVersion=0']) {
    const events = admin.watch(`${SECRETS}?watch=true&fieldSelector=metadata.name%3Done${version}`);
    t.same(await next(events, 1), ['ADDED one']);
    await admin.patch(`${SECRETS}/one`, { metadata: { labels: { a: `b${version.length}` } } });
    t.same(await next(events, 1), ['MODIFIED one']);
    await events.return(undefined);
  }
});

t.test('the current state ends with a bookmark, if bookmarks are wanted', async (t) => {
  const { admin } = await startCluster(t);
  for (const name of ['one', 'two']) await admin.create(SECRETS, secret(name));
  const last = await versionOf(admin);
  for (const query of [
    'allowWatchBookmarks=true',
    'allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan',
  ]) {
    const events = admin.watch(`${SECRETS}?watch=1&${query}`);
    t.same(new Set(await next(events, 2)), new Set(['ADDED one', 'ADDED two']));
    const { value } = await events.next();
    t.match(value, {
      type: 'BOOKMARK',
      object: {
        kind: 'Secret',
        apiVersion: 'v1',
        metadata: { annotations: { 'k8s.io/initial-events-end': 'true' } },
      },
    });
    t.ok(Number(value?.object.metadata.resourceVersion) >= Number(last));
    await events.return(undefined);
  }
  const metadataOnly = admin.watch(`${SECRETS}?watch=1&allowWatchBookmarks=true`, { headers: METADATA_ONLY });
  const bookmark = await firstMatch(metadataOnly, { type: 'BOOKMARK' });
  t.match(bookmark?.object, { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1' });
  t.same(Object.keys(bookmark?.object.metadata ?? {}).sort(), ['annotations', 'resourceVersion']);
  await fails(t, admin.request('GET', `${SECRETS}?watch=1&sendInitialEvents=true`), {
    code: 422,
    reason: 'Invalid',
    message:
      'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan',
  });
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

t.test('metadata only', async (t) => {
  const { admin } = await startCluster(t);
  const { metadata } = await admin.create(SECRETS, secret('one', { data: { a: 'YQ==' } }));
  const events = admin.watch(`${SECRETS}?watch=1`, { headers: METADATA_ONLY });
  t.same((await events.next()).value, {
    type: 'ADDED',
    object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata },
  });
  await events.return(undefined);
});

t.test('a watch ends after timeoutSeconds', async (t) => {
  const { admin } = await startCluster(t);
  const events = admin.watch(`${SECRETS}?watch=1&timeoutSeconds=1`);
  t.match(await events.next(), { done: true });
});
