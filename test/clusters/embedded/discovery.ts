/** What clients ask before anything else: which version, which groups, which resources. */
import { apiVersionOf, type Resource } from './resources.ts';

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

const VERSION = {
  major: '1',
  minor: '35',
  gitVersion: 'v1.35.0-embedded',
  gitCommit: 'embedded',
  gitTreeState: 'clean',
  buildDate: '2026-01-01T00:00:00Z',
  goVersion: 'none',
  compiler: 'none',
  platform: 'linux/amd64',
};

/** The discovery document at a path, or undefined when there is none. */
export function discover(path: string, resources: readonly Resource[]): object | undefined {
  const [root, first, second, ...more] = path.split('/').slice(1);
  if (more.length > 0) return undefined;
  if (root === 'version' && first === undefined) return VERSION;
  if (root === 'api') return second === undefined ? core(first, resources) : undefined;
  if (root !== 'apis') return undefined;
  if (first === undefined) return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups(resources) };
  if (second !== undefined) return resourceList(first, second, resources);
  const group = groups(resources).find(({ name }) => name === first);
  return group && { kind: 'APIGroup', apiVersion: 'v1', ...group };
}

function core(version: string | undefined, resources: readonly Resource[]): object | undefined {
  if (version !== undefined) return resourceList('', version, resources);
  return { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] };
}

function groups(resources: readonly Resource[]) {
  const versions = new Map(
    resources.filter(({ group }) => group !== '').map((row) => [row.group, row.version]),
  );
  return [...versions].map(([name, version]) => {
    const groupVersion = { groupVersion: `${name}/${version}`, version };
    return { name, versions: [groupVersion], preferredVersion: groupVersion };
  });
}

function resourceList(group: string, version: string, resources: readonly Resource[]): object | undefined {
  const served = resources.filter((resource) => resource.group === group && resource.version === version);
  if (served.length === 0) return undefined;
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: apiVersionOf({ group, version }),
    resources: served.flatMap(entries),
  };
}

function entries({ plural, kind, namespaced, shortNames, hasStatus }: Resource): object[] {
  const verbs = VERBS.filter((verb) => kind !== 'Namespace' || verb !== 'deletecollection');
  const main = {
    name: plural,
    singularName: kind.toLowerCase(),
    namespaced,
    kind,
    verbs,
    ...(shortNames.length > 0 && { shortNames }),
  };
  if (!hasStatus) return [main];
  return [
    main,
    { name: `${plural}/status`, singularName: '', namespaced, kind, verbs: ['get', 'patch', 'update'] },
  ];
}
