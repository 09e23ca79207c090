/** One Secret by its name: whoever writes it first has written it, and nothing that was not read is lost. */
import t, { type Test } from 'tap';
import { createRequests } from '../../src/kubernetes/requests.ts';
import { createSecretStore, type StoredSecret } from '../../src/kubernetes/secrets.ts';
import { failure, never, startMeddling } from '../support/clearing.ts';

const SECRETS = '/api/v1/namespaces/prod/secrets';
const PATH = `${SECRETS}/ca`;

async function world(t: Test) {
  const meddling = await startMeddling(t);
  const requests = createRequests({ connection: meddling.connection, pool: 'errands' });
  const store = createSecretStore(requests, 'prod', 'ca');
  return { ...meddling, store, read: async () => (await store.read(never)) as StoredSecret };
}

t.test('it is made once, and read as it is', async (t) => {
  const { store, admin } = await world(t);
  t.match(store, { namespace: 'prod', name: 'ca' });
  t.equal(await store.read(never), undefined, 'there is none');
  t.equal(await store.create({ a: 'AAAA' }, never), true);
  t.equal(await store.create({ a: 'BBBB' }, never), false, 'somebody was first');
  t.match(await store.read(never), { metadata: { name: 'ca' }, data: { a: 'AAAA' } });
  t.match(await admin.get(PATH), { kind: 'Secret', data: { a: 'AAAA' } });
});

t.test('of two that make it at once, one has made it', async (t) => {
  const { store } = await world(t);
  const made = await Promise.all(['AAAA', 'BBBB'].map((a) => store.create({ a }, never)));
  t.strictSame(made.toSorted(), [false, true]);
});

t.test('its data is replaced, and what others have added around it is kept', async (t) => {
  const { store, admin, read } = await world(t);
  await admin.create(SECRETS, {
    metadata: { name: 'ca', labels: { chart: 'lockkeeper' }, annotations: { by: 'helm' } },
    type: 'example.com/ca',
    data: { a: 'AAAA', b: 'AAAA' },
  });
  t.equal(await store.replace(await read(), { a: 'BBBB' }, never), true);
  const stored = await admin.get(PATH);
  t.match(stored, {
    metadata: { labels: { chart: 'lockkeeper' }, annotations: { by: 'helm' } },
    type: 'example.com/ca',
  });
  t.strictSame((stored as StoredSecret).data, { a: 'BBBB' });
});

t.test('it is not replaced when it is no longer the one that was read', async (t) => {
  const { store, admin, read } = await world(t);
  await store.create({ a: 'AAAA' }, never);
  const old = await read();
  await admin.patch(PATH, { metadata: { labels: { changed: 'true' } } });
  t.equal(await store.replace(old, { a: 'BBBB' }, never), false, 'it was changed');
  const current = await read();
  await admin.remove(PATH);
  t.equal(await store.replace(current, { a: 'BBBB' }, never), false, 'it is gone');
  await store.create({ a: 'CCCC' }, never);
  t.equal(await store.replace(current, { a: 'BBBB' }, never), false, 'it is another one');
  t.match(await read(), { data: { a: 'CCCC' } });
});

t.test('every other answer is an error', async (t) => {
  const { store, on, read } = await world(t);
  await store.create({ a: 'AAAA' }, never);
  const stored = await read();
  for (const status of [403, 422, 500]) {
    const ends = (['read', 'POST', 'PUT'] as const).map((step) => on(step, () => ({ status })));
    t.match(await failure(store.read(never)), { name: 'KubernetesError', status });
    t.match(await failure(store.create({}, never)), { name: 'KubernetesError', status });
    t.match(await failure(store.replace(stored, {}, never)), { name: 'KubernetesError', status });
    for (const end of ends) end();
  }
  const end = on('POST', () => ({ status: 404 }));
  t.match(await failure(store.create({}, never)), { status: 404 }, 'a namespace that is gone is no rival');
  end();
});
