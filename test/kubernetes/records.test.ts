/** Whole records: read as they are, written and deleted only in the version that was read. */
import t, { type Test } from 'tap';
import { DRIVERS } from '../../src/helm/release.ts';
import { createRecordStore, type StoredRecord } from '../../src/kubernetes/records.ts';
import { createRequests } from '../../src/kubernetes/requests.ts';
import { failure, helmWrites, lockedRelease, never, pathOf, startMeddling } from '../support/clearing.ts';

const NAME = 'sh.helm.release.v1.api.v6';

async function startStore(t: Test) {
  const meddling = await startMeddling(t);
  const requests = createRequests({ connection: meddling.connection, pool: 'errands' });
  return { ...meddling, records: createRecordStore(requests) };
}

/** The version of a record that is there. */
function versionOf({ metadata: { uid = '', resourceVersion = '' } }: StoredRecord) {
  return { uid, resourceVersion };
}

for (const driver of DRIVERS) {
  t.test(`a record in ${driver} is read whole`, async (t) => {
    const meddling = await startStore(t);
    const stored = await lockedRelease(meddling, { driver });
    t.same(await meddling.records.read(driver, 'prod', NAME, never), stored);
    t.equal(await meddling.records.read(driver, 'prod', 'nobody', never), undefined, 'or there is none');
    t.equal(await meddling.records.read(driver, 'nowhere', NAME, never), undefined);
    meddling.on('read', () => ({ status: 403 }));
    t.match(
      await failure(meddling.records.read(driver, 'prod', NAME, never)),
      { status: 403 },
      'or an error',
    );
  });

  t.test(`a record in ${driver} is written and deleted in the version that was read`, async (t) => {
    const meddling = await startStore(t);
    const { records, admin } = meddling;
    await lockedRelease(meddling, { driver });
    const read = async () => (await records.read(driver, 'prod', NAME, never)) as StoredRecord;

    const old = await read();
    await helmWrites(admin, 6, 'pending-upgrade', driver);
    const conflict = { name: 'KubernetesError', status: 409 };
    t.match(await records.replace(driver, old, never), conflict, 'an older version is told, not written');
    t.match(await records.remove(driver, 'prod', NAME, versionOf(old), never), conflict);
    const current = await read();
    t.match(
      await records.remove(driver, 'prod', NAME, { ...versionOf(current), uid: 'another' }, never),
      conflict,
      'nor is another object of that name',
    );
    const metadata = { ...current.metadata, uid: 'another' };
    t.match(await records.replace(driver, { ...current, metadata }, never), conflict);

    const data = { ...current.data, more: 'AAAA' };
    t.equal(await records.replace(driver, { ...current, data }, never), undefined);
    t.match(await admin.get(pathOf(driver, 6)), { data });
    t.equal(await records.remove(driver, 'prod', NAME, versionOf(await read()), never), undefined);
    t.equal((await admin.request('GET', pathOf(driver, 6))).code, 404);

    const gone = { name: 'KubernetesError', status: 404 };
    t.match(await records.replace(driver, current, never), gone, 'one that is gone is a conflict, too');
    t.match(await records.remove(driver, 'prod', NAME, versionOf(current), never), gone);
  });
}

t.test('every other refusal is an error', async (t) => {
  const meddling = await startStore(t);
  const stored = (await lockedRelease(meddling)) as StoredRecord;
  for (const status of [400, 403, 422, 429, 500, 503]) {
    const ends = (['PUT', 'DELETE'] as const).map((step) => meddling.on(step, () => ({ status })));
    t.match(await failure(meddling.records.replace('secrets', stored, never)), { status });
    t.match(await failure(meddling.records.remove('secrets', 'prod', NAME, versionOf(stored), never)), {
      status,
    });
    for (const end of ends) end();
  }
});

t.test('a record that a finalizer keeps is not told as deleted', async (t) => {
  const meddling = await startStore(t);
  const { records, admin } = meddling;
  await lockedRelease(meddling);
  const path = `/api/v1/namespaces/prod/secrets/${NAME}`;
  await admin.patch(path, { metadata: { finalizers: ['test/keep'] } });
  const stored = (await records.read('secrets', 'prod', NAME, never)) as StoredRecord;
  t.match(await failure(records.remove('secrets', 'prod', NAME, versionOf(stored), never)), {
    name: 'KubernetesError',
    status: 409,
    message: /DELETE .*v6: 409 it is kept until its finalizers are removed: test\/keep$/,
  });
  await admin.patch(path, { metadata: { finalizers: null } });
  t.equal(await records.read('secrets', 'prod', NAME, never), undefined);
});
