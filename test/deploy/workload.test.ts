/** The Deployment and what surrounds it. */
import { readFile } from 'node:fs/promises';
import t from 'tap';
import { renderChart } from '../../deploy/render.ts';
import { readConfig } from '../../src/config.ts';
import { chart } from '../support/chart.ts';

interface Container {
  readonly image: string;
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly [field: string]: unknown;
}

interface PodSpec {
  readonly containers: readonly [Container];
  readonly [field: string]: unknown;
}

async function pod(values: object = {}) {
  const { spec } = (await chart(values)).one('Deployment') as unknown as {
    spec: { template: { metadata: object; spec: PodSpec } };
  };
  const [container] = spec.template.spec.containers;
  const environment = Object.fromEntries(container.env.map(({ name, value }) => [name, value]));
  return { template: spec.template, spec: spec.template.spec, container, environment };
}

t.test('the image is that of this version, and may be another', async (t) => {
  const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
  for (const [image, expected] of [
    [{}, `lockkeeper:${version}`],
    [{ repository: 'registry.example.com/lockkeeper', tag: 'next' }, 'registry.example.com/lockkeeper:next'],
    [{ tag: 'next', digest: `sha256:${'0'.repeat(64)}` }, `lockkeeper@sha256:${'0'.repeat(64)}`],
  ] as const) {
    t.equal((await pod({ image })).container.image, expected);
  }
});

/** What is set by the defaults is what Lockkeeper takes when nothing is set. */
t.test('the defaults are those of Lockkeeper itself', async (t) => {
  const { environment } = await pod();
  const { LOCKKEEPER_ADMISSION_PATH: path, ...others } = environment;
  t.equal(path, '/admission');
  t.same(readConfig({ ...others, POD_NAMESPACE: undefined }), readConfig({}));
});

t.test('each value of the configuration arrives', async (t) => {
  const { environment } = await pod({
    drivers: ['secrets', 'configmaps'],
    config: {
      host: '::',
      port: 9443,
      metricsPort: 9100,
      holdSeconds: 5,
      retryAfterSeconds: 7,
      maxWaitSeconds: 86_400,
      maxHeld: 10_000,
      staleAfterSeconds: 31_536_000,
      staleAfterRunningSeconds: 31_536_000,
      deathGraceSeconds: 11,
      autoClear: 'off',
      autoClearExcept: 'a=b',
      drainSeconds: 9,
      logLevel: 'debug',
    },
    tls: {
      authoritySecret: 'my-authority',
      certSeconds: 1_000_000,
      authoritySeconds: 30_000_000,
      hosts: ['lockkeeper.example.com', '10.0.0.5'],
    },
    webhook: { path: '/admission/0a1b2c' },
    fullnameOverride: 'keeper',
    extraEnv: [{ name: 'NODE_OPTIONS', value: '--max-old-space-size=300' }],
  });
  t.same(environment, {
    POD_NAMESPACE: undefined,
    LOCKKEEPER_HOST: '::',
    LOCKKEEPER_PORT: '9443',
    LOCKKEEPER_METRICS_PORT: '9100',
    LOCKKEEPER_HOLD_SECONDS: '5',
    LOCKKEEPER_RETRY_AFTER_SECONDS: '7',
    LOCKKEEPER_MAX_WAIT_SECONDS: '86400',
    LOCKKEEPER_MAX_HELD: '10000',
    LOCKKEEPER_STALE_AFTER_SECONDS: '31536000',
    LOCKKEEPER_STALE_AFTER_RUNNING_SECONDS: '31536000',
    LOCKKEEPER_DEATH_GRACE_SECONDS: '11',
    LOCKKEEPER_AUTO_CLEAR: 'off',
    LOCKKEEPER_AUTO_CLEAR_EXCEPT: 'a=b',
    LOCKKEEPER_DRAIN_SECONDS: '9',
    LOCKKEEPER_LOG_LEVEL: 'debug',
    LOCKKEEPER_ADMISSION_PATH: '/admission/0a1b2c',
    LOCKKEEPER_DRIVERS: 'secrets,configmaps',
    LOCKKEEPER_SERVICE_NAME: 'keeper',
    LOCKKEEPER_WEBHOOK_CONFIGURATION: 'keeper',
    LOCKKEEPER_TLS_SECRET: 'my-authority',
    LOCKKEEPER_TLS_CERT_SECONDS: '1000000',
    LOCKKEEPER_TLS_AUTHORITY_SECONDS: '30000000',
    LOCKKEEPER_TLS_HOSTS: 'lockkeeper.example.com,10.0.0.5',
    NODE_OPTIONS: '--max-old-space-size=300',
  });
  const { NODE_OPTIONS: _, ...ours } = environment;
  t.match(readConfig({ ...ours, POD_NAMESPACE: 'lockkeeper' }), {
    maxHeld: 10_000,
    staleAfterSeconds: 31_536_000,
  });
});

