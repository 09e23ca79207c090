/** What the tests of the embedded cluster share: a cluster that ends with the test, and programs that talk to it. */
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
import type { User } from '../cluster.ts';
import type { JsonObject } from '../kubernetes-object.ts';
import { type EmbeddedCluster, type EmbeddedClusterOptions, startEmbeddedCluster } from './cluster.ts';
import type { Status } from './status.ts';

export const CHART = new URL('../../fixtures/charts/app', import.meta.url).pathname;

export const SECRETS = '/api/v1/namespaces/prod/secrets';

export const ALICE: User = { username: 'alice', uid: '2', groups: ['devs'] };

/** A cluster with the namespace `prod`, and a client for its administrator. */
export async function startCluster(
  t: Test,
  options?: EmbeddedClusterOptions,
): Promise<{ cluster: EmbeddedCluster; admin: ApiClient }> {
  const cluster = await startEmbeddedCluster(options);
  t.teardown(() => cluster.stop());
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  return { cluster, admin };
}

export interface Tools {
  helm(...args: string[]): Promise<RunResult>;
  startHelm(...args: string[]): RunningProgram;
  kubectl(...args: string[]): Promise<RunResult>;
  startKubectl(args: readonly string[], options?: RunOptions): RunningProgram;
}

/** Helm and kubectl of one version as alice, in the namespace `prod`. */
export async function toolsFor(
  cluster: EmbeddedCluster,
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

/** The request must fail with this code and reason, and a message that matches. */
export async function fails(
  t: Test,
  response: Promise<ApiResponse<unknown>>,
  expected: { code: number; reason: string; message: RegExp },
): Promise<Status> {
  const { code, body } = await response;
  t.match({ code, body }, { code: expected.code, body: { ...expected, kind: 'Status', status: 'Failure' } });
  return body as Status;
}

/** The first element of a stream that has these values; ends the stream. */
export async function firstMatch<T>(stream: AsyncIterable<T>, expected: Partial<T>): Promise<T | undefined> {
  for await (const element of stream) {
    const keys = Object.keys(expected) as (keyof T)[];
    if (keys.every((key) => isDeepStrictEqual(element[key], expected[key]))) return element;
  }
  return undefined;
}
