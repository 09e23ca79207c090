/** What Lockkeeper looks after besides deploys, on a cluster: its certificate, and who asks and trusts it. */
import { X509Certificate } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { KubeConfig } from '@kubernetes/client-node';
import t, { type Test } from 'tap';
import { systemClock } from '../src/clock.ts';
import { type AuthorityConfig, readConfig } from '../src/config.ts';
import { createMetrics } from '../src/http/metrics.ts';
import { createKubernetesClient } from '../src/kubernetes/client.ts';
import { connect } from '../src/kubernetes/connection.ts';
import { createRequests } from '../src/kubernetes/requests.ts';
import { writeData } from '../src/tls/authority-data.ts';
import { validityOf } from '../src/tls/certificate.ts';
import { issueAuthority, type KeyPair } from '../src/tls/issue.ts';
import type { CertificateSource } from '../src/tls/source.ts';
import { createUpkeep } from '../src/upkeep.ts';
import { type EmbeddedCluster, startEmbeddedCluster } from './clusters/embedded/cluster.ts';
import { GATE_WEBHOOKS_PATH, gateWebhook } from './support/gate-webhook.ts';
import { testLog } from './support/log.ts';
import { fixedCertificate, serving } from './support/serving.ts';
import { isTrusted } from './tls/replica.ts';

const SECRETS = '/api/v1/namespaces/lockkeeper/secrets';
const CONFIGURATION = `${GATE_WEBHOOKS_PATH}/lockkeeper`;
const SERVES = 'serves a new certificate';
const ARMED = 'brought the webhook configuration up to date';

const { pair } = serving;
const end = validityOf(pair.certificate).to;

interface Given {
  readonly cluster?: EmbeddedCluster;
  readonly source?: CertificateSource;
  readonly webhookConfiguration?: string;
  readonly authority?: Partial<AuthorityConfig>;
  /** Milliseconds by which this machine's clock is ahead. */
  readonly ahead?: number;
}

async function start(t: Test, given: Given = {}) {
  const cluster = given.cluster ?? (await startEmbeddedCluster());
  if (!given.cluster) t.teardown(() => cluster.stop());
  const admin = await cluster.client();
  if (!given.cluster) await admin.createNamespace('lockkeeper');
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromFile(await cluster.kubeconfig({ user: { username: 'lockkeeper' } }));
  const connection = connect(kubeConfig, { clock: systemClock });
  const requests = createRequests({ connection, pool: 'errands' });
  const logs = testLog();
  const served: KeyPair[] = [];
  let ahead = given.ahead ?? 0;
  const upkeep = createUpkeep({
    config: {
      authority: { ...readConfig({}).authority, ...given.authority },
      webhookConfiguration: given.webhookConfiguration,
    },
    source: given.source,
    requests,
    client: createKubernetesClient(requests),
    isReady: () => upkeep.reasons().length === 0,
    clock: { ...systemClock, date: () => Date.now() + ahead },
    random: Math.random,
    log: logs.log,
  });
  let isStopped = false;
  const stop = async () => {
    if (isStopped) return;
    isStopped = true;
    await upkeep.stop();
    await connection.close();
  };
  t.teardown(stop);
  return {
    ...upkeep,
    stop,
    cluster,
    admin,
    logs,
    served,
    begin: () => upkeep.start((pair) => served.push(pair)),
    setAhead: (ms: number) => {
      ahead = ms;
    },
    /** Lockkeeper's part of the metrics. */
    async metrics(): Promise<string[]> {
      const metrics = createMetrics({
        isReady: () => true,
        heldNow: () => 0,
        verdicts: async () => [],
        lastEvents: () => [],
        certificates: upkeep.expiries,
      });
      const text = await metrics.text();
      return text.split('\n').filter((line) => line.startsWith('lockkeeper_certificate_expiry'));
    },
  };
}

