/** A real control plane with Lockkeeper as deploy/lockkeeper.yaml installs it, and all that the adversary can do to them. */
import type { Test } from 'tap';
import { Agent } from 'undici';
import { DRIVERS, type Driver, PENDING_SELECTOR } from '../../src/helm/release.ts';
import type { ApiClient } from '../clusters/client.ts';
import type { StartedControlPlane } from '../clusters/control-plane/cluster.ts';
import type { KubernetesObject } from '../clusters/kubernetes-object.ts';
import { ownControlPlane } from '../clusters/start.ts';
import { untilAsked } from '../e2e/webhook.ts';
import { GATE_WEBHOOKS_PATH, gateWebhook } from '../support/gate-webhook.ts';
import { grantRights } from '../support/lockkeeper.ts';
import { apply, readFence, readManifest } from '../support/manifests.ts';
import { until } from '../support/until.ts';
import { createIdentities, type Identities } from './identities.ts';
import { NAMESPACE, TOLD, type Told } from './log.ts';
import { patientControlPlane } from './patience.ts';
import { type Replicas, startReplicas } from './replicas.ts';

export interface World {
  /** Whoever asks it, asks again while its API server restarts; those who deploy do not. */
  readonly cluster: StartedControlPlane;
  readonly admin: ApiClient;
  readonly replicas: Replicas;
  tell(told: Told): Promise<void>;
  /** Lockkeeper may be out of reach from now on, until the function is called that this resolves with. */
  fault(): Promise<() => Promise<void>>;
  readonly identities: Identities;
  /** REST, as somebody who may do everything. Returns the code; 0 if nobody answers. */
  rest(method: string, path: string): Promise<number>;
  /** Sends a review to a replica, as if an API server did; the answer is nobody's concern. */
  review(body: object): Promise<void>;
}

export interface WorldOptions {
  readonly replicas: number;
  /** Loaded by each replica before anything else. */
  readonly modules: readonly string[];
  /** What is left out of the installation. */
  readonly without: readonly ('guard' | 'fence')[];
}

/** Ends with the test. */
export async function startWorld(t: Test, options: WorldOptions): Promise<World> {
  const cluster = patientControlPlane(await ownControlPlane(t));
  const admin = await cluster.client();
  for (const name of [NAMESPACE, 'prod']) await admin.createNamespace(name);
  await makeRunners(admin);
  await grantRights(cluster);
  if (!options.without.includes('fence')) await apply(admin, await readFence());
  const replicas = await startReplicas(t, cluster, options.replicas, options.modules);
  await install(admin, replicas.balancer.url, options.without);
  const path = `/api/v1/namespaces/${NAMESPACE}/configmaps`;
  await admin.create(path, { metadata: { name: TOLD } });

  const agent = new Agent({ connect: { rejectUnauthorized: false }, allowH2: false });
  t.teardown(() => agent.destroy());
  const authorization = `Bearer ${await cluster.token({ username: 'carol' })}`;
  let faults = 0;

  const tell = async (told: Told) => {
    await admin.patch(`${path}/${TOLD}`, { data: { told: JSON.stringify(told) } });
  };
  return {
    cluster,
    admin,
    replicas,
    tell,
    identities: await createIdentities(cluster, admin),
    async fault() {
      faults += 1;
      if (faults === 1) await tell({ what: 'fault', state: 'begins' });
      return async () => {
        faults -= 1;
        if (faults === 0) await tell({ what: 'fault', state: 'ends' });
      };
    },
    async rest(method, path) {
      const origin = replicas.balancer.url;
      const asking = agent.request({ origin, path, method: method as 'GET', headers: { authorization } });
      try {
        const { statusCode, body } = await asking;
        await body.dump();
        return statusCode;
      } catch {
        return 0;
      }
    },
    async review(body) {
      const { url } = await gateOf(admin);
      const { origin, pathname } = new URL(url);
      const agent = new Agent({ connect: { rejectUnauthorized: false }, allowH2: false });
      const headers = { 'content-type': 'application/json' };
      const options = { origin, path: `${pathname}?timeout=10s`, method: 'POST', headers } as const;
      try {
        const answer = await agent.request({ ...options, body: JSON.stringify(body) });
        await answer.body.dump();
      } catch {
        // The replica was killed.
      } finally {
        await agent.destroy();
      }
    },
  };
}

/** Pods of the namespace may do there what a pipeline may. */
async function makeRunners(admin: ApiClient): Promise<void> {
  await admin.create(`/apis/rbac.authorization.k8s.io/v1/namespaces/${NAMESPACE}/rolebindings`, {
    metadata: { name: 'runners' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: 'system:serviceaccounts' }],
  });
}

interface Webhook {
  readonly name: string;
}

/** Where API servers send the reviews of deploys. */
async function gateOf(admin: ApiClient): Promise<{ readonly url: string }> {
  const { webhooks } = await admin.get(`${GATE_WEBHOOKS_PATH}/lockkeeper`);
  const all = webhooks as (Webhook & { readonly clientConfig: { readonly url: string } })[];
  return (all.find(({ name }) => name === 'gate.lockkeeper.dev') as (typeof all)[number]).clientConfig;
}

/** As they are installed, without rules: the replicas arm them. Resolves when the gate is asked. */
async function install(admin: ApiClient, url: string, without: WorldOptions['without']): Promise<void> {
  const isInstalled = ({ name }: Webhook) => !(without.includes('guard') && name === 'guard.lockkeeper.dev');
  const unarmed = (webhook: Webhook) => ({
    ...webhook,
    rules: [],
    clientConfig: { url: `${url}/admission` },
  });
  const gate = gateWebhook({ url, caCertificate: '' });
  await admin.create(GATE_WEBHOOKS_PATH, {
    ...gate,
    webhooks: gate.webhooks.filter(isInstalled).map(unarmed),
  });
  const objects = await readManifest('deploy/lockkeeper.yaml');
  const observer = objects.find(({ kind }) => kind === 'MutatingWebhookConfiguration') as KubernetesObject & {
    readonly webhooks: readonly Webhook[];
  };
  await apply(admin, [{ ...observer, webhooks: observer.webhooks.map(unarmed) } as KubernetesObject]);
  await until(
    () => admin.get(`${GATE_WEBHOOKS_PATH}/lockkeeper`),
    ({ webhooks }) => (webhooks as { rules?: unknown[] }[]).every(({ rules = [] }) => rules.length > 0),
  );
  await untilAsked(admin);
}

export interface PendingRecord {
  readonly name: string;
  readonly driver: Driver;
  readonly uid: string;
  readonly release: string;
  readonly revision: number;
  readonly path: string;
}

/** Those that are pending now, of all releases or of one. */
export async function pendingRecords(admin: ApiClient, release?: string): Promise<PendingRecord[]> {
  const selector = encodeURIComponent(release ? `${PENDING_SELECTOR},name=${release}` : PENDING_SELECTOR);
  const lists = DRIVERS.map(async (driver) => {
    const path = `/api/v1/namespaces/${NAMESPACE}/${driver}`;
    const objects = await admin.list(`${path}?labelSelector=${selector}`);
    return objects.map(({ metadata: { name, uid, labels } }) => ({
      name,
      driver,
      uid,
      release: labels?.name ?? '',
      revision: Number(labels?.version),
      path: `${path}/${name}`,
    }));
  });
  return (await Promise.all(lists)).flat();
}
