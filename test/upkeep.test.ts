/** What Lockkeeper looks after besides deploys, on a cluster: its certificate, and who asks and trusts it. */
import { X509Certificate } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { KubeConfig } from '@kubernetes/client-node';
import t, { type Test } from 'tap';
import { type Clock, systemClock } from '../src/clock.ts';
import { type AuthorityConfig, type Config, readConfig } from '../src/config.ts';
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
import { until } from './support/until.ts';
import { isTrusted } from './tls/replica.ts';

const SECRETS = '/api/v1/namespaces/lockkeeper/secrets';
const CONFIGURATION = `${GATE_WEBHOOKS_PATH}/lockkeeper`;
const SERVES = 'serves a new certificate';
const ARMED = 'brought the webhook configuration up to date';
const OPEN =
  'whoever reaches the port can send reviews: LOCKKEEPER_ADMISSION_PATH can make the path of the webhook a secret';

const { pair } = serving;
const end = validityOf(pair.certificate).to;

interface Given {
  readonly cluster?: EmbeddedCluster;
  readonly source?: CertificateSource;
  readonly webhookConfiguration?: string;
  readonly authority?: Partial<AuthorityConfig>;
  readonly admission?: Partial<Config['admission']>;
  /** A file, and what it held at the start. */
  readonly clientCa?: { readonly file: string; readonly first: string };
  readonly clock?: Partial<Clock>;
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
      admission: {
        ...readConfig({}).admission,
        ...(given.webhookConfiguration === undefined && { path: '/admission' }),
        ...given.admission,
      },
      clientCaFile: given.clientCa?.file,
      webhookConfiguration: given.webhookConfiguration,
    },
    source: given.source,
    clientCa: given.clientCa?.first,
    requests,
    client: createKubernetesClient(requests),
    isReady: () => upkeep.reasons().length === 0,
    clock: {
      ...systemClock,
      now: () => systemClock.now() + ahead,
      date: () => Date.now() + ahead,
      ...given.clock,
    },
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
    'there is no path for reviews: Secret lockkeeper/lockkeeper-ca has not been read yet',
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
  const { admin, logs, served } = upkeep;
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
      [1, ''],
    ],
  );
  t.strictSame(await upkeep.metrics(), [
    `lockkeeper_certificate_expiry_timestamp_seconds{certificate="serving"} ${end / 1000}`,
  ]);
  const { data } = (await admin.get(`${SECRETS}/lockkeeper-ca`)) as unknown as { data: object };
  t.strictSame(
    Object.keys(data).sort(),
    ['path.made-at', 'path.token'],
    'the Secret holds the path, and no authority',
  );
  t.match(webhooks[0]?.clientConfig, { url: /^https:\/\/127\.0\.0\.1:1\/admission\/[0-9a-f]{32}$/ });
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

const OBSERVER = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
const PODS = '/api/v1/namespaces/lockkeeper/pods';
const SERVICE = { namespace: 'lockkeeper', name: 'lockkeeper', port: 8443 };

interface Told {
  readonly webhooks: readonly {
    readonly name: string;
    readonly rules?: readonly object[];
    readonly clientConfig: { readonly url?: string; readonly service?: { readonly path?: string } };
  }[];
}

/** Both configurations, whose webhooks are called so. */
async function install({ admin }: Pick<Started, 'admin'>, clientConfig: object, rules?: 'rules') {
  const { webhooks, ...rest } = gateWebhook({ url: 'https://127.0.0.1:1', caCertificate: '' });
  await admin.create(GATE_WEBHOOKS_PATH, {
    ...rest,
    webhooks: webhooks.map(({ rules: ours, ...webhook }) => ({
      ...webhook,
      clientConfig,
      ...(rules && { rules: ours }),
    })),
  });
  const fence = { name: 'fence.lockkeeper.dev', admissionReviewVersions: ['v1'], sideEffects: 'None' };
  await admin.create(OBSERVER, {
    metadata: { name: 'lockkeeper' },
    webhooks: [{ ...fence, clientConfig, failurePolicy: 'Ignore' }],
  });
}

