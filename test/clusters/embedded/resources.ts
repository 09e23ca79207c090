/** The resources that the embedded cluster serves: one table, generic behaviour. */

export interface Resource {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly shortNames: readonly string[];
  /** A deletion answers with the object, not with a Status. */
  readonly returnsDeleted?: boolean;
  /** PUT of the object leaves `status` alone, and `/status` leaves the rest alone. */
  readonly hasStatus: boolean;
  /** Fields, besides name and namespace, that a field selector may name. */
  readonly selectableFields: readonly string[];
  /** Which rule the names of these objects follow. */
  readonly names: 'subdomain' | 'label' | 'path';
  /** What `kubectl get` prints after the name, as a custom resource definition says; `path` is like `status.phase`. */
  readonly columns?: readonly {
    readonly name: string;
    readonly path: string;
    readonly type?: 'string' | 'integer' | 'date';
  }[];
}

const DEFAULTS = { hasStatus: false, selectableFields: [], names: 'subdomain', shortNames: [] } as const;

type Row = Pick<Resource, 'plural' | 'kind'> & Partial<Resource>;

function rows(group: string, version: string, list: readonly Row[]): Resource[] {
  return list.map((row) => ({ ...DEFAULTS, group, version, namespaced: true, ...row }));
}

const INVOLVED = ['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'];

export const RESOURCES: readonly Resource[] = [
  ...rows('', 'v1', [
    {
      plural: 'namespaces',
      kind: 'Namespace',
      namespaced: false,
      shortNames: ['ns'],
      hasStatus: true,
      selectableFields: ['status.phase'],
      names: 'label',
    },
    { plural: 'secrets', kind: 'Secret', selectableFields: ['type'] },
    { plural: 'configmaps', kind: 'ConfigMap', shortNames: ['cm'] },
    {
      plural: 'pods',
      kind: 'Pod',
      shortNames: ['po'],
      returnsDeleted: true,
      hasStatus: true,
      selectableFields: ['status.phase', 'spec.nodeName', 'spec.serviceAccountName'],
    },
    {
      plural: 'services',
      kind: 'Service',
      shortNames: ['svc'],
      hasStatus: true,
      returnsDeleted: true,
      names: 'label',
    },
    { plural: 'serviceaccounts', kind: 'ServiceAccount', shortNames: ['sa'], returnsDeleted: true },
    {
      plural: 'events',
      kind: 'Event',
      shortNames: ['ev'],
      selectableFields: ['reason', 'type', ...INVOLVED.map((field) => `involvedObject.${field}`)],
    },
  ]),
  ...rows('apps', 'v1', [
    { plural: 'deployments', kind: 'Deployment', shortNames: ['deploy'], hasStatus: true },
    { plural: 'statefulsets', kind: 'StatefulSet', shortNames: ['sts'], hasStatus: true },
    { plural: 'daemonsets', kind: 'DaemonSet', shortNames: ['ds'], hasStatus: true },
    { plural: 'replicasets', kind: 'ReplicaSet', shortNames: ['rs'], hasStatus: true },
  ]),
  ...rows('batch', 'v1', [
    { plural: 'jobs', kind: 'Job', hasStatus: true, selectableFields: ['status.successful'] },
    { plural: 'cronjobs', kind: 'CronJob', shortNames: ['cj'], hasStatus: true },
  ]),
  ...rows('rbac.authorization.k8s.io', 'v1', [
    { plural: 'roles', kind: 'Role', names: 'path' },
    { plural: 'rolebindings', kind: 'RoleBinding', names: 'path' },
    { plural: 'clusterroles', kind: 'ClusterRole', namespaced: false, names: 'path' },
    { plural: 'clusterrolebindings', kind: 'ClusterRoleBinding', namespaced: false, names: 'path' },
  ]),
  ...rows('networking.k8s.io', 'v1', [
    { plural: 'ingresses', kind: 'Ingress', shortNames: ['ing'], hasStatus: true },
    { plural: 'networkpolicies', kind: 'NetworkPolicy', shortNames: ['netpol'] },
  ]),
  ...rows('policy', 'v1', [
    { plural: 'poddisruptionbudgets', kind: 'PodDisruptionBudget', shortNames: ['pdb'], hasStatus: true },
  ]),
  ...rows('coordination.k8s.io', 'v1', [{ plural: 'leases', kind: 'Lease' }]),
  ...rows('admissionregistration.k8s.io', 'v1', [
    {
      plural: 'validatingwebhookconfigurations',
      kind: 'ValidatingWebhookConfiguration',
      namespaced: false,
    },
    // Stored, and never asked: the embedded cluster changes no object on anybody's behalf.
    { plural: 'mutatingwebhookconfigurations', kind: 'MutatingWebhookConfiguration', namespaced: false },
  ]),
  // As deploy/chart/templates/crd.yaml defines it.
  ...rows('lockkeeper.dev', 'v1alpha1', [
    {
      plural: 'releaselocks',
      kind: 'ReleaseLock',
      shortNames: ['rlock'],
      hasStatus: true,
      columns: [
        { name: 'Revision', path: 'spec.revision', type: 'integer' },
        { name: 'Status', path: 'spec.status' },
        { name: 'Holder', path: 'spec.holder.user' },
        { name: 'Pod', path: 'spec.holder.pod.name' },
        { name: 'Age', path: 'spec.since', type: 'date' },
        { name: 'Verdict', path: 'status.verdict' },
        { name: 'Waiting', path: 'status.waiting', type: 'integer' },
      ],
    },
  ]),
];

/** Unique among the resources; the store and the watches know a resource by it. */
export function keyOf(resource: Pick<Resource, 'group' | 'plural'>): string {
  return `${resource.group}/${resource.plural}`;
}

/** The group as Go's types are named in messages: `core.Secret`. */
export function internalGroup({ group }: Pick<Resource, 'group'>): string {
  return group === '' ? 'core' : (group.split('.')[0] as string);
}

export function apiVersionOf({ group, version }: Pick<Resource, 'group' | 'version'>): string {
  return group === '' ? version : `${group}/${version}`;
}
