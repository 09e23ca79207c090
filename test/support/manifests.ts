/** Applies manifests of this repository, as kubectl would on a cluster that has none of their objects. */
import { readFile } from 'node:fs/promises';
import { loadAllYaml, loadYaml } from '@kubernetes/client-node';
import type { ApiClient } from '../clusters/client.ts';
import { KEPT } from '../clusters/control-plane/empty.ts';
import type { KubernetesObject } from '../clusters/kubernetes-object.ts';

/** Where the API server keeps each kind that our manifests hold. */
const COLLECTIONS: Readonly<Record<string, string>> = {
  ServiceAccount: 'serviceaccounts',
  Role: 'roles',
  RoleBinding: 'rolebindings',
  ClusterRole: 'clusterroles',
  ClusterRoleBinding: 'clusterrolebindings',
  ValidatingAdmissionPolicy: 'validatingadmissionpolicies',
  ValidatingAdmissionPolicyBinding: 'validatingadmissionpolicybindings',
  ValidatingWebhookConfiguration: 'validatingwebhookconfigurations',
  MutatingWebhookConfiguration: 'mutatingwebhookconfigurations',
  CustomResourceDefinition: 'customresourcedefinitions',
};

const RIGHTS = ['ServiceAccount', 'Role', 'RoleBinding', 'ClusterRole', 'ClusterRoleBinding'];

const FENCE = ['ValidatingAdmissionPolicy', 'ValidatingAdmissionPolicyBinding'];

/** @param path from the root of the repository, such as `docs/pipeline/rbac.yaml` */
export async function readManifest(path: string): Promise<KubernetesObject[]> {
  return loadAllYaml(await readFile(new URL(`../../${path}`, import.meta.url), 'utf8'));
}

/**
 * What makes Lockkeeper's service account, and what that may do: as the chart has it for both drivers. A test of the
 * chart makes sure of that (test/deploy/rights.test.ts), so that Helm need not be asked here.
 */
export async function readRights(): Promise<KubernetesObject[]> {
  return rightsAmong(await readManifest('deploy/lockkeeper.yaml')).map(withBothDrivers);
}

/** Service accounts, and what they may do; hooks are left out, which have accounts of their own, and people. */
export function rightsAmong(objects: readonly KubernetesObject[]): KubernetesObject[] {
  return objects
    .filter(({ kind, metadata }) => RIGHTS.includes(kind) && !metadata.annotations?.['helm.sh/hook'])
    .filter((object) => !isForPeople(object));
}

/** Kubernetes adds its rules to those of `view`, `edit` and `admin`. */
export function isForPeople({ metadata }: KubernetesObject): boolean {
  return Object.keys(metadata.labels ?? {}).some((label) =>
    label.startsWith('rbac.authorization.k8s.io/aggregate-to-'),
  );
}

const DEFINITION = { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition' };

/** What makes an API server serve ReleaseLocks. */
export async function readDefinition(): Promise<KubernetesObject> {
  const manifest = await readFile(new URL('../../deploy/lockkeeper.yaml', import.meta.url), 'utf8');
  const text = manifest
    .split('\n---\n')
    .find((document) => document.includes(`\nkind: ${DEFINITION.kind}\n`));
  // In what it knows, the reader of YAML gives fields names of its own, such as x_kubernetes_validations.
  const unknown = (text ?? '').replace(/^(apiVersion|kind): .*$/gm, '');
  return { ...loadYaml<Pick<KubernetesObject, 'metadata'>>(unknown), ...DEFINITION };
}

export const RELEASE_LOCKS_PATH = '/apis/lockkeeper.dev/v1alpha1/releaselocks';

/**
 * Resolves when they are served. On a real cluster they are from then on, for the tests to come as well: with each
 * definition that comes or goes, an API server describes anew all that it serves.
 */
export async function defineReleaseLocks(admin: ApiClient): Promise<void> {
  if (await areReleaseLocksServed(admin)) return;
  const { metadata, ...rest } = await readDefinition();
  await apply(admin, [{ ...rest, metadata: { ...metadata, labels: { ...metadata.labels, ...KEPT } } }]);
  while (!(await areReleaseLocksServed(admin)));
}

/** For whoever wants a cluster without them. Resolves when none are served. */
export async function undefineReleaseLocks(admin: ApiClient): Promise<void> {
  const definition = await readDefinition();
  await admin.request('DELETE', `${collectionOf(definition)}/${definition.metadata.name}`);
  while (await areReleaseLocksServed(admin));
}

async function areReleaseLocksServed(admin: ApiClient): Promise<boolean> {
  return (await admin.request('GET', RELEASE_LOCKS_PATH)).code === 200;
}

/** The policy that keeps what has ended from beginning again. */
export async function readFence(): Promise<KubernetesObject[]> {
  return (await readManifest('deploy/lockkeeper.yaml')).filter(({ kind }) => FENCE.includes(kind));
}

interface Rule {
  readonly resources: readonly string[];
}

/** Of the default manifest, in which releases are kept in Secrets only. */
function withBothDrivers(object: KubernetesObject): KubernetesObject {
  if (object.kind !== 'ClusterRole') return object;
  const rules = (object.rules as readonly Rule[]).map((rule) =>
    rule.resources[0] === 'secrets' ? { ...rule, resources: ['secrets', 'configmaps'] } : rule,
  );
  return { ...object, rules };
}

/** Creates what is not there yet. */
export async function apply(admin: ApiClient, objects: readonly KubernetesObject[]): Promise<void> {
  for (const object of objects) {
    const path = collectionOf(object);
    const { code, body } = await admin.request<{ message?: string }>('POST', path, object);
    if (code >= 400 && code !== 409) throw new Error(`POST ${path}: ${code} ${body.message}`);
  }
}

/** Takes away what is there. */
export async function remove(admin: ApiClient, objects: readonly KubernetesObject[]): Promise<void> {
  for (const object of objects) await admin.remove(`${collectionOf(object)}/${object.metadata.name}`);
}

function collectionOf({ apiVersion, kind, metadata: { namespace } }: KubernetesObject): string {
  const group = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  return `${group}${namespace === undefined ? '' : `/namespaces/${namespace}`}/${COLLECTIONS[kind]}`;
}
