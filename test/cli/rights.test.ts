import t from 'tap';
import { attributesOf, forceRight, missingRight, rightInWords } from '../../src/cli/rights.ts';

t.test('the right that an API server names', async (t) => {
  const rbac = (resource: string, group: string, where: string) =>
    `GET /x: 403 ${resource} is forbidden: User "bob" cannot list resource "${resource}" in API group "${group}"${where}`;
  t.same(missingRight(rbac('secrets', '', ' in the namespace "prod"')), {
    verb: 'list',
    resource: 'secrets',
    group: '',
    namespace: 'prod',
  });
  t.same(missingRight(rbac('releaselocks', 'lockkeeper.dev', ' at the cluster scope')), {
    verb: 'list',
    resource: 'releaselocks',
    group: 'lockkeeper.dev',
    namespace: undefined,
  });
  t.equal(missingRight('GET /x: 403 no'), undefined);
});

t.test('in words, with the least role that usually has it', async (t) => {
  const rows: [verb: string, resource: string, group: string, words: string][] = [
    [
      'list',
      'releaselocks',
      'lockkeeper.dev',
      'list releaselocks.lockkeeper.dev in namespace prod, which the role view usually has',
    ],
    [
      'patch',
      'releaselocks',
      'lockkeeper.dev',
      'patch releaselocks.lockkeeper.dev in namespace prod, which the role edit usually has',
    ],
    [
      'delete',
      'releaselocks/force',
      'lockkeeper.dev',
      'delete releaselocks/force in namespace prod, which the role admin usually has',
    ],
    ['update', 'secrets', '', 'update secrets in namespace prod, which the role edit usually has'],
    ['get', 'configmaps', '', 'get configmaps in namespace prod, which the role view usually has'],
    ['update', 'configmaps', '', 'update configmaps in namespace prod, which the role edit usually has'],
    ['get', 'pods', '', 'get pods in namespace prod'],
    ['get', 'secrets', 'example.com', 'get secrets.example.com in namespace prod'],
  ];
  for (const [verb, resource, group, words] of rows) {
    t.equal(rightInWords({ verb, resource, group, namespace: 'prod' }), `the right to ${words}`);
  }
  t.equal(
    rightInWords({ verb: 'list', resource: 'secrets', group: '', namespace: undefined }),
    'the right to list secrets in all namespaces, which the role edit usually has',
  );
});

t.test('as an API server is asked for it', async (t) => {
  t.same(attributesOf(forceRight('prod')), {
    verb: 'delete',
    group: 'lockkeeper.dev',
    resource: 'releaselocks',
    subresource: 'force',
    namespace: 'prod',
  });
  t.same(attributesOf({ verb: 'list', resource: 'secrets', group: '', namespace: undefined }), {
    verb: 'list',
    group: '',
    resource: 'secrets',
  });
});
