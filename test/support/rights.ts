/**
 * A cluster on which people may do what RBAC objects grant, and nothing else. A real one judges by itself; the
 * embedded one, which knows no RBAC, asks here. Administrators may do everything on both.
 */
import type { Test } from 'tap';
import type { ApiClient } from '../clusters/client.ts';
import type { Cluster } from '../clusters/cluster.ts';
import type { AccessRequest } from '../clusters/embedded/users.ts';
import type { KubernetesObject } from '../clusters/kubernetes-object.ts';
import { REAL, startCluster } from '../clusters/start.ts';
import { apply, readRights, remove } from './manifests.ts';

const API = 'rbac.authorization.k8s.io';

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

interface Subject {
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
}

type Binding = KubernetesObject & {
  readonly roleRef: { readonly kind: string; readonly name: string };
  readonly subjects: readonly Subject[];
};

export interface ClusterWithRights {
  readonly cluster: Cluster;
  /** Resolves when the roles and bindings among the objects are in force. */
  grant(objects: readonly KubernetesObject[]): Promise<void>;
  /** Resolves when what they granted is denied. */
  withdraw(objects: readonly KubernetesObject[]): Promise<void>;
}

/** What gives a user these rights in a namespace. */
export function roleFor(username: string, namespace: string, rules: readonly Rule[]): KubernetesObject[] {
  const metadata = { name: username, namespace };
  const apiVersion = `${API}/v1`;
  return [
    { apiVersion, kind: 'Role', metadata, rules },
    {
      apiVersion,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: API, kind: 'Role', name: username },
      subjects: [{ apiGroup: API, kind: 'User', name: username }],
    },
  ];
}

/** With the namespace `prod`, and with what the manifest grants to Lockkeeper. Ends with the test. */
export async function clusterWithRights(t: Test): Promise<ClusterWithRights> {
  const granted = new Set<KubernetesObject>();
  const cluster = await startCluster(t, {
    authorize: (request) => isAdministrator(request) || isGranted([...granted], request),
  });
  const admin = await cluster.client();
  for (const namespace of ['prod', 'lockkeeper']) await admin.createNamespace(namespace);
  const all = () => [...granted];

  async function grant(objects: readonly KubernetesObject[]): Promise<void> {
    for (const object of objects) granted.add(object);
    if (REAL) await apply(admin, objects);
    await inForce(admin, attributesOf(objects.filter(isBinding), all()), true);
  }
  await grant(await readRights());
  return {
    cluster,
    grant,
    async withdraw(objects) {
      const attributes = attributesOf(objects.filter(isBinding), all());
      for (const object of objects) {
        for (const one of granted) if (isSame(one, object)) granted.delete(one);
      }
      if (REAL) await remove(admin, objects);
      await inForce(admin, attributes, false);
    },
  };
}

/** As the control plane for tests makes them. */
function isAdministrator({ user: { username, groups } }: AccessRequest): boolean {
  return groups.includes('system:masters') || ['alice', 'bob', 'carol'].includes(username);
}

function isBinding(object: KubernetesObject): object is Binding {
  return object.kind === 'RoleBinding' || object.kind === 'ClusterRoleBinding';
}

function isSame(one: KubernetesObject, other: KubernetesObject): boolean {
  const key = ({ kind, metadata: { namespace, name } }: KubernetesObject) => `${kind} ${namespace} ${name}`;
  return key(one) === key(other);
}

function usernameOf({ kind, namespace, name }: Subject): string {
  return kind === 'ServiceAccount' ? `system:serviceaccount:${namespace}:${name}` : name;
}

function rulesOf({ roleRef, metadata }: Binding, objects: readonly KubernetesObject[]): readonly Rule[] {
  const namespace = roleRef.kind === 'Role' ? metadata.namespace : undefined;
  const role = objects.find(
    (object) =>
      object.kind === roleRef.kind &&
      object.metadata.name === roleRef.name &&
      object.metadata.namespace === namespace,
  );
  return (role?.rules as readonly Rule[] | undefined) ?? [];
}

function isGranted(objects: readonly KubernetesObject[], request: AccessRequest): boolean {
  const { user, namespace, group, resource, verb, name } = request;
  return objects
    .filter(isBinding)
    .filter(({ subjects }) => subjects.some((subject) => usernameOf(subject) === user.username))
    .filter(({ metadata }) => metadata.namespace === undefined || metadata.namespace === namespace)
    .flatMap((binding) => rulesOf(binding, objects))
    .some(
      ({ apiGroups, resources, resourceNames = [name], verbs }) =>
        apiGroups.includes(group) &&
        resources.includes(resource) &&
        resourceNames.includes(name) &&
        verbs.includes(verb),
    );
}

/** All that bindings grant, one by one, as a SubjectAccessReview asks for it. */
function attributesOf(bindings: readonly Binding[], objects: readonly KubernetesObject[]) {
  return bindings.flatMap((binding) =>
    binding.subjects.map(usernameOf).flatMap((user) =>
      rulesOf(binding, objects).flatMap(({ apiGroups, resources, resourceNames: [name] = [], verbs }) =>
        apiGroups.flatMap((group) =>
          resources.flatMap((full) => {
            const [resource, subresource] = full.split('/');
            const { namespace } = binding.metadata;
            const common = {
              group,
              resource,
              ...(subresource && { subresource }),
              ...(namespace && { namespace }),
              ...(name && { name }),
            };
            return verbs.map((verb) => ({ user, resourceAttributes: { ...common, verb } }));
          }),
        ),
      ),
    ),
  );
}

/** A real API server takes some milliseconds to hear of a binding. */
async function inForce(
  admin: ApiClient,
  questions: ReturnType<typeof attributesOf>,
  expected: boolean,
): Promise<void> {
  const isAllowed = async (spec: object) => {
    const review = await admin.create('/apis/authorization.k8s.io/v1/subjectaccessreviews', {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec,
    });
    return (review.status as { allowed: boolean }).allowed;
  };
  for (const question of questions) while ((await isAllowed(question)) !== expected);
}
