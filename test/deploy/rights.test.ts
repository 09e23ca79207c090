/** What the chart grants, and to whom; that it is needed is told by test/control-plane/rights.e2e.ts. */
import { readFile } from 'node:fs/promises';
import t from 'tap';
import { chart } from '../support/chart.ts';
import { isForPeople, readFence, readRights, rightsAmong } from '../support/manifests.ts';

const BOTH = { drivers: ['secrets', 'configmaps'] };

/** As `group/resource name: verbs`. */
async function rightsIn(kind: string, values: object): Promise<string[]> {
  const { all } = await chart(values);
  const ours = all(kind).filter((role) => !isForPeople(role));
  const rules = ours.flatMap((role) => role.rules as Record<string, readonly string[]>[]);
  return rules.map(({ apiGroups = [], resources = [], resourceNames = [], verbs = [] }) =>
    [...apiGroups, resources.join('+'), ...resourceNames, verbs.join('+')].join(' ').trim(),
  );
}

const OTHERS = [
  'pods get+list',
  'namespaces get',
  'events create',
  'authentication.k8s.io tokenreviews create',
  'authorization.k8s.io subjectaccessreviews create',
  'lockkeeper.dev releaselocks list+watch+create+update+delete',
  'lockkeeper.dev releaselocks/status update',
];

const CONFIGURATION =
  'admissionregistration.k8s.io validatingwebhookconfigurations+mutatingwebhookconfigurations lockkeeper get+list+watch+patch';

const RECORDS = 'get+list+watch+update+delete';

const FILES = { mode: 'existingSecret', existingSecret: 'mine' };

t.test('each mode has the rights that it needs', async (t) => {
  for (const { mode, values, everywhere, ownNamespace } of [
    {
      mode: 'by default',
      values: {},
      everywhere: [`secrets ${RECORDS}`, ...OTHERS, CONFIGURATION],
      ownNamespace: ['secrets create'],
    },
    {
      mode: 'releases in both drivers',
      values: BOTH,
      everywhere: [`secrets+configmaps ${RECORDS}`, ...OTHERS, CONFIGURATION],
      ownNamespace: ['secrets create'],
    },
    {
      mode: 'releases in ConfigMaps only',
      values: { drivers: ['configmaps'] },
      everywhere: [`configmaps ${RECORDS}`, ...OTHERS, CONFIGURATION],
      ownNamespace: ['secrets create', 'secrets lockkeeper-ca get+list+watch+update'],
    },
    {
      mode: 'the certificate is kept by others',
      values: { tls: FILES, webhook: { caBundle: 'QQ==' } },
      everywhere: [`secrets ${RECORDS}`, ...OTHERS, CONFIGURATION],
      ownNamespace: [],
    },
    {
      mode: 'nothing of the webhook configuration is kept by Lockkeeper',
      values: { tls: FILES, webhook: { caBundle: 'QQ==', arm: 'always' } },
      everywhere: [`secrets ${RECORDS}`, ...OTHERS],
      ownNamespace: [],
    },
  ]) {
    const rights = (names: string[]) => names.map((name) => name.replace(/^ /, ''));
    t.same(rights(await rightsIn('ClusterRole', values)), everywhere, `${mode}: everywhere`);
    t.same(await rightsIn('Role', values), ownNamespace, `${mode}: in its own namespace`);
  }
});

t.test('they are those of its service account, whoever made it', async (t) => {
  for (const [values, name] of [
    [{}, 'lockkeeper'],
    [{ serviceAccount: { create: false, name: 'mine' } }, 'mine'],
  ] as const) {
    const rendered = await chart(values);
    const subjects = [{ kind: 'ServiceAccount', name, namespace: 'lockkeeper' }];
    t.match(rendered.one('ClusterRoleBinding'), { roleRef: { name: 'lockkeeper' }, subjects });
    t.match(rendered.one('RoleBinding'), { roleRef: { name: 'lockkeeper' }, subjects });
    t.match(rendered.one('Deployment'), { spec: { template: { spec: { serviceAccountName: name } } } });
    t.match(rendered.one('FlowSchema'), {
      spec: { rules: [{ subjects: [{ serviceAccount: { name, namespace: 'lockkeeper' } }] }] },
    });
    t.equal(rendered.all('ServiceAccount').length, name === 'lockkeeper' ? 1 : 0);
  }
});

t.test('tests of Lockkeeper have the rights and the fence of the chart', async (t) => {
  const { all } = await chart(BOTH);
  for (const object of await readRights()) t.same([object], rightsAmong(all(object.kind)), object.kind);
  for (const object of await readFence()) t.same([object], all(object.kind), object.kind);
  t.equal((await readRights()).length, 5);
  t.equal((await readFence()).length, 2);
});

t.test('beside each right there is the code that needs it', async (t) => {
  const templates = new URL('../../deploy/chart/templates/', import.meta.url);
  for (const name of ['rbac.yaml', 'self-test.yaml']) {
    const text = await readFile(new URL(name, templates), 'utf8');
    const named = [...text.matchAll(/(\w+)(?: and (\w+))? in (src\/[\w/-]+\.ts)/g)];
    t.ok(named.length > 0);
    for (const [, first, second, file = ''] of named) {
      const code = await readFile(new URL(`../../${file}`, import.meta.url), 'utf8');
      for (const word of [first, second])
        if (word) t.match(code, new RegExp(`\\b${word}\\b`), `${word} in ${file}`);
    }
  }
});
