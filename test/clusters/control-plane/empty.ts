/** Takes away what a test left behind, so that the next one finds a cluster as new, seconds before a new one would be. */
import type { ApiClient } from '../client.ts';

/** The label of what stays: it belongs to the cluster. */
export const KEPT = { 'lockkeeper.dev/kept': 'true' };

/** What a test may make in a namespace. */
const NAMESPACED = [
  'api/v1/NAMESPACE/secrets',
  'api/v1/NAMESPACE/configmaps',
  'api/v1/NAMESPACE/pods',
  'api/v1/NAMESPACE/serviceaccounts',
  'apis/batch/v1/NAMESPACE/jobs',
  'apis/apps/v1/NAMESPACE/deployments',
  'apis/events.k8s.io/v1/NAMESPACE/events',
  'apis/rbac.authorization.k8s.io/v1/NAMESPACE/rolebindings',
  'apis/rbac.authorization.k8s.io/v1/NAMESPACE/roles',
];

/** What a test may make of no namespace; first whatever could refuse the rest. */
const CLUSTER_SCOPED = [
  'apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations',
  'apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations',
  'apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings',
  'apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies',
  'apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
  'apis/rbac.authorization.k8s.io/v1/clusterroles',
];

/** The API server makes roles, bindings and policies of its own, and labels them. */
const FOREIGN = '!kubernetes.io/bootstrapping,!lockkeeper.dev/kept';

const SYSTEM_NAMESPACES = ['kube-system', 'kube-public', 'kube-node-lease'];

export async function empty(admin: ApiClient): Promise<void> {
  for (const path of CLUSTER_SCOPED) await clear(admin, `/${path}`, FOREIGN);
  const namespaces = (await admin.list('/api/v1/namespaces')).map(({ metadata }) => metadata.name);
  await Promise.all(
    namespaces
      .filter((name) => !SYSTEM_NAMESPACES.includes(name))
      .flatMap((name) =>
        NAMESPACED.map((path) => clear(admin, `/${path.replace('NAMESPACE', `namespaces/${name}`)}`)),
      ),
  );
}

/** Deletes every object of a collection, at once. */
async function clear(admin: ApiClient, path: string, labelSelector = ''): Promise<void> {
  await admin.remove(`${path}?labelSelector=${encodeURIComponent(labelSelector)}`, {
    kind: 'DeleteOptions',
    apiVersion: 'v1',
    propagationPolicy: 'Background',
    gracePeriodSeconds: 0,
  });
}