t.test('whatever else is set arrives, too', async (t) => {
  const given = {
    nodeSelector: { pool: 'system' },
    tolerations: [{ key: 'system', operator: 'Exists' }],
    affinity: { nodeAffinity: {} },
    priorityClassName: 'system-cluster-critical',
    imagePullSecrets: [{ name: 'registry' }],
    terminationGracePeriodSeconds: 90,
  };
  const resources = { requests: { cpu: '1' } };
  const topologySpread = { topologyKey: 'topology.kubernetes.io/zone', whenUnsatisfiable: 'DoNotSchedule' };
  const { spec, template, container } = await pod({
    ...given,
    resources,
    topologySpread,
    podLabels: { team: 'platform' },
    podAnnotations: { 'example.com/a': 'b' },
  });
  t.match(spec, { ...given, topologySpreadConstraints: [topologySpread] });
  t.match(container, { resources });
  t.match(template.metadata, { labels: { team: 'platform' }, annotations: { 'example.com/a': 'b' } });
});

t.test('it is replaced one by one, never by fewer, and never from two nodes at once', async (t) => {
  const { one } = await chart();
  const labels = {
    'app.kubernetes.io/name': 'lockkeeper',
    'app.kubernetes.io/instance': 'lockkeeper',
    'app.kubernetes.io/component': 'admission',
  };
  t.match(one('Deployment').spec, {
    replicas: 2,
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
    selector: { matchLabels: labels },
    template: {
      metadata: { labels },
      spec: {
        enableServiceLinks: false,
        topologySpreadConstraints: [
          { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: labels } },
        ],
      },
    },
  });
  t.match(one('PodDisruptionBudget').spec, { maxUnavailable: 1, selector: { matchLabels: labels } });
  t.match(one('Service').spec, {
    selector: labels,
    ports: [
      { name: 'https', port: 8443, targetPort: 'https' },
      { name: 'metrics', port: 9090, targetPort: 'metrics' },
    ],
  });
  t.match(one('NetworkPolicy').spec, {
    podSelector: { matchLabels: labels },
    ingress: [{ ports: [{ port: 'https' }] }, { ports: [{ port: 'metrics' }] }],
  });
});

t.test('the probes ask where it serves', async (t) => {
  const { container } = await pod({ config: { port: 9443 } });
  t.match(container.readinessProbe, { httpGet: { scheme: 'HTTPS', port: 'https', path: '/readyz' } });
  t.match(
    container.livenessProbe,
    { httpGet: { scheme: undefined, port: 'metrics', path: '/livez' } },
    'whether there is a certificate or not',
  );
  t.match(container.ports, [{ name: 'https', containerPort: 9443 }]);
});

t.test('without the port for metrics, nothing names it', async (t) => {
  const { one } = await chart({ config: { metricsPort: 0 } });
  t.match((one('Service').spec as { ports: unknown[] }).ports, { length: 1 });
  t.match((one('NetworkPolicy').spec as { ingress: unknown[] }).ingress, { length: 1 });
  const { container } = await pod({ config: { metricsPort: 0 } });
  t.match(container.ports, { length: 1 });
  t.match(container.livenessProbe, { tcpSocket: { port: 'https' }, httpGet: undefined });
});

t.test('who may connect can be told', async (t) => {
  const httpsFrom = [{ ipBlock: { cidr: '10.0.0.0/28' } }];
  const metricsFrom = [{ podSelector: { matchLabels: { app: 'prometheus' } } }];
  // As text: the reader of YAML has a name of its own for `from`.
  const text = await renderChart({
    version: '3.17.3',
    values: { networkPolicy: { httpsFrom, metricsFrom } },
  });
  t.match(text, /- port: https\n +from:\n +- ipBlock:\n +cidr: 10\.0\.0\.0\/28\n/);
  t.match(text, /- port: metrics\n +from:\n +- podSelector:\n +matchLabels:\n +app: prometheus\n/);
});

