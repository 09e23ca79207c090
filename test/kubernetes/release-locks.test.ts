/** Writes of ReleaseLocks: whoever comes second is told so, and nothing that was not seen is lost. */
import t, { type Test } from 'tap';
import {
  createAnnotationsReader,
  createReleaseLockStore,
  type NewReleaseLock,
  type ReleaseLock,
} from '../../src/kubernetes/release-locks.ts';
import { createRequests } from '../../src/kubernetes/requests.ts';
import { failure, never, startMeddling } from '../support/clearing.ts';

const PATH = '/apis/lockkeeper.dev/v1alpha1/namespaces/prod/releaselocks/api';

const SPEC = {
  driver: 'secrets',
  revision: 6,
  status: 'pending-upgrade',
  recordUID: 'uid-of-6',
  since: '2026-11-23T03:00:00Z',
};

const NEW: NewReleaseLock = {
  metadata: { name: 'api', namespace: 'prod', ownerReferences: [] },
  spec: SPEC,
};

async function world(t: Test) {
  const meddling = await startMeddling(t);
  const { connection, admin } = meddling;
  const store = createReleaseLockStore(createRequests({ connection, pool: 'errands' }));
  return { ...meddling, store, read: async () => (await admin.get(PATH)) as unknown as ReleaseLock };
}

t.test('an entry is made once', async (t) => {
  const { store, read } = await world(t);
  t.same(await store.create(NEW, never), await read());
  t.equal(await store.create(NEW, never), undefined, 'somebody was first');
  t.match(await read(), { kind: 'ReleaseLock', spec: SPEC });
  t.match(await store.list('releaselocks', {}, never), {
    items: [{ metadata: { name: 'api' }, spec: SPEC }],
  });
});

t.test('the specification and the status are written apart, over the version that was seen', async (t) => {
  const { store, read, admin } = await world(t);
  await store.create(NEW, never);
  const first = await read();
  const status = { verdict: 'live', waiting: 0 };
  t.equal(await store.replaceStatus({ ...first, spec: { ...SPEC, revision: 7 }, status }, never), true);
  const second = await read();
  t.match(second, { spec: { revision: 6 }, status });
  const holder = { user: 'alice' };
  t.equal(await store.replaceSpec({ ...first, spec: { ...SPEC, holder } }, never), false, 'it has changed');
  t.equal(await store.replaceSpec({ ...second, spec: { ...SPEC, holder } }, never), true);
  t.equal(await store.replaceStatus({ ...second, status: {} }, never), false, 'it has changed');
  const third = await read();
  t.match(third, { spec: { holder }, status });
  await admin.remove(PATH);
  t.equal(await store.replaceSpec(third, never), false, 'it is gone');
  t.equal(await store.replaceStatus(third, never), false, 'it is gone');
});

t.test('it is deleted whatever was written to it, and no other one of its name is', async (t) => {
  const { store, read, admin } = await world(t);
  await store.create(NEW, never);
  const first = await read();
  await admin.patch(PATH, { metadata: { annotations: { a: 'b' } } });
  t.equal(await store.remove(first, never), true);
  t.equal(await store.remove(first, never), false, 'it is gone');
  await store.create(NEW, never);
  t.equal(await store.remove(first, never), false, 'this is another one');
  t.match(await read(), { spec: SPEC });
});

t.test('a refusal is an error', async (t) => {
  const { store, once } = await world(t);
  once('POST', () => ({ status: 403 }));
  t.match(await failure(store.create(NEW, never)), { status: 403 });
});

t.test('its annotations are read as they are stored, and there are none of what is not there', async (t) => {
  const { store, admin } = await world(t);
  const annotationsOf = createAnnotationsReader(store);
  const read = () => annotationsOf('prod', 'api', never);
  t.strictSame(await read(), {}, 'there is none');
  await store.create(NEW, never);
  t.strictSame(await read(), {}, 'it has none');
  await admin.patch(PATH, { metadata: { annotations: { a: 'b' } } });
  t.strictSame(await read(), { a: 'b' });
});
