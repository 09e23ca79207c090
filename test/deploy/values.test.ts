/** Values that are wrong are refused in words; and that every value is explained, and known to the schema. */
import { readFile } from 'node:fs/promises';
import { loadYaml } from '@kubernetes/client-node';
import t from 'tap';
import { CHART } from '../../deploy/render.ts';
import { chart } from '../support/chart.ts';
import { helmBinaries } from '../tools/binaries.ts';
import { run } from '../tools/run.ts';

t.test('helm lint finds nothing to say of it', async (t) => {
  for (const { version, helm } of await helmBinaries()) {
    const { code, stdout } = await run(helm, ['lint', '--strict', CHART]);
    t.match({ code, stdout }, { code: 0, stdout: /1 chart\(s\) linted, 0 chart\(s\) failed/ }, version);
    t.notMatch(stdout, /WARNING|ERROR/, version);
  }
});

t.test('its version is that of Lockkeeper', async (t) => {
  const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
  t.match(loadYaml(await readFile(`${CHART}/Chart.yaml`, 'utf8')), {
    version,
    appVersion: version,
    kubeVersion: '>=1.30.0-0',
  });
});

const REFUSED: readonly { readonly what: string; readonly values: object; readonly words: RegExp }[] = [
  {
    what: 'a name that is not there',
    values: { replicaCount: 3 },
    words: /dditional propert(y|ies) '?replicaCount/,
  },
  {
    what: 'a variable that is not there',
    values: { config: { holdSecs: 3 } },
    words: /config.*dditional propert(y|ies) '?holdSecs/s,
  },
  {
    what: 'another type',
    values: { replicas: 'two' },
    words: /replicas.*(integer.*string|string.*integer)/s,
  },
  { what: 'a number out of range', values: { config: { holdSeconds: 29 } }, words: /holdSeconds.*28/s },
  {
    what: 'a word that is not one of those',
    values: { webhook: { arm: 'never' } },
    words: /arm.*whenReady/s,
  },
  { what: 'another driver', values: { drivers: ['sql'] }, words: /drivers.*secrets/s },
  { what: 'no driver', values: { drivers: [] }, words: /drivers/ },
  {
    what: 'cert-manager without an issuer',
    values: { tls: { mode: 'certManager' } },
    words:
      /tls\.mode is certManager, so tls\.certManager\.issuerRef\.name must name an issuer of cert-manager/,
  },
  {
    what: 'a Secret without a name',
    values: { tls: { mode: 'existingSecret' }, webhook: { caBundle: 'QQ==' } },
    words:
      /tls\.mode is existingSecret, so tls\.existingSecret must name a Secret with tls\.crt and tls\.key/,
  },
  {
    what: 'a Secret that nobody trusts',
    values: { tls: { mode: 'existingSecret', existingSecret: 'mine' } },
    words:
      /webhook\.caBundle must hold the authority that signed its certificate: --set-file webhook\.caBundle=ca\.crt/,
  },
  {
    what: 'whom to trust, where that is kept current',
    values: { webhook: { caBundle: 'QQ==' } },
    words: /webhook\.caBundle is kept current by itself when tls\.mode is selfManaged: leave it empty/,
  },
  {
    what: 'a secret path that Lockkeeper may not write',
    values: {
      tls: { mode: 'certManager', certManager: { issuerRef: { name: 'ours' } } },
      webhook: { path: '', arm: 'always' },
    },
    words: /webhook\.path is empty, so Lockkeeper has to write the path .*: set webhook\.arm to whenReady/,
  },
  {
    what: 'a secret path in a URL of Helm',
    values: { webhook: { path: '', url: 'https://10.0.0.5:8443' } },
    words: /webhook\.path is empty, so Lockkeeper would have to change webhook\.url, which is Helm's/,
  },
  {
    what: 'nobody to ask',
    values: { replicas: 0 },
    words: /replicas is 0, so webhook\.url must say where Lockkeeper runs/,
  },
  ...['kube-system', 'lockkeeper', 'sandbox'].map((namespace) => ({
    what: `a test where nobody is asked, in ${namespace}`,
    values: { test: { namespace }, webhook: { excludedNamespaces: ['sandbox'] } },
    words: new RegExp(`test\\.namespace is ${namespace}, in which nobody is asked: name another one`),
  })),
  {
    what: 'one port for two',
    values: { config: { metricsPort: 8443 } },
    words: /config\.metricsPort is 8443, but must differ from config\.port/,
  },
  {
    what: 'too little time to end',
    values: { config: { drainSeconds: 50 } },
    words: /terminationGracePeriodSeconds is 60, but must be at least 65/,
  },
  {
    what: 'a service account of nobody',
    values: { serviceAccount: { create: false } },
    words: /serviceAccount\.name must be set when serviceAccount\.create is false/,
  },
];

t.test('what is wrong is refused in words', async (t) => {
  for (const { what, values, words } of REFUSED) {
    const versions = ['3.9.4', '3.17.3', '4.1.4'] as const;
    const refusals = versions.map((version) =>
      t.rejects(chart(values, version), { message: words }, `${what}, Helm ${version}`),
    );
    await Promise.all(refusals);
  }
});

t.test('a process outside of the cluster needs no replica inside', async (t) => {
  const { one } = await chart({ replicas: 0, webhook: { url: 'https://10.0.0.5:8443/admission' } });
  t.match(one('Deployment').spec, { replicas: 0 });
});

/** Paths of the leaves, such as `config.port`; an object without any is one. */
function leavesOf(value: unknown, path: readonly string[] = []): string[] {
  const entries =
    value !== null && typeof value === 'object' && !Array.isArray(value) ? Object.entries(value) : [];
  if (entries.length === 0) return [path.join('.')];
  return entries.flatMap(([name, inner]) => leavesOf(inner, [...path, name]));
}

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | object;
}

function leavesOfSchema({ properties = {} }: Schema, path: readonly string[] = []): string[] {
  const entries = Object.entries(properties);
  if (entries.length === 0) return [path.join('.')];
  return entries.flatMap(([name, inner]) => leavesOfSchema(inner, [...path, name]));
}

t.test('each value has a default and a line that explains it, and the schema knows no others', async (t) => {
  const text = await readFile(`${CHART}/values.yaml`, 'utf8');
  const schema = JSON.parse(await readFile(`${CHART}/values.schema.json`, 'utf8')) as Schema;
  const { resources: _, ...values } = loadYaml(text) as { resources: object };
  const known = leavesOfSchema(schema).filter((path) => path !== 'global' && path !== 'resources');
  // What selects namespaces is an empty object by default, and two fields to the schema.
  const fields = ['webhook.namespaceSelector.matchLabels', 'webhook.namespaceSelector.matchExpressions'];
  t.same([...leavesOf(values), ...fields].sort(), [...known, 'webhook.namespaceSelector'].sort());
  t.equal(schema.additionalProperties, false);

  const lines = text.split('\n');
  const unexplained = lines.filter((line, index) => {
    const isNested = /^ +[a-zA-Z]/.test(line);
    const isValue = /^ *[a-zA-Z]+:/.test(line);
    return isValue && !isNested && !lines[index - 1]?.startsWith('#');
  });
  t.same(
    unexplained,
    [
      'image:',
      'tls:',
      'webhook:',
      'serviceAccount:',
      'nodeSelector: {}',
      'tolerations: []',
      'affinity: {}',
      'podAnnotations: {}',
      'podLabels: {}',
    ],
    'but for groups, and for the fields of a pod',
  );
});