t.test('what is not wanted is left out', async (t) => {
  const off = { enabled: false };
  const { all, hooks } = await chart({
    fence: off,
    networkPolicy: off,
    podDisruptionBudget: off,
    flowControl: off,
    releaseLocks: off,
    test: off,
  });
  for (const kind of [
    'ValidatingAdmissionPolicy',
    'ValidatingAdmissionPolicyBinding',
    'NetworkPolicy',
    'PodDisruptionBudget',
    'FlowSchema',
    'PriorityLevelConfiguration',
    'CustomResourceDefinition',
  ]) {
    t.same(all(kind), [], kind);
  }
  t.same(hooks('test'), []);
});

t.test('for the Prometheus operator there is what it reads', async (t) => {
  const labels = { release: 'prometheus' };
  const { one } = await chart({
    metrics: {
      serviceMonitor: { enabled: true, labels, interval: '15s' },
      prometheusRule: { enabled: true, labels, alertLabels: { team: 'platform' } },
    },
  });
  t.match(one('ServiceMonitor'), {
    metadata: { labels },
    spec: { endpoints: [{ port: 'metrics', interval: '15s' }] },
  });
  const rule = one('PrometheusRule') as unknown as {
    spec: { groups: [{ rules: { alert: string; expr: string; labels: object }[] }] };
  };
  const [{ rules }] = rule.spec.groups;
  t.match(rules, [
    { alert: 'LockkeeperDown', expr: /^absent\(lockkeeper_ready\{.+\} == 1\)$/ },
    { alert: 'LockkeeperCannotRead' },
    { alert: 'LockkeeperWatchSilent' },
    { alert: 'LockkeeperHoldsFull', expr: / >= 20$/ },
    { alert: 'LockkeeperStaleLocks' },
    { alert: 'LockkeeperCertificateExpires', expr: / < 648000$/ },
  ]);
  const metrics = await readFile('src/http/metrics.ts', 'utf8');
  for (const { alert, expr, labels } of rules) {
    t.match(labels, { severity: /^(critical|warning)$/, team: 'platform' }, alert);
    const [, name = ''] = /(lockkeeper_\w+)\{namespace="lockkeeper",service="lockkeeper"/.exec(expr) ?? [];
    t.match(metrics, `'${name}'`, `${alert} asks for ${name}, which there is`);
  }
});

t.test(
  'a secret path: no replica is told of one, each says that it knows such, and may keep it',
  async (t) => {
    const issuer = { mode: 'certManager', certManager: { issuerRef: { name: 'ours' } } };
    for (const tls of [{}, issuer, { mode: 'existingSecret', existingSecret: 'mine' }]) {
      const mine = 'existingSecret' in tls;
      const webhook = { path: '', ...(mine && { caBundle: 'QQ==' }) };
      const { template, environment } = await pod({ tls, webhook });
      t.notOk('LOCKKEEPER_ADMISSION_PATH' in environment);
      t.equal(environment.LOCKKEEPER_TLS_SECRET, 'lockkeeper-ca');
      t.match(template.metadata, { labels: { 'lockkeeper.dev/secret-path': 'true' } });
      const rendered = await chart({ tls, webhook, drivers: ['configmaps'] });
      t.match(rendered.one('Role').rules, [
        { resources: ['secrets'], verbs: ['create'] },
        { resourceNames: ['lockkeeper-ca'], verbs: ['get', 'list', 'watch', 'update'] },
      ]);
      const { webhooks } = rendered.one('ValidatingWebhookConfiguration') as unknown as {
        webhooks: readonly { clientConfig: { service: object } }[];
      };
      for (const { clientConfig } of webhooks) t.notOk('path' in clientConfig.service, 'nor is Helm');
    }
    const { template } = await pod();
    t.notMatch(template.metadata, { labels: { 'lockkeeper.dev/secret-path': 'true' } });
  },
);

t.test('the authority of API servers is mounted, and read', async (t) => {
  const { spec, container, environment } = await pod({ webhook: { clientCaSecret: 'mine' } });
  t.equal(environment.LOCKKEEPER_CLIENT_CA_FILE, '/etc/lockkeeper/client-ca/ca.crt');
  t.match(spec.volumes, [{ name: 'client-ca', secret: { secretName: 'mine', items: [{ key: 'ca.crt' }] } }]);
  t.match(container.volumeMounts, [{ name: 'client-ca', mountPath: '/etc/lockkeeper/client-ca' }]);
});