type Started = Awaited<ReturnType<typeof start>>;

/** Where API servers are told to send reviews, by both, each once. */
async function told({ admin }: Pick<Started, 'admin'>): Promise<string[]> {
  const both = await Promise.all([admin.get(CONFIGURATION), admin.get(`${OBSERVER}/lockkeeper`)]);
  const paths = both
    .flatMap((configuration) => (configuration as unknown as Told).webhooks)
    .map(({ clientConfig: { url, service } }) => url ?? service?.path ?? 'none');
  return [...new Set(paths)];
}

const isSecret = (paths: readonly string[]) =>
  paths.length === 1 && /\/admission\/[0-9a-f]{32}$/.test(paths[0] ?? '');

const secretPath = async (upkeep: Started) => (await until(() => told(upkeep), isSecret))[0] ?? '';

const isPodList = ({ pattern, userAgent }: { pattern: string; userAgent: string }) =>
  userAgent === 'lockkeeper' && pattern.endsWith('/pods');

/** As the pods of the chart are labelled; those of 0.1 lack the last one. */
const LABELS = { 'app.kubernetes.io/name': 'lockkeeper', 'app.kubernetes.io/component': 'admission' };
const pod = (name: string, labels: object = {}) => ({
  metadata: { name, labels: { ...LABELS, ...labels } },
  spec: { containers: [{ name: 'lockkeeper', image: 'lockkeeper' }] },
});

for (const [mode, source] of [
  ['an authority of our own', undefined],
  ['files', fixedCertificate(pair)],
] as const) {
  for (const [form, clientConfig, prefix] of [
    ['a Service', { service: SERVICE, caBundle: 'QQ==' }, ''],
    ['a URL', { url: 'https://127.0.0.1:1/admission', caBundle: 'QQ==' }, 'https://127.0.0.1:1'],
  ] as const) {
    t.test(`with ${mode}, API servers are told of a secret path, behind ${form}`, async (t) => {
      const upkeep = await start(t, { webhookConfiguration: 'lockkeeper', ...(source && { source }) });
      await install(upkeep, clientConfig);
      upkeep.begin();
      const path = (await secretPath(upkeep)).slice(prefix.length);
      const { isRight } = upkeep.admissionPaths;
      t.equal(await isRight(path), true);
      t.notMatch(upkeep.logs.text(), path, 'which the log does not tell');
      if (form === 'a Service')
        t.equal(await isRight('/admission'), false, 'and nobody is let in by another');
      t.equal(await isRight(`${path}0`), false);
      t.equal(await isRight(path.replace(/.$/, '?')), false);
    });
  }
}

t.test('without a path for reviews it is not ready, with the command that helps', async (t) => {
  const upkeep = await start(t, { source: fixedCertificate(pair), webhookConfiguration: 'lockkeeper' });
  upkeep.cluster.faults.failRequests(({ method, userAgent }) =>
    method === 'POST' && userAgent === 'lockkeeper' ? { status: 403 } : undefined,
  );
  upkeep.begin();
  const { reason } = await upkeep.logs.line('the path of the webhook cannot be looked after');
  t.match(
    reason,
    /^there is no Secret lockkeeper\/lockkeeper-ca, and lockkeeper cannot make it: kubectl create /,
  );
  t.strictSame(upkeep.reasons(), [`there is no path for reviews: ${reason}`]);
});

t.test('a path that is configured is the only one, and told to nobody', async (t) => {
  const upkeep = await start(t, {
    webhookConfiguration: 'lockkeeper',
    admission: { path: '/admission/mine' },
  });
  await install(upkeep, { service: { ...SERVICE, path: '/admission/mine' }, caBundle: 'QQ==' });
  upkeep.begin();
  await upkeep.logs.line(ARMED);
  t.strictSame(await told(upkeep), ['/admission/mine']);
  const { data } = (await upkeep.admin.get(`${SECRETS}/lockkeeper-ca`)) as unknown as { data: object };
  t.notOk(Object.keys(data).some((key) => key.startsWith('path.')));
  const { isRight } = upkeep.admissionPaths;
  t.equal(isRight('/admission/mine'), true);
  t.equal(isRight('/admission'), false);
  t.notOk(upkeep.logs.messages().some((message) => message.startsWith('whoever reaches the port')));
});

