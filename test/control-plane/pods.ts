/** Pods of pipelines and of gateways, each with a token that is bound to it. Their service account may do all in `prod`. */
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import type { Crew } from './crew.ts';

const NAMESPACE = 'ci';
const PODS = `/api/v1/namespaces/${NAMESPACE}/pods`;
const RUNNER = `system:serviceaccount:${NAMESPACE}:runner`;

const CONTAINERS = [{ name: 'runner', image: 'none' }];
const LABELS = { app: 'gateway' };

export interface Pods {
  /** Makes a pod that runs one job. Resolves to its token. */
  job(name: string): Promise<string>;
  /** Makes a pod that a ReplicaSet owns. Resolves to its token. */
  gateway(name: string): Promise<string>;
  /** As its node tells when it has ended. */
  remove(name: string): Promise<void>;
}

export async function createPods({ admin, cluster }: Pick<Crew, 'admin' | 'cluster'>): Promise<Pods> {
  await admin.createNamespace(NAMESPACE);
  await admin.create('/apis/rbac.authorization.k8s.io/v1/namespaces/prod/rolebindings', {
    metadata: { name: 'runners' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ kind: 'ServiceAccount', namespace: NAMESPACE, name: 'runner' }],
  });
  // Nothing looks after it. A pod whose owner is not there would be deleted.
  const { metadata } = await admin.create(`/apis/apps/v1/namespaces/${NAMESPACE}/replicasets`, {
    metadata: { name: 'gateway' },
    spec: {
      replicas: 1,
      selector: { matchLabels: LABELS },
      template: { metadata: { labels: LABELS }, spec: { containers: CONTAINERS } },
    },
  });
  const replicaSet = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: metadata.name, uid: metadata.uid };

  async function make(name: string, ownerReferences: readonly object[]): Promise<string> {
    // The API server takes no pod of a service account that is not there.
    await cluster.token({ username: RUNNER });
    const spec = { serviceAccountName: 'runner', containers: CONTAINERS };
    const pod: StoredObject = await admin.create(PODS, { metadata: { name, ownerReferences }, spec });
    const extra = { 'authentication.kubernetes.io/pod-name': [pod.metadata.name] };
    return cluster.token({ username: RUNNER, extra });
  }

  return {
    job: (name) => make(name, []),
    gateway: (name) => make(name, [replicaSet]),
    remove: (name) => admin.remove(`${PODS}/${name}?gracePeriodSeconds=0`),
  };
}
