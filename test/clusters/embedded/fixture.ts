/** What the tests of the embedded cluster share: a cluster that ends with the test. */
import { isDeepStrictEqual } from 'node:util';
import type { Test } from 'tap';
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
