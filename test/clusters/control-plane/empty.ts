/** Takes away what a test left behind, so that the next one finds a cluster as new, seconds before a new one would be. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ApiClient } from '../client.ts';
import type { StoredObject } from '../kubernetes-object.ts';
import { customCollections, DEFINITIONS } from './custom-resources.ts';

/** The label of what stays: it belongs to the cluster. */
export const KEPT = { 'lockkeeper.dev/kept': 'true' };

/** What a test may make of no namespace; first whatever could refuse the rest. */
const CLUSTER_SCOPED = [
  '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations',
  '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations',
  '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings',
  '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies',
  '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
  '/apis/rbac.authorization.k8s.io/v1/clusterroles',
];

/** The API server makes roles, bindings and policies of its own, and a service, and labels them. */
const FOREIGN = '!kubernetes.io/bootstrapping,!lockkeeper.dev/kept,provider!=kubernetes';

const SYSTEM_NAMESPACES = ['kube-system', 'kube-public', 'kube-node-lease'];

const DELETE_OPTIONS = {
  kind: 'DeleteOptions',
  apiVersion: 'v1',
  propagationPolicy: 'Background',
  gracePeriodSeconds: 0,
};

const SELECTED = `labelSelector=${encodeURIComponent(FOREIGN)}`;

const PAUSE_MS = 20;

const PATIENCE_MS = 30_000;

/** @param namespaced paths of collections, with NAMESPACE in place of `namespaces/prod` */
export async function empty(admin: ApiClient, namespaced: readonly string[]): Promise<void> {
  for (const path of CLUSTER_SCOPED) await clear(admin, path, path);
  await undefineResources(admin);
  // Of the definitions that stay.
  const custom = await customCollections(admin, `labelSelector=${Object.keys(KEPT)}`);
  await Promise.all(
    [...namespaced, ...custom].map((path) =>
      clear(admin, path.replace('/NAMESPACE', ''), path, ({ metadata: { namespace = '' } }) =>
        SYSTEM_NAMESPACES.includes(namespace),
      ),
    ),
  );
}

/**
 * One by one: the API server deletes the objects of a definition only with a definition that is deleted by its name. Those
 * of one that goes with its collection would be there again with the next definition of that name.
 */
async function undefineResources(admin: ApiClient): Promise<void> {
  const definitions = await admin.list(`${DEFINITIONS}?${SELECTED}`);
  await Promise.all(definitions.map(({ metadata }) => admin.remove(`${DEFINITIONS}/${metadata.name}`)));
  while ((await admin.list(`${DEFINITIONS}?${SELECTED}`)).length > 0) await delay(PAUSE_MS);
}

/**
 * Deletes what is in a collection, and waits until it is gone: there may be finalizers, those of tests, which are taken
 * away.
 */
async function clear(
  admin: ApiClient,
  all: string,
  path: string,
  isKept: (object: StoredObject) => boolean = () => false,
): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const objects = (await admin.list(`${all}?${SELECTED}`)).filter((object) => !isKept(object));
    if (objects.length === 0) return;
    const collections = new Set(objects.map(({ metadata }) => collectionOf(path, metadata.namespace)));
    for (const collection of collections) {
      // A webhook whose configuration is gone may refuse for a moment, until the API server has noticed.
      const { code } = await admin.request('DELETE', `${collection}?${SELECTED}`, DELETE_OPTIONS);
      if (Date.now() > deadline) throw new Error(`${collection} cannot be emptied: ${code}`);
    }
    await Promise.all(objects.map((object) => letGo(admin, path, object)));
    await delay(PAUSE_MS);
  }
}

async function letGo(admin: ApiClient, path: string, { metadata }: StoredObject): Promise<void> {
  const { name, namespace, finalizers = [] } = metadata;
  if (finalizers.length === 0) return;
  const change = { metadata: { finalizers: null } };
  const headers = { 'content-type': 'application/merge-patch+json' };
  await admin.request('PATCH', `${collectionOf(path, namespace)}/${name}`, change, { headers });
}

function collectionOf(path: string, namespace = ''): string {
  return path.replace('NAMESPACE', `namespaces/${namespace}`);
}