/** Resolves when so many watches are open, as the cluster sees it. */
async function watches(cluster: EmbeddedCluster, count: number): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (cluster.openWatches() !== count) {
    if (Date.now() > deadline) throw new Error(`${cluster.openWatches()} watches are open, not ${count}`);
    await setImmediate();
  }
}

/** Without rules and without an authority, as the chart installs it. */
function unarmed() {
  const { webhooks, ...rest } = gateWebhook({ url: 'https://127.0.0.1:1', caCertificate: '' });
  return {
    ...rest,
    webhooks: webhooks.map(({ rules: _rules, clientConfig: { url }, ...webhook }) => ({
      ...webhook,
      clientConfig: { url },
    })),
  };
}

t.test('an authority of our own: made, served, told to API servers, and shown', async (t) => {
  const upkeep = await start(t, { webhookConfiguration: 'lockkeeper' });
  const { admin, cluster, logs, served } = upkeep;
  await admin.create(GATE_WEBHOOKS_PATH, unarmed());
  t.strictSame(upkeep.reasons(), [
    'there is no serving certificate: Secret lockkeeper/lockkeeper-ca has not been read yet',
  ]);
  t.strictSame(upkeep.notes(), []);
  t.strictSame(await upkeep.metrics(), [], 'there is no certificate yet');
  upkeep.begin();
  await logs.line(ARMED);
  t.strictSame(upkeep.reasons(), []);
  t.strictSame(upkeep.notes(), ['the serving certificate is valid for 29d23h']);

  const { webhooks } = (await admin.get(CONFIGURATION)) as unknown as ReturnType<typeof gateWebhook>;
  const bundle = Buffer.from(webhooks[0]?.clientConfig.caBundle ?? '', 'base64').toString();
  const certificate = served[0]?.certificate ?? '';
  t.ok(isTrusted(certificate, bundle));
  const [names] = [new X509Certificate(certificate).subjectAltName];
  t.match(names, /DNS:lockkeeper\.lockkeeper\.svc,/);
  t.strictSame(await upkeep.metrics(), [
    `lockkeeper_certificate_expiry_timestamp_seconds{certificate="serving"} ${validityOf(certificate).to / 1000}`,
    `lockkeeper_certificate_expiry_timestamp_seconds{certificate="authority"} ${validityOf(bundle).to / 1000}`,
  ]);
  const { data } = (await admin.get(`${SECRETS}/lockkeeper-ca`)) as unknown as {
    data: Record<string, string>;
  };
  for (const key of [data['tls.key'] ?? '', Buffer.from(data['tls.key'] ?? '', 'base64').toString()]) {
    t.ok(key.length > 1_000);
    t.notMatch(logs.text(), key.slice(200, 240), 'no key in the log');
  }
  t.notMatch(logs.text(), 'PRIVATE KEY');
  await watches(cluster, 3);
  await upkeep.stop();
  await watches(cluster, 0);
});

t.test('a Secret that cannot be made is a reason not to be ready, with the command that helps', async (t) => {
  const upkeep = await start(t);
  upkeep.cluster.faults.failRequests(({ method, userAgent }) =>
    method === 'POST' && userAgent === 'lockkeeper' ? { status: 403 } : undefined,
  );
  upkeep.begin();
  const { reason } = await upkeep.logs.line('the authority cannot be looked after');
  t.match(
    reason,
    /^there is no Secret lockkeeper\/lockkeeper-ca, and lockkeeper cannot make it: kubectl create /,
  );
  t.strictSame(upkeep.reasons(), [`there is no serving certificate: ${reason}`]);
  t.strictSame(upkeep.notes(), []);

  // The watch tells that somebody has run it.
  await upkeep.admin.create(SECRETS, { metadata: { name: 'lockkeeper-ca' } });
  await upkeep.logs.line(SERVES);
  t.strictSame(upkeep.reasons(), []);
});

