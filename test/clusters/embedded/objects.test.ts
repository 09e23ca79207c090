/** What clients see of metadata, events, and Secrets as large as they may be. */
import t from 'tap';
import type { JsonObject, StoredObject } from '../kubernetes-object.ts';
import { fails, SECRETS, secret, startCluster } from './fixture.ts';

const metadataOnly = (kind: string) => ({
  headers: { accept: `application/json;as=${kind};g=meta.k8s.io;v=v1` },
});

t.test('metadata alone includes who set what', async (t) => {
  const { admin } = await startCluster(t);
  const { metadata } = await admin.create(SECRETS, secret('one', { data: { a: 'YQ==' } }));
  t.match(metadata.managedFields, [{ manager: 'lockkeeper-test', time: /Z$/ }]);
  const one = await admin.request('GET', `${SECRETS}/one`, undefined, metadataOnly('PartialObjectMetadata'));
  t.same(one.body, { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata });
  const { body } = await admin.request<{ items: StoredObject[] }>(
    'GET',
    SECRETS,
    undefined,
    metadataOnly('PartialObjectMetadataList'),
  );
  t.same(body.items, [one.body]);
  const events = admin.watch(`${SECRETS}?watch=1`, metadataOnly('PartialObjectMetadata'));
  t.same((await events.next()).value, { type: 'ADDED', object: one.body });
  await events.return(undefined);
});

t.test('events are found by what they are about', async (t) => {
  const { admin } = await startCluster(t);
  const path = '/api/v1/namespaces/prod/events';
  const { metadata } = await admin.create(SECRETS, secret('one'));
  const about = (uid: string, namespace = 'prod') => ({
    metadata: { generateName: 'one.' },
    involvedObject: { apiVersion: 'v1', kind: 'Secret', name: 'one', namespace, uid },
    reason: 'Released',
    type: 'Normal',
  });
  const created = await admin.create(path, about(metadata.uid));
  await admin.create(path, about('other'));
  const found = await admin.list(`${path}?fieldSelector=involvedObject.uid%3D${metadata.uid}`);
  t.match(found, [{ metadata: { name: created.metadata.name }, reason: 'Released' }]);
  const everywhere = await admin.list(`/api/v1/events?fieldSelector=involvedObject.uid=${metadata.uid}`);
  t.equal(everywhere.length, 1);

  for (const namespace of ['test', '']) {
    await fails(t, admin.request('POST', path, about('x', namespace)), {
      code: 422,
      reason: 'Invalid',
      message: /involvedObject.namespace: Invalid value: ".*": does not match event.namespace/,
    });
  }
  const cluster: JsonObject = { metadata: { name: 'node' }, involvedObject: { kind: 'Node', name: 'n' } };
  await admin.create('/api/v1/namespaces/default/events', cluster);
});

t.test('a Secret holds 1048576 bytes of data in all, as they are when decoded', async (t) => {
  const { admin } = await startCluster(t);
  const half = 'x'.repeat(524_288);
  const { data } = await admin.create(SECRETS, secret('full', { stringData: { a: half, b: half } }));
  t.ok(JSON.stringify(data).length > 1_300_000, 'base64 is longer than what it stands for');
  const tooLong = { code: 422, reason: 'Invalid' };
  await fails(t, admin.request('POST', SECRETS, secret('more', { stringData: { a: half, b: `${half}x` } })), {
    ...tooLong,
    message: /^Secret "more" is invalid: data: Too long: may not be more than 1048576 bytes$/,
  });
  const headers = { 'content-type': 'application/merge-patch+json' };
  await fails(t, admin.request('PATCH', `${SECRETS}/full`, { data: { c: 'YQ==' } }, { headers }), {
    ...tooLong,
    message: /^Secret "full" is invalid: data: Too long: may not be more than 1048576 bytes$/,
  });
});
