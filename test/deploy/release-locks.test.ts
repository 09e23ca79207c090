/** The definition of ReleaseLocks, and what people may do with them. */
import t from 'tap';
import { RESOURCES } from '../clusters/embedded/resources.ts';
import { chart } from '../support/chart.ts';
import { isForPeople, readDefinition } from '../support/manifests.ts';

interface Definition {
  readonly group: string;
  readonly names: { readonly plural: string; readonly kind: string; readonly shortNames: readonly string[] };
  readonly versions: readonly [
    {
      readonly name: string;
      readonly subresources: object;
      readonly additionalPrinterColumns: readonly { name: string; type: string; jsonPath: string }[];
      readonly schema: { readonly openAPIV3Schema: Schema };
    },
  ];
}

interface Schema {
  readonly type: string;
  readonly description?: string;
  readonly maxLength?: number;
  readonly enum?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

const { spec } = (await readDefinition()) as unknown as { spec: Definition };
const [version] = spec.versions;

t.test('the embedded cluster serves what is defined', async (t) => {
  const { group, names } = spec;
  const { plural, kind, shortNames } = names;
  const served = RESOURCES.find(({ plural }) => plural === 'releaselocks');
  t.match(served, {
    group,
    version: version.name,
    plural,
    kind,
    shortNames,
    hasStatus: true,
    namespaced: true,
  });
  t.same(
    served?.columns?.map(({ name, path, type = 'string' }) => ({ name, type, jsonPath: `.${path}` })),
    version.additionalPrinterColumns,
  );
});

t.test('each field is explained, and none takes texts without end', async (t) => {
  let fields = 0;
  function check(path: string, { type, description, properties = {}, items, ...schema }: Schema) {
    fields += 1;
    if (!path.endsWith('[]')) t.match(description, /\w\.$/, path);
    if (type === 'string') t.ok(schema.enum ?? schema.maxLength, `${path} has its bounds`);
    for (const [name, inner] of Object.entries(properties)) check(`${path}.${name}`, inner);
    if (items) check(`${path}[]`, items);
  }
  check('', version.schema.openAPIV3Schema);
  t.equal(fields, 26);
});

t.test(
  'who may look at workloads sees locks, who may change them may annotate and clear, an admin may force, nobody writes',
  async (t) => {
    const { all } = await chart();
    const roles = all('ClusterRole').filter(isForPeople);
    const granted = roles.map(({ metadata: { labels = {} }, rules }) => ({
      to: Object.keys(labels).flatMap((label) => label.split('/aggregate-to-')[1] ?? []),
      rules: JSON.parse(JSON.stringify(rules)),
    }));
    const rule = (resource: string, ...verbs: string[]) => [
      { apiGroups: ['lockkeeper.dev'], resources: [resource], verbs },
    ];
    t.same(granted, [
      { to: ['view'], rules: rule('releaselocks', 'get', 'list', 'watch') },
      { to: ['edit', 'admin'], rules: rule('releaselocks', 'get', 'list', 'watch', 'patch', 'delete') },
      { to: ['admin'], rules: rule('releaselocks/force', 'delete') },
    ]);
    t.same((await chart({ releaseLocks: { enabled: false } })).all('ClusterRole').filter(isForPeople), []);
  },
);