t.test('a path that everybody can guess is worth a warning', async (t) => {
  const upkeep = await start(t, { source: fixedCertificate(pair) });
  upkeep.begin();
  t.match(await upkeep.logs.line(OPEN), { level: 40, path: '/admission' });
  t.equal(upkeep.admissionPaths.isRight('/admission'), true);
});

t.test(
  'an upgrade from 0.1: the open path is told until no replica is there that knows no other',
  async (t) => {
    const upkeep = await start(t, { webhookConfiguration: 'lockkeeper' });
    const { admin } = upkeep;
    for (const name of ['old', 'finished']) await admin.create(PODS, pod(name));
    await admin.patch(`${PODS}/finished/status`, { status: { phase: 'Failed' } });
    await admin.create(PODS, pod('new', { 'lockkeeper.dev/secret-path': 'true' }));
    await admin.create(PODS, { ...pod('other'), metadata: { name: 'other', labels: { app: 'other' } } });
    await install(upkeep, { service: { ...SERVICE, path: '/admission' } }, 'rules');
    upkeep.begin();
    await upkeep.logs.line(ARMED);
    t.strictSame(await told(upkeep), ['/admission']);
    const { isRight } = upkeep.admissionPaths;
    t.equal(await isRight('/admission'), true, 'which is taken meanwhile');
    upkeep.setAhead(60_000);
    const looks = () => upkeep.cluster.traffic.countRequests(isPodList);
    const before = looks();
    await until(
      () => setImmediate(looks()),
      (count) => count > before + 2,
    );
    t.strictSame(await told(upkeep), ['/admission'], 'however long that takes');
    await admin.remove(`${PODS}/old`);
    const path = await secretPath(upkeep);
    t.equal(await isRight(path), true);
    t.equal(await isRight('/admission'), true, 'API servers may not have heard of it');
    upkeep.setAhead(180_000);
    t.equal(await isRight('/admission'), false);
  },
);

t.test('pods that cannot be listed: what is told stays, and the rest is done', async (t) => {
  const upkeep = await start(t, { webhookConfiguration: 'lockkeeper' });
  const heal = upkeep.cluster.faults.failRequests(({ path, userAgent }) =>
    userAgent === 'lockkeeper' && path.endsWith('/pods') ? { status: 403 } : undefined,
  );
  await install(upkeep, { service: { ...SERVICE, path: '/admission' } }, 'rules');
  upkeep.begin();
  await upkeep.logs.line(ARMED);
  t.match(await upkeep.logs.line('it cannot be told whether there are older replicas'), { reason: /403/ });
  t.strictSame(await told(upkeep), ['/admission']);
  heal();
  upkeep.setAhead(60_000);
  await secretPath(upkeep);
});

t.test(
  'emptied by hand, the path is rotated, in both configurations, and the old one is closed',
  async (t) => {
    // A second of overlap in place of a minute.
    const upkeep = await start(t, { webhookConfiguration: 'lockkeeper', admission: { tokenSeconds: 24 } });
    await install(upkeep, { service: SERVICE });
    upkeep.begin();
    const old = await secretPath(upkeep);
    await upkeep.admin.patch(`${SECRETS}/lockkeeper-ca`, { data: { 'path.token': '' } });
    const { isRight } = upkeep.admissionPaths;
    let paths = [old];
    while (paths[0] === old || !isSecret(paths)) {
      t.equal(await isRight(old), true);
      for (const path of paths) t.equal(await isRight(path), true, 'what is told is right at any time');
      paths = await told(upkeep);
    }
    await upkeep.logs.line('the previous path of the webhook is closed');
    await until(
      async () => isRight(await setImmediate(old)),
      (isTaken) => !isTaken,
    );
    t.equal(await isRight(paths[0] ?? ''), true);
  },
);

