/** What an API server has by CustomResourceDefinitions. */
import { until } from '../../support/until.ts';
import type { ApiClient } from '../client.ts';

export const DEFINITIONS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

interface Definition {
  readonly spec: {
    readonly group: string;
    readonly names: { readonly plural: string };
    readonly versions: readonly { readonly name: string }[];
  };
}

/**
 * The paths of their collections, with NAMESPACE in place of `namespaces/prod`.
 *
 * @param query which definitions, such as `labelSelector=…`
 */
export async function customCollections(admin: ApiClient, query = ''): Promise<string[]> {
  const definitions = (await admin.list(`${DEFINITIONS}?${query}`)) as unknown as readonly Definition[];
  return definitions.flatMap(({ spec: { group, names, versions } }) =>
    versions.map(({ name }) => `/apis/${group}/${name}/NAMESPACE/${names.plural}`),
  );
}

/**
 * An API server calls itself ready before it has custom resources: it says 404, and then 429, “storage is (re)initializing”.
 *
 * @throws after 30 s
 */
export async function customResourcesAreServed(admin: ApiClient): Promise<void> {
  const collections = await customCollections(admin);
  await Promise.all(
    collections.map((collection) =>
      until(
        () => admin.request('GET', `${collection.replace('/NAMESPACE', '')}?limit=1`),
        ({ code }) => code === 200,
      ),
    ),
  );
}
