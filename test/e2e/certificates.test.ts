/** Lockkeeper on its own: it makes its authority, arms its webhook, and replaces its certificates in mid-traffic. */
import type { X509Certificate } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'node:tls';
import t, { type Test } from 'tap';
import type { Config } from '../../src/config.ts';
import { readConfig } from '../../src/config.ts';
import type { ApiClient } from '../clusters/client.ts';
import type { Cluster } from '../clusters/cluster.ts';
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import { startCluster } from '../clusters/start.ts';
import { GATE_WEBHOOKS_PATH, gateWebhook } from '../support/gate-webhook.ts';
import { startServiceOn } from '../support/lockkeeper.ts';
import { record } from '../support/records.ts';
import { until } from '../support/until.ts';

const SECRETS = '/api/v1/namespaces/prod/secrets';
const CONFIGURATION = `${GATE_WEBHOOKS_PATH}/lockkeeper`;
const AUTHORITY = '/api/v1/namespaces/lockkeeper/secrets/lockkeeper-ca';

interface Webhook {
  readonly name: string;
  readonly rules?: readonly object[];
  readonly clientConfig: { readonly caBundle?: string };
}

type Configuration = StoredObject & { readonly webhooks: readonly Webhook[] };

/** As the chart installs it: complete, but for the rules and whom to trust. */
function unarmed(url: string) {
  const { webhooks, ...rest } = gateWebhook({ url, caCertificate: '' });
  const stripped = (webhook: (typeof webhooks)[number]) => {
    const { url } = webhook.clientConfig;
    return { ...webhook, rules: [], clientConfig: { url } };
  };
  return { ...rest, webhooks: webhooks.map(stripped) };
}

async function world(t: Test) {
  const cluster = await startCluster(t);
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  await admin.createNamespace('lockkeeper');
  await admin.create('/api/v1/namespaces/lockkeeper/secrets', { metadata: { name: 'lockkeeper-ca' } });
  return { cluster, admin };
}

async function replica(t: Test, cluster: Cluster, changes: Partial<Config> = {}) {
  const started = await startServiceOn(t, cluster, { webhookConfiguration: 'lockkeeper', ...changes });
  await Promise.all([started.ready(), started.logs.line('serves a new certificate')]);
  return started;
}

const configuration = (admin: ApiClient) => () => admin.get(CONFIGURATION) as Promise<Configuration>;

const isArmed = ({ webhooks }: Configuration) =>
  webhooks.every(({ rules, clientConfig }) => rules?.length === 1 && clientConfig.caBundle !== undefined);

/** A second deploy of a release whose first is in flight: whether the gate stands between them. */
const isGated = (admin: ApiClient) => async () => {
  const { code } = await admin.request('POST', `${SECRETS}?dryRun=All`, record('api', 2, 'pending-upgrade'));
  return code === 409;
};

t.test('a configuration without rules stops nobody, until a replica is ready and arms it', async (t) => {
  const { cluster, admin } = await world(t);
  await admin.create(SECRETS, record('api', 1, 'pending-install'));
  await admin.create(GATE_WEBHOOKS_PATH, unarmed('https://127.0.0.1:1'));
  t.notOk(await isGated(admin)(), 'before anybody is there, deploys go on');
  await admin.remove(CONFIGURATION);
  const { service } = await replica(t, cluster);
  await admin.create(GATE_WEBHOOKS_PATH, unarmed(`https://127.0.0.1:${service.port}`));
  const armed = await until(configuration(admin), isArmed);
  t.match(
    armed.webhooks.map(({ rules }) => rules),
    [[{ operations: ['CREATE'] }], [{ operations: ['DELETE'] }]],
  );
  await until(isGated(admin), Boolean);
  t.pass('and the gate is closed');
  const managers = armed.metadata.managedFields?.map(
    ({ manager, operation }) => `${operation} by ${manager}`,
  );
  t.ok(managers?.includes('Apply by lockkeeper'), 'its fields bear its name');

  // Helm 3 with --force, or kubectl replace.
  const { metadata } = armed;
  await admin.replace(CONFIGURATION, { ...unarmed(`https://127.0.0.1:${service.port}`), metadata });
  t.same(
    (await until(configuration(admin), isArmed)).webhooks,
    armed.webhooks,
    'what is taken away is put back',
  );

  await admin.remove(CONFIGURATION);
  await until(isGated(admin), (gated) => !gated);
  await admin.patch(AUTHORITY, { metadata: { labels: { changed: 'true' } } });
  const { code } = await admin.request('GET', CONFIGURATION);
  t.equal(code, 404, 'deleting it is the emergency exit: it stays deleted');
});

/** A certificate is renewed two seconds before it expires: time enough to make a key on a busy machine. */
const LIVES = { certificateSeconds: 6, authoritySeconds: 12 };
const ROTATIONS = 2;

/** Between two admissions; the cluster has other tests to serve. */
const PACE_MS = 40;

t.test('authorities and certificates are replaced in mid-traffic, and no admission fails', async (t) => {
  const { cluster, admin } = await world(t);
  const authority = { ...readConfig({}).authority, ...LIVES };
  const [first, second] = await Promise.all([
    replica(t, cluster, { authority }),
    replica(t, cluster, { authority }),
  ]);
  await admin.create(GATE_WEBHOOKS_PATH, unarmed(`https://127.0.0.1:${first.service.port}`));
  await admin.create(SECRETS, record('api', 1, 'pending-install'));
  await until(isGated(admin), Boolean);

  const authorities = new Set<string>();
  const certificates = new Set<string>();
  let admissions = 0;
  let sizes = 0;
  while (authorities.size <= ROTATIONS) {
    const { code, body } = await admin.request<{ message?: string }>(
      'POST',
      `${SECRETS}?dryRun=All`,
      record('web', 1, 'pending-install'),
    );
    if (code !== 201) throw new Error(`${code} ${body.message}`);
    admissions += 1;
    await delay(PACE_MS);
    const { webhooks } = await configuration(admin)();
    const bundle = Buffer.from(webhooks[0]?.clientConfig.caBundle ?? '', 'base64').toString();
    sizes = Math.max(sizes, bundle.match(/BEGIN CERTIFICATE/g)?.length ?? 0);
    for (const { service } of [first, second]) {
      const { fingerprint256, issuer } = await served(service.port, bundle);
      certificates.add(fingerprint256);
      authorities.add(issuer);
    }
  }
  t.comment(`${admissions} admissions, ${certificates.size} certificates, ${authorities.size} authorities`);
  t.ok(admissions > ROTATIONS, 'every deploy was admitted');
  t.ok(certificates.size >= 2 * ROTATIONS, 'by certificates of both replicas that came and went');
  t.ok(sizes >= 2, 'old and new authority were trusted at once');
});

/** Shakes hands as an API server does that trusts this bundle and nothing else. */
async function served(port: number, bundle: string): Promise<X509Certificate> {
  const { promise, resolve, reject } = Promise.withResolvers<X509Certificate>();
  const socket = connect({ host: '127.0.0.1', port, ca: bundle, servername: 'lockkeeper.lockkeeper.svc' });
  socket.once('error', reject);
  socket.once('secureConnect', () => {
    const certificate = socket.getPeerX509Certificate();
    socket.destroy();
    if (certificate) resolve(certificate);
  });
  return promise;
}
