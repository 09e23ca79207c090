/** What the API server asks Lockkeeper about, and what it does not: labels and match conditions, tried out. */
import t from 'tap';
import { PENDING_STATUSES, RECORD_TYPE } from '../../src/helm/release.ts';
import type { ApiClient } from '../clusters/client.ts';
import { GATE_WEBHOOKS_PATH } from '../support/gate-webhook.ts';
import { serving } from '../support/serving.ts';
import { STATUSES } from '../support/statuses.ts';
import { askingCluster, helm, objectOf, PATHS, RECORD, type Sort } from './asking-cluster.ts';

const TLS = {
  'tls.crt': Buffer.from(serving.pair.certificate).toString('base64'),
  'tls.key': Buffer.from(serving.pair.privateKey).toString('base64'),
};

/** What is nobody's lock. */
const OTHERS: readonly Sort[] = [
  { kind: 'Secret' },
  { kind: 'ConfigMap' },
  { kind: 'Secret', type: 'kubernetes.io/tls', data: TLS },
  { kind: 'Secret', type: 'kubernetes.io/tls', data: TLS, labels: helm('pending-install') },
  { kind: 'Secret', labels: helm('pending-install') },
  { kind: 'Secret', type: 'Opaque', labels: helm('pending-upgrade') },
  { kind: 'ConfigMap', labels: helm('pending-rollback') },
  { kind: 'Secret', type: 'owned.dev/elsewhere', labels: { status: 'pending-install' }, prefix: RECORD },
  { kind: 'Secret', type: RECORD_TYPE },
  { kind: 'Secret', type: RECORD_TYPE, prefix: RECORD },
  { kind: 'Secret', type: RECORD_TYPE, labels: { status: 'pending-install' }, prefix: RECORD },
  { kind: 'ConfigMap', prefix: RECORD },
  { kind: 'Secret', labels: helm('deployed') },
  { kind: 'Secret', type: 'Opaque', labels: helm('uninstalling') },
  { kind: 'ConfigMap', labels: { owner: 'helm' } },
  { kind: 'ConfigMap', labels: { ...helm('deployed'), owner: 'somebody' }, prefix: RECORD },
];

/** Created, changed by each verb, and deleted: six writes. */
async function write(admin: ApiClient, sort: Sort, number: number): Promise<number> {
  const path = PATHS[sort.kind];
  const object = objectOf(sort, number);
  const own = `${path}/${object.metadata.name}`;
  await admin.create(path, object);
  await admin.replace(own, object);
  await admin.patch(own, { metadata: { annotations: { touched: 'yes' } } });
  await admin.patch(own, { metadata: { labels: null } });
  await admin.patch(own, { metadata: { labels: sort.labels ?? {} } });
  await admin.remove(own);
  return 6;
}

t.test('of a thousand writes of other objects, Lockkeeper hears nothing', async (t) => {
  const { admin, front } = await askingCluster(t);
  const objects = Array.from({ length: 11 }, (_, round) =>
    OTHERS.map((sort, index) => ({ sort, number: 100 * round + index + 1 })),
  );
  const writes = objects.flat().map(({ sort, number }) => write(admin, sort, number));
  const count = (await Promise.all(writes)).reduce((sum, each) => sum + each, 0);
  t.ok(count >= 1_000, `${count} writes`);
  t.same(front.admissions, []);
});

t.test('of a pending record, it hears when it is created, and when it is deleted', async (t) => {
  const { admin, front } = await askingCluster(t);
  for (const [index, status] of PENDING_STATUSES.entries()) {
    for (const sort of [
      { kind: 'Secret', type: RECORD_TYPE },
      { kind: 'ConfigMap' },
      // Helm itself does not look at the type.
      { kind: 'Secret', type: 'Opaque' },
    ] as const) {
      const release = `r${index}${sort.kind.toLowerCase()}${'type' in sort ? sort.type.length : ''}`;
      const labels = { ...helm(status), name: release };
      const object = {
        ...objectOf({ ...sort, labels }, 1),
        metadata: { name: `${RECORD}${release}.v1`, labels },
      };
      const path = PATHS[sort.kind];
      const own = `${path}/${object.metadata.name}`;
      const before = front.admissions.length;
      await admin.create(path, object);
      await admin.replace(own, object);
      await admin.patch(own, { metadata: { annotations: { 'lockkeeper.dev/allow-delete': 'true' } } });
      t.equal(front.admissions.length, before + 1, `${sort.kind}, ${status}: one call, of its creation`);
      await admin.remove(own);
      const { name } = object.metadata;
      const [creation, ...deletions] = front.admissions.slice(before);
      t.match(creation, { operation: 'CREATE', name, allowed: true });
      // Seen: an API server asks with the record of its cache first, which may lack the annotation still, and when that
      // is refused, again with the record as it is.
      t.match(deletions.at(-1), { operation: 'DELETE', name, allowed: true }, 'and one, of its deletion');
      t.ok(
        deletions.slice(0, -1).every(({ operation, code }) => operation === 'DELETE' && code === 409),
        'but for one that was asked with an older record',
      );
    }
  }
});

t.test('of a record that is not pending, it hears when it is created, and nothing else', async (t) => {
  const { admin, front } = await askingCluster(t);
  const ended = STATUSES.filter((status) => !status.startsWith('pending-'));
  for (const [index, status] of ended.entries()) {
    for (const kind of ['Secret', 'ConfigMap'] as const) {
      const labels = { ...helm(status), name: `r${index}` };
      const name = `${RECORD}r${index}.v1`;
      const object = { metadata: { name, labels }, ...(kind === 'Secret' && { type: RECORD_TYPE }) };
      const own = `${PATHS[kind]}/${name}`;
      const before = front.admissions.length;
      await admin.create(PATHS[kind], object);
      await admin.replace(own, object);
      await admin.patch(own, { metadata: { annotations: { touched: 'yes' } } });
      await admin.patch(own, { metadata: { labels: null } });
      await admin.remove(own);
      const heard = front.admissions.slice(before).map(({ operation }) => operation);
      t.same(heard, ['CREATE'], `${kind}, ${status}`);
    }
  }
});

t.test('a record whose name is generated is a record', async (t) => {
  const { admin, front } = await askingCluster(t);
  const { code } = await admin.request('POST', PATHS.Secret, {
    metadata: { generateName: `${RECORD}api.v`, labels: helm('pending-install') },
    type: 'Opaque',
  });
  t.equal(code, 400, 'which Lockkeeper has refused: its number is no number');
  t.equal(front.admissions.length, 1);
});

/** The conditions are there for what the labels let through. */
t.test('the labels alone would let through what bears them and is no record', async (t) => {
  const { admin, front } = await askingCluster(t);
  const impostor = objectOf({ kind: 'Secret', labels: helm('pending-install') }, 1);
  const dryRun = `${PATHS.Secret}?dryRun=All`;
  await admin.create(dryRun, impostor);
  t.same(front.admissions, [], 'with the conditions');

  const configuration = await admin.get(`${GATE_WEBHOOKS_PATH}/lockkeeper`);
  const webhooks = configuration.webhooks as Record<string, unknown>[];
  await admin.replace(`${GATE_WEBHOOKS_PATH}/lockkeeper`, {
    ...configuration,
    webhooks: webhooks.map(({ matchConditions: _, ...webhook }) => webhook),
  });
  while (front.admissions.length === 0) await admin.create(dryRun, impostor);
  t.match(front.admissions, [{ operation: 'CREATE', name: impostor.metadata.name }], 'without them');
});
