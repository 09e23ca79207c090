/** What the conformance tests share: a cluster, embedded or real, and programs and webhooks that talk to it. */
import { isDeepStrictEqual } from 'node:util';
import type { Test } from 'tap';
import { type HelmBinary, type HelmVersion, helmBinary } from '../../tools/binaries.ts';
import {
  helmEnvironment,
  type RunningProgram,
  type RunOptions,
  type RunResult,
  start,
} from '../../tools/run.ts';
import type { ApiClient, ApiResponse } from '../client.ts';
import type { Cluster, User } from '../cluster.ts';
import { CONFIGURATIONS, configurationOf, type FakeWebhook, startFakeWebhook } from '../fake-webhook.ts';
import type { JsonObject } from '../kubernetes-object.ts';
import { startCluster as startAnyCluster } from '../start.ts';

export const CHART = new URL('../../fixtures/charts/app', import.meta.url).pathname;

export const SECRETS = '/api/v1/namespaces/prod/secrets';

export const CONFIG_MAPS = '/api/v1/namespaces/prod/configmaps';

/** May do everything. As the real cluster knows her: its static users have their names for uids. */
export const ALICE: User = { username: 'alice', uid: 'alice', groups: ['administrators'] };

/** May do nothing: nobody grants it anything on the real cluster, and `startCluster` forbids it on the other. */
export const MALLORY: User = { username: 'mallory', uid: 'mallory' };

export interface Started {
  readonly cluster: Cluster;
  /** Of alice. */
  readonly admin: ApiClient;
}

/** A cluster as new, with the namespace `prod`. */
export async function startCluster(t: Test): Promise<Started> {
  const cluster = await startAnyCluster(t, { authorize: ({ user }) => user.username !== MALLORY.username });
  const admin = await cluster.client(ALICE);
  // What she may do was stored a moment ago; the API server learns of it a moment later.
  await eventually(
    () => admin.request('GET', '/api/v1/namespaces'),
    ({ code }) => code === 200,
  );
  await admin.createNamespace('prod');
  return { cluster, admin };
}

export interface World extends Started {
  readonly webhook: FakeWebhook;
  /** Installs the webhook anew; returns when the API server knows it. */
  install(more?: JsonObject): Promise<void>;
}

/** A cluster that asks one webhook; `more` changes how. */
export async function world(t: Test, more?: JsonObject): Promise<World> {
  const webhook = await startFakeWebhook(t);
  const started = await startCluster(t);
  const install = await installer(t, started.admin, webhook);
  await install(more);
  return { ...started, webhook, install };
}

/**
 * How to install a webhook so that it is asked from now on. A real API server learns of a configuration a moment after
 * it was stored, so a second webhook of the same one tells when: it is asked about one label, which is new each time.
 */
export async function installer(
  t: Test,
  admin: ApiClient,
  webhook: FakeWebhook,
  name = 'gate.test',
): Promise<(more?: JsonObject) => Promise<void>> {
  const sentinel = await startFakeWebhook(t);
  // What is refused here would stay for the next test.
  t.teardown(() => webhook.decide(() => ({ allowed: true })));
  let installed = 0;
  return async (more) => {
    installed += 1;
    const labels = { [`installed.${name}`]: String(installed) };
    const configuration = configurationOf(webhook, more, name);
    const known = configurationOf(sentinel, {
      name: `sentinel.${name}`,
      rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] }],
      objectSelector: { matchLabels: labels },
      failurePolicy: 'Ignore',
    });
    const webhooks = [configuration.webhooks, known.webhooks].flat();
    if (installed === 1) await admin.create(CONFIGURATIONS, { ...configuration, webhooks });
    else await admin.patch(`${CONFIGURATIONS}/${name}`, { webhooks });
    const before = sentinel.reviews.length;
    while (sentinel.reviews.length === before) {
      await admin.create(`${CONFIG_MAPS}?dryRun=All`, { metadata: { generateName: 'installed-', labels } });
    }
  };
}

export interface Tools {
  helm(...args: string[]): Promise<RunResult>;
  startHelm(...args: string[]): RunningProgram;
  kubectl(...args: string[]): Promise<RunResult>;
  startKubectl(args: readonly string[], options?: RunOptions): RunningProgram;
}

/** Helm and kubectl of one version as alice, in the namespace `prod`. */
export async function toolsFor(
  cluster: Cluster,
  version: HelmVersion,
  driver: 'secret' | 'configmap' = 'secret',
): Promise<Tools> {
  const binary: HelmBinary = await helmBinary(version);
  const kubeconfig = await cluster.kubeconfig({ user: ALICE, namespace: 'prod' });
  const env = helmEnvironment({ folder: cluster.folder, kubeconfig, driver });
  const startHelm = (...args: string[]) => start(binary.helm, args, { env });
  const startKubectl = (args: readonly string[], options?: RunOptions) =>
    start(binary.kubectl, args, { env, ...options });
  return {
    startHelm,
    helm: (...args) => startHelm(...args).done,
    startKubectl,
    kubectl: (...args) => startKubectl(args).done,
  };
}

export function secret(name: string, more: JsonObject = {}): JsonObject {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name }, ...more };
}

/** The least that an API server takes for a Job. */
export function job(name: string): JsonObject {
  const template = { spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'none' }] } };
  return { metadata: { name }, spec: { template } };
}

/** Of the namespace `prod`, with a service account, which an API server wants each pod to have. */
export async function createPod(admin: ApiClient, name: string, serviceAccountName = 'default') {
  const accounts = '/api/v1/namespaces/prod/serviceaccounts';
  const { code } = await admin.request('POST', accounts, { metadata: { name: serviceAccountName } });
  if (code !== 201 && code !== 409) throw new Error(`no service account ${serviceAccountName}: ${code}`);
  const spec = { serviceAccountName, containers: [{ name: 'main', image: 'none' }] };
  return admin.create('/api/v1/namespaces/prod/pods', { metadata: { name }, spec });
}

/** A Status as a failed request answers it. */
export interface Refusal {
  readonly message: string;
  readonly details?: JsonObject;
}

/** The request must fail with this code and reason, and a message that matches. */
export async function fails(
  t: Test,
  response: Promise<ApiResponse<unknown>>,
  expected: { code: number; reason: string; message: RegExp | string },
): Promise<Refusal> {
  const { code, body } = await response;
  t.match({ code, body }, { code: expected.code, body: { ...expected, kind: 'Status', status: 'Failure' } });
  return body as Refusal;
}

/** Asks until the answer is as wanted; a test that waits for ever is ended by its time-out. */
export async function eventually<T>(ask: () => Promise<T>, isWanted: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (isWanted(answer)) return answer;
  }
}

/** The first element of a stream that has these values; ends the stream. */
export async function firstMatch<T>(stream: AsyncIterable<T>, expected: Partial<T>): Promise<T | undefined> {
  for await (const element of stream) {
    const keys = Object.keys(expected) as (keyof T)[];
    if (keys.every((key) => isDeepStrictEqual(element[key], expected[key]))) return element;
  }
  return undefined;
}
