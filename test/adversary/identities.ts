/** Those in whose name requests are sent: people, pods that run one job, and gateway pods, which forward for others. */
import { type ApiClient, connect } from '../clusters/client.ts';
import type { ControlPlane } from '../clusters/control-plane/cluster.ts';
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import { NAMESPACE } from './log.ts';

/** One client's way to the API server. */
export interface Identity {
  readonly username: string;
  /** The job pod that it runs in. */
  readonly pod: JobPod | undefined;
  readonly token: string;
  readonly api: Pick<ApiClient, 'request'>;
  close(): void;
}

export interface JobPod {
  readonly name: string;
  readonly uid: string;
}

/** What a pod of one job is owned by: a Job, nobody, or what keeps a controller that runs Helm itself, and says so. */
export const JOB_OWNERS = ['Job', 'nobody', 'ReplicaSet'] as const;
export type JobOwner = (typeof JOB_OWNERS)[number];

/** A pod of a ReplicaSet that forwards requests, with a token of its own, for Helms that run elsewhere. */
export interface Gateway {
  /** Of one that is behind it. What it sends after the pod was replaced, the next pod forwards. */
  identity(): Identity;
  /** The next pod is there before this one goes, as in a rollout. */
  replace(): Promise<void>;
  /** Ends its pod. */
  close(): Promise<void>;
}

export interface Identities {
  person(): Promise<Identity>;
  /** @param name of the pod, which is made unless it is there */
  inJobPod(name: string, owner: JobOwner): Promise<Identity>;
  openGateway(serviceAccount: string): Promise<Gateway>;
}

const PEOPLE = ['alice', 'bob', 'carol'] as const;

const POD_NAME = 'authentication.kubernetes.io/pod-name';

export const PODS = `/api/v1/namespaces/${NAMESPACE}/pods`;

/** What keeps an object from being tidied up after a run. */
export const KEPT_LABEL = 'adversary';

const RUNS_HELM = { 'lockkeeper.dev/runs-helm': 'true' };

export async function createIdentities(cluster: ControlPlane, admin: ApiClient): Promise<Identities> {
  const owners = await makeOwners(admin);
  const { url, caCertificate } = cluster;
  let people = 0;
  let gatewayPods = 0;

  async function makePod(name: string, serviceAccountName: string, changes: object): Promise<JobPod> {
    const spec = { serviceAccountName, containers: [{ name: 'runner', image: 'none' }] };
    // The API server takes no pod of a service account that is not there.
    await cluster.token({ username: nameOf(serviceAccountName) });
    await admin.request('POST', PODS, { metadata: { name, ...changes }, spec });
    const { metadata } = await admin.get(`${PODS}/${name}`);
    return { name, uid: metadata.uid };
  }

  async function logIn(serviceAccount: string, pod: string) {
    const username = nameOf(serviceAccount);
    return { username, token: await cluster.token({ username, extra: { [POD_NAME]: [pod] } }) };
  }

  function open(token: string): ApiClient {
    return connect({ url, caCertificate, token });
  }

  return {
    async person() {
      people += 1;
      const username = PEOPLE[people % PEOPLE.length] as string;
      const token = await cluster.token({ username });
      const client = open(token);
      return { username, pod: undefined, token, api: client, close: client.close };
    },
    async inJobPod(name, owner) {
      const ownerReferences = owner === 'nobody' ? [] : [owners[owner]];
      const changes = { ownerReferences, ...(owner === 'ReplicaSet' && { annotations: RUNS_HELM }) };
      const pod = await makePod(name, 'runner', changes);
      const { username, token } = await logIn('runner', name);
      const client = open(token);
      return { username, pod, token, api: client, close: client.close };
    },
    async openGateway(serviceAccount) {
      const startPod = async () => {
        gatewayPods += 1;
        const pod = `${serviceAccount}-${gatewayPods}`;
        await makePod(pod, serviceAccount, { ownerReferences: [owners.ReplicaSet] });
        return { pod, ...(await logIn(serviceAccount, pod)) };
      };
      let current = await startPod();
      return {
        identity() {
          const { username, token } = current;
          // One for each pod, so that what is under way when a pod is replaced comes to its end.
          const clients = new Map<string, ApiClient>();
          const clientNow = () => {
            const client = clients.get(current.token) ?? open(current.token);
            clients.set(current.token, client);
            return client;
          };
          return {
            username,
            pod: undefined,
            token,
            api: { request: (...args) => clientNow().request(...args) },
            close() {
              for (const client of clients.values()) client.close();
            },
          };
        },
        async replace() {
          const { pod } = current;
          current = await startPod();
          await removePod(admin, pod);
        },
        close: () => removePod(admin, current.pod),
      };
    },
  };
}

/** With nobody on its node to wait for; it may be gone already. */
export async function removePod(admin: ApiClient, name: string): Promise<void> {
  await admin.request('DELETE', `${PODS}/${name}?gracePeriodSeconds=0`);
}

function nameOf(serviceAccount: string): string {
  return `system:serviceaccount:${NAMESPACE}:${serviceAccount}`;
}

/** Pods whose owner is not there are deleted by the garbage collector. No controller looks after these two. */
async function makeOwners(admin: ApiClient) {
  const labels = { [KEPT_LABEL]: 'kept' };
  const metadata = { name: 'owner', labels };
  const containers = [{ name: 'runner', image: 'none' }];
  const template = { metadata: { labels }, spec: { containers } };
  const job = await admin.create(`/apis/batch/v1/namespaces/${NAMESPACE}/jobs`, {
    metadata,
    spec: { template: { spec: { containers, restartPolicy: 'Never' } } },
  });
  const replicaSet = await admin.create(`/apis/apps/v1/namespaces/${NAMESPACE}/replicasets`, {
    metadata,
    spec: { replicas: 1, selector: { matchLabels: labels }, template },
  });
  return {
    Job: referenceTo('batch/v1', 'Job', job),
    ReplicaSet: referenceTo('apps/v1', 'ReplicaSet', replicaSet),
  } as const;
}

function referenceTo(apiVersion: string, kind: string, { metadata: { name, uid } }: StoredObject) {
  return { apiVersion, kind, name, uid };
}
