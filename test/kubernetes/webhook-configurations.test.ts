/** The webhook configuration by its name: fields are applied under a name of our own, and it is never made. */
import t, { type Test } from 'tap';
import { createRequests } from '../../src/kubernetes/requests.ts';
import {
  createWebhookConfigurationStore,
  type WebhookConfiguration,
} from '../../src/kubernetes/webhook-configurations.ts';
import { failure, never, startMeddling } from '../support/clearing.ts';
import { GATE_WEBHOOKS_PATH, gateWebhook } from '../support/gate-webhook.ts';

const PATH = `${GATE_WEBHOOKS_PATH}/lockkeeper`;

async function world(t: Test) {
  const meddling = await startMeddling(t);
  const { admin, cluster, connection } = meddling;
  const store = createWebhookConfigurationStore(
    createRequests({ connection, pool: 'errands' }),
    'validatingwebhookconfigurations',
    'lockkeeper',
  );
  const { webhooks, ...rest } = gateWebhook({ url: 'https://127.0.0.1:1', caCertificate: '' });
  const unarmed = { ...rest, webhooks: webhooks.map(({ rules: _rules, ...webhook }) => webhook) };
  return {
    admin,
    store,
    install: () => admin.create(GATE_WEBHOOKS_PATH, unarmed),
    read: async () => (await store.read(never)) as WebhookConfiguration,
    /** Every request of Lockkeeper is answered so, from now on. */
    refuse: (status: number) =>
      cluster.faults.failRequests(({ userAgent }) => (userAgent === 'lockkeeper' ? { status } : undefined)),
  };
}

const RULES = [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['secrets'] }];

/** What the gate is to have, beside what it has. */
function wanted({ metadata }: WebhookConfiguration, caBundle = 'AAAA') {
  return { metadata, webhooks: [{ name: 'gate.lockkeeper.dev', clientConfig: { caBundle }, rules: RULES }] };
}

t.test('it is read as it is, or there is none', async (t) => {
  const { store, install } = await world(t);
  t.equal(store.name, 'ValidatingWebhookConfiguration/lockkeeper');
  t.equal(await store.read(never), undefined);
  await install();
  t.match(await store.read(never), {
    metadata: { name: 'lockkeeper', uid: String, resourceVersion: String },
    webhooks: [{ name: 'gate.lockkeeper.dev' }, { name: 'guard.lockkeeper.dev' }],
  });
});

t.test('fields are added under a name of our own, and the others stay', async (t) => {
  const { store, admin, install, read } = await world(t);
  const [before] = ((await install()) as unknown as { webhooks: { failurePolicy: string }[] }).webhooks;
  const applied = await store.apply(wanted(await read()), never);
  const stored = (await admin.get(PATH)) as unknown as WebhookConfiguration;
  t.strictSame(applied?.webhooks, stored.webhooks, 'what is stored then is returned');
  const [gate, guard] = stored.webhooks ?? [];
  t.match(gate, { ...before, clientConfig: { url: 'https://127.0.0.1:1/admission', caBundle: 'AAAA' } });
  t.match(gate?.rules, RULES);
  t.equal(guard?.clientConfig.caBundle ?? '', '');
  const { managedFields = [] } = (await admin.get(PATH)).metadata;
  t.ok(managedFields.some(({ manager, operation }) => manager === 'lockkeeper' && operation === 'Apply'));
});

t.test('what others have taken for themselves is taken back', async (t) => {
  const { store, admin, install, read } = await world(t);
  await install();
  await store.apply(wanted(await read()), never);
  const current = (await admin.get(PATH)) as unknown as { webhooks: { clientConfig: object }[] };
  const [gate, ...rest] = current.webhooks;
  const taken = { ...gate, clientConfig: { ...gate?.clientConfig, caBundle: 'BBBB' } };
  await admin.replace(PATH, { ...(await admin.get(PATH)), webhooks: [taken, ...rest] });
  const back = await store.apply(wanted(await read(), 'CCCC'), never);
  t.equal(back?.webhooks?.[0]?.clientConfig.caBundle, 'CCCC');
});

t.test('it is not written when it is no longer the one that was read, and never made', async (t) => {
  const { store, admin, install, read } = await world(t);
  await install();
  const old = await read();
  await admin.patch(PATH, { metadata: { labels: { changed: 'true' } } });
  t.equal(await store.apply(wanted(old), never), undefined, 'it was changed');
  const current = await read();
  await admin.remove(PATH);
  t.equal(await store.apply(wanted(current), never), undefined, 'it is gone');
  t.equal((await admin.request('GET', PATH)).code, 404, 'and stays so: deleting it is the emergency exit');
  await install();
  t.equal(await store.apply(wanted(current), never), undefined, 'it is another one of that name');
});

t.test('every other answer is an error', async (t) => {
  const { store, install, read, refuse } = await world(t);
  await install();
  const current = await read();
  for (const status of [403, 422, 500]) {
    const end = refuse(status);
    t.match(await failure(store.read(never)), { name: 'KubernetesError', status });
    t.match(await failure(store.apply(wanted(current), never)), { name: 'KubernetesError', status });
    end();
  }
  const end = refuse(409);
  t.match(await failure(store.read(never)), { status: 409 }, 'a read meets no rival');
  end();
});