t.test(
  'somebody puts another path there: it is taken until API servers have heard of ours again',
  async (t) => {
    const upkeep = await start(t, { webhookConfiguration: 'lockkeeper' });
    await install(upkeep, { service: SERVICE }, 'rules');
    upkeep.begin();
    const path = await secretPath(upkeep);
    // As Helm 3 does it, which takes away what an older chart has written.
    const { webhooks } = (await upkeep.admin.get(CONFIGURATION)) as unknown as Told;
    await upkeep.admin.patch(CONFIGURATION, {
      webhooks: webhooks.map((webhook) => ({ ...webhook, clientConfig: { service: SERVICE } })),
    });
    t.equal(await upkeep.admissionPaths.isRight('/'), true, 'by this path they ask now');
    t.equal(await secretPath(upkeep), path, 'it is put back');
  },
);

t.test('a replica that has heard of nothing looks once more before it refuses', async (t) => {
  const first = await start(t, { webhookConfiguration: 'lockkeeper' });
  await install(first, { service: SERVICE });
  first.begin();
  const path = await secretPath(first);
  const { cluster } = first;
  const second = await start(t, { cluster, webhookConfiguration: 'lockkeeper' });
  // Neither its list nor its watch has come.
  cluster.faults.failRequests(({ query, userAgent }) =>
    userAgent === 'lockkeeper' && query.has('fieldSelector') ? { status: 500 } : undefined,
  );
  second.begin();
  t.equal(await second.admissionPaths.isRight(path), true);
  t.equal(await second.admissionPaths.isRight('/admission/guessed'), false);
});

t.test('two replicas agree on the path, and on the next one', async (t) => {
  const admission = { tokenSeconds: 24 };
  const first = await start(t, { webhookConfiguration: 'lockkeeper', admission });
  await install(first, { service: SERVICE });
  const { cluster } = first;
  const second = await start(t, { cluster, webhookConfiguration: 'lockkeeper', admission });
  first.begin();
  second.begin();
  const old = await secretPath(first);
  await first.admin.patch(`${SECRETS}/lockkeeper-ca`, { data: { 'path.token': '' } });
  const next = (paths: readonly string[]) => isSecret(paths) && paths[0] !== old;
  const [path = ''] = await until(() => told(first), next);
  for (const { admissionPaths } of [first, second]) t.equal(await admissionPaths.isRight(path), true);
});

t.test('the client CA is part of what is served, and changes with its file', async (t) => {
  const [one, other] = await Promise.all(
    ['one', 'other'].map((commonName) => issueAuthority({ commonName, validDays: 1, now: new Date() })),
  );
  const folder = t.testdir({ 'ca.crt': one?.certificate ?? '' });
  const file = `${folder}/ca.crt`;
  const first = one?.certificate ?? '';
  // It looks every 10 seconds.
  const clock = { after: (ms: number, callback: () => void) => systemClock.after(ms / 500, callback) };
  const upkeep = await start(t, { source: fixedCertificate(pair), clientCa: { file, first }, clock });
  upkeep.begin();
  t.strictSame(upkeep.served, [{ ...pair, clientCa: first }]);
  await writeFile(file, '');
  await upkeep.logs.line('the client CA cannot be used');
  t.match(upkeep.notes(), [/^the serving/, /^the client CA stays as it was: .* holds no PEM certificate$/]);
  await writeFile(file, other?.certificate ?? '');
  await upkeep.logs.line('reviews must come with certificates of another client CA from now on');
  t.match(upkeep.served.at(-1), { certificate: pair.certificate });
  t.match((upkeep.served.at(-1) as { clientCa?: string }).clientCa, /^-----BEGIN CERTIFICATE-----/);
  t.not((upkeep.served.at(-1) as { clientCa?: string }).clientCa, first);
});