t.test('what keeps the certificate from being renewed is worth a note, and no reason', async (t) => {
  const upkeep = await start(t);
  upkeep.begin();
  await upkeep.logs.line(SERVES);
  const told = upkeep.logs.nextLine('the authority cannot be looked after');
  await upkeep.admin.patch(`${SECRETS}/lockkeeper-ca`, { data: { 'tls.crt': null } });
  const { reason } = await told;
  t.strictSame(upkeep.reasons(), []);
  t.strictSame(upkeep.notes(), [
    'the serving certificate is valid for 29d23h',
    `it cannot be renewed: ${reason}`,
  ]);
});

t.test('two replicas: what becomes of the Secret, both hear of', async (t) => {
  const first = await start(t, { webhookConfiguration: 'lockkeeper' });
  await first.admin.create(GATE_WEBHOOKS_PATH, unarmed());
  first.begin();
  const { cluster, admin } = first;
  const second = await start(t, { cluster, webhookConfiguration: 'lockkeeper' });
  second.begin();
  // Whichever of them looks first brings the configuration up to date.
  await Promise.race([first, second].map(({ logs }) => logs.line(ARMED)));
  await Promise.all([first, second].map(({ logs }) => logs.line(SERVES)));
  const told = Promise.all([first, second].map(({ logs }) => logs.nextLine(SERVES)));
  const signing = await issueAuthority({ commonName: 'another', validDays: 300, now: new Date() });
  await admin.patch(`${SECRETS}/lockkeeper-ca`, { data: writeData({ signing, previous: [] }) });
  await told;
  for (const { served, reasons } of [first, second]) {
    t.ok(isTrusted(served.at(-1)?.certificate ?? '', signing.certificate));
    t.strictSame(reasons(), []);
  }
});

t.test('with files, the certificate is somebody else’s business, and so is who trusts it', async (t) => {
  const upkeep = await start(t, { source: fixedCertificate(pair), webhookConfiguration: 'lockkeeper' });
  const { admin, cluster, logs, served } = upkeep;
  await admin.create(GATE_WEBHOOKS_PATH, unarmed());
  upkeep.begin();
  t.strictSame(served, [pair]);
  await logs.line(ARMED);
  const { webhooks } = (await admin.get(CONFIGURATION)) as unknown as ReturnType<typeof gateWebhook>;
  t.strictSame(
    webhooks.map(({ rules, clientConfig }) => [rules.length, clientConfig.caBundle ?? '']),
    [
      [1, ''],
      [1, ''],
      [1, ''],
    ],
  );
  t.strictSame(await upkeep.metrics(), [
    `lockkeeper_certificate_expiry_timestamp_seconds{certificate="serving"} ${end / 1000}`,
  ]);
  const secrets = cluster.traffic.countRequests(
    ({ pattern, userAgent }) => userAgent === 'lockkeeper' && pattern.includes('secrets'),
  );
  t.equal(secrets, 0, 'no Secret is asked for');
});

t.test('without a configuration to look after, none is asked for', async (t) => {
  const upkeep = await start(t, { source: fixedCertificate(pair) });
  upkeep.begin();
  await upkeep.stop();
  t.equal(
    upkeep.cluster.traffic.countRequests(({ userAgent }) => userAgent === 'lockkeeper'),
    0,
  );
});

t.test('a certificate that has expired is a reason not to be ready', async (t) => {
  const upkeep = await start(t, {
    source: { ...fixedCertificate(pair), problem: () => 'the files are bad' },
  });
  upkeep.begin();
  upkeep.setAhead(end - Date.now() - 7_500_000);
  t.strictSame(upkeep.reasons(), []);
  t.match(upkeep.notes(), [
    /^the serving certificate is valid for 2h/,
    'it cannot be renewed: the files are bad',
  ]);
  upkeep.setAhead(end - Date.now() + 1_000);
  t.match(upkeep.reasons(), [/^the serving certificate has expired, at 20\d\d-/]);
  t.strictSame(upkeep.notes(), []);
});
