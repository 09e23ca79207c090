/** What the fence refuses is told: the API server asks Lockkeeper before it asks the fence, and about nothing else. */
import t from 'tap';
import { RULES } from '../../src/webhook/arm.ts';
import type { ApiClient } from '../clusters/client.ts';
import type { KubernetesObject } from '../clusters/kubernetes-object.ts';
import { lockkeeperOn } from '../e2e/world.ts';
import type { Front } from '../support/front.ts';
import { apply, readManifest } from '../support/manifests.ts';
import { record } from '../support/records.ts';
import { until } from '../support/until.ts';
import { crew, putUpFence } from './crew.ts';

const STATUSES = [
  'deployed',
  'failed',
  'superseded',
  'uninstalling',
  'uninstalled',
  'unknown',
  'pending-install',
  'pending-upgrade',
  'pending-rollback',
];

/** As Lockkeeper arms it, but for the URL. */
async function putUpObserver(admin: ApiClient, { url, caCertificate }: Front): Promise<void> {
  const objects = await readManifest('deploy/lockkeeper.yaml');
  const found = objects.find(({ kind }) => kind === 'MutatingWebhookConfiguration');
  const { webhooks, ...rest } = found as KubernetesObject & { webhooks: readonly object[] };
  const clientConfig = { url: `${url}/admission`, caBundle: Buffer.from(caCertificate).toString('base64') };
  const rules = RULES['fence.lockkeeper.dev'];
  await apply(admin, [
    { ...rest, webhooks: webhooks.map((webhook) => ({ ...webhook, clientConfig, rules })) },
  ]);
}

t.test('a zombie is kept out, and that is told of its record', async (t) => {
  const { admin, cluster } = await crew(t);
  const { front } = await lockkeeperOn(t, cluster);
  await putUpFence(admin);
  await putUpObserver(admin, front);
  const zombie = await cluster.client({ username: 'bob' });

  async function write(was: string, becomes: string, query: string): Promise<number> {
    const { metadata, ...rest } = record('api', 6, was, { driver: 'configmaps' });
    const annotations = { 'lockkeeper.dev/allow-delete': 'true' };
    const before = { ...rest, metadata: { ...metadata, annotations } };
    const collection = '/api/v1/namespaces/prod/configmaps';
    const path = `${collection}/${metadata.name}`;
    await admin.create(collection, before);
    const after = record('api', 6, becomes, { driver: 'configmaps' });
    const { code } = await zombie.request('PUT', `${path}${query}`, after);
    const told = query === '' ? await events(admin) : [];
    await admin.remove(path);
    if (told.length > 0) t.same(told, [ZOMBIE]);
    return code;
  }

  const asked = () => front.admissions.filter(({ operation }) => operation === 'UPDATE').length;
  await until(
    () => write('failed', 'deployed', '?dryRun=All'),
    () => asked() > 0,
  );
  for (const was of STATUSES) {
    for (const becomes of STATUSES) {
      const before = asked();
      const code = await write(was, becomes, '?dryRun=All');
      t.equal(asked() - before, code === 200 ? 0 : 1, `${was} → ${becomes}: ${code}`);
    }
  }
  t.same(await admin.list(EVENTS), [], 'nothing is told of dry runs');
  t.not(await write('failed', 'deployed', ''), 200);
});

const EVENTS = '/api/v1/namespaces/prod/events';

const ZOMBIE = {
  type: 'Warning',
  reason: 'Fenced',
  object: 'ConfigMap sh.helm.release.v1.api.v6',
  message: 'bob was kept from making revision 6 of release api, which is failed, deployed again',
};

/** Once there are any. */
async function events(admin: ApiClient) {
  const found = await until(
    () => admin.list(EVENTS),
    ({ length }) => length > 0,
  );
  return found.map((event) => {
    const { kind, name } = event.involvedObject as { kind: string; name: string };
    return { type: event.type, reason: event.reason, object: `${kind} ${name}`, message: event.message };
  });
}
