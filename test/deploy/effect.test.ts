/** Each value has an effect: what is set, and in the values only, is found in what the chart makes. */
import { readFile } from 'node:fs/promises';
import { loadYaml } from '@kubernetes/client-node';
import t from 'tap';
import { CHART, renderChart } from '../../deploy/render.ts';

/** Unlike the defaults, and unlike each other. */
const MARKED = {
  replicas: 41,
  image: { repository: 'marked-repository', tag: 'marked-tag', pullPolicy: 'Never' },
  imagePullSecrets: [{ name: 'marked-pull-secret' }],
  fullnameOverride: 'marked-name',
  drivers: ['configmaps'],
  config: {
    host: 'marked-host',
    port: 4101,
    metricsPort: 4102,
    holdSeconds: 27,
    retryAfterSeconds: 3401,
    maxWaitSeconds: 4103,
    maxHeld: 4104,
    staleAfterSeconds: 4105,
    staleAfterRunningSeconds: 4111,
    deathGraceSeconds: 3404,
    autoClear: 'expired',
    autoClearExcept: 'marked-selector',
    drainSeconds: 3402,
    logLevel: 'silent',
  },
  extraEnv: [{ name: 'MARKED_VARIABLE', value: 'x' }],
  tls: {
    authoritySecret: 'marked-authority',
    certSeconds: 4106,
    authoritySeconds: 4107,
    hosts: ['marked.example.com'],
  },
  webhook: {
    failurePolicy: 'Ignore',
    timeoutSeconds: 29,
    excludedNamespaces: ['marked-excluded'],
    namespaceSelector: {
      matchLabels: { 'marked-label': 'x' },
      matchExpressions: [{ key: 'marked-expression', operator: 'Exists' }],
    },
    path: '/marked-path',
    clientCaSecret: 'marked-client-ca',
    url: 'https://marked.example.com/marked-path',
    caBundle: 'bWFya2Vk',
  },
  test: { namespace: 'marked-namespace', patienceSeconds: 3403, hookDeletePolicy: 'hook-failed' },
  serviceAccount: { name: 'marked-account', annotations: { 'example.com/marked-annotation': 'x' } },
  resources: { limits: { memory: '4108Mi' } },
  topologySpread: { topologyKey: 'marked.example.com/topology', whenUnsatisfiable: 'DoNotSchedule' },
  priorityClassName: 'marked-priority',
  terminationGracePeriodSeconds: 4109,
  nodeSelector: { 'marked-node': 'x' },
  tolerations: [{ key: 'marked-toleration', operator: 'Exists' }],
  affinity: { nodeAffinity: { markedAffinity: 'x' } },
  podAnnotations: { 'example.com/marked-pod': 'x' },
  podLabels: { 'marked-pod-label': 'x' },
  networkPolicy: {
    httpsFrom: [{ ipBlock: { cidr: '10.41.0.0/28' } }],
    metricsFrom: [{ ipBlock: { cidr: '10.42.0.0/28' } }],
  },
  flowControl: { concurrencyShares: 411, matchingPrecedence: 4110 },
  metrics: {
    serviceMonitor: { enabled: true, labels: { 'marked-monitor': 'x' }, interval: '411s' },
    prometheusRule: { enabled: true, labels: { 'marked-rule': 'x' }, alertLabels: { 'marked-alert': 'x' } },
  },
};

/** What shows in other ways: the other tests of this folder tell how. */
const TOLD_ELSEWHERE = [
  'fence.enabled',
  'flowControl.enabled',
  'image.digest',
  'metrics.prometheusRule.enabled',
  'metrics.serviceMonitor.enabled',
  'networkPolicy.enabled',
  'podDisruptionBudget.enabled',
  'releaseLocks.enabled',
  'serviceAccount.create',
  'test.enabled',
  'tls.certManager.duration',
  'tls.certManager.issuerRef.group',
  'tls.certManager.issuerRef.kind',
  'tls.certManager.issuerRef.name',
  'tls.existingSecret',
  'tls.mode',
  'webhook.arm',
];

/** Paths of what is no object, or an empty one; what is in lists is of no account. */
function leavesOf(value: unknown, path: readonly string[] = []): [string, unknown][] {
  const isObject = value !== null && typeof value === 'object' && !Array.isArray(value);
  const entries = isObject ? Object.entries(value) : [];
  if (entries.length === 0) return [[path.join('.'), value]];
  return entries.flatMap(([name, inner]) => leavesOf(inner, [...path, name]));
}

/** The keys and values that tell a value from all others. */
function marksOf(value: unknown): string[] {
  if (value === null || typeof value !== 'object') return [String(value)];
  return Object.entries(value).flatMap(([key, inner]) => [
    ...(key.includes('marked') ? [key] : []),
    ...marksOf(inner),
  ]);
}

t.test('each value is found in what is rendered', async (t) => {
  const [before = '', after = ''] = await Promise.all(
    [{}, MARKED].map((values) => renderChart({ version: '3.17.3', values })),
  );
  const count = (text: string, mark: string) => text.split(mark).length - 1;
  for (const [path, value] of leavesOf(MARKED)) {
    if (value === true) continue; // a switch shows in all that it brings
    const marks = [...path.split('.').filter((name) => name.includes('marked')), ...marksOf(value)];
    for (const mark of marks) t.ok(count(after, mark) > count(before, mark), `${path}: ${mark}`);
  }
});

t.test('each value is tried, here or elsewhere', async (t) => {
  const defaults = loadYaml(await readFile(`${CHART}/values.yaml`, 'utf8')) as object;
  const tried = [...leavesOf(MARKED).map(([path]) => path), ...TOLD_ELSEWHERE];
  const isTried = (path: string) => tried.some((other) => other === path || other.startsWith(`${path}.`));
  const untried = leavesOf(defaults).filter(([path]) => !isTried(path) && !path.startsWith('resources.'));
  t.same(
    untried.map(([path]) => path),
    [],
  );
});
