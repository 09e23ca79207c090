/** What kinds of objects an API server has, as it tells itself. */
import type { ApiClient } from '../client.ts';

export interface ApiResource {
  /** Plural: `secrets`. */
  readonly name: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
}

/** Where the collections of a version are: `/api/v1`, `/apis/batch/v1`. */
export function pathOfVersion(apiVersion: string): string {
  return apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`;
}

/** Those of one version, without subresources; none when the server does not know the version. */
export async function resourcesOf(api: Pick<ApiClient, 'request'>, apiVersion: string) {
  const { code, body } = await api.request<{ resources: ApiResource[] }>('GET', pathOfVersion(apiVersion));
  if (code === 404) return [];
  if (code >= 400) throw new Error(`GET ${pathOfVersion(apiVersion)}: ${code}`);
  return body.resources.filter(({ name }) => !name.includes('/'));
}

interface ApiGroups {
  readonly groups: readonly {
    readonly name: string;
    readonly preferredVersion: { readonly groupVersion: string };
  }[];
}

/** `apps`, or `rbac.authorization.k8s.io`; whoever defines resources does so in a domain of their own. */
export function isBuiltIn(group: string): boolean {
  return !group.includes('.') || group.endsWith('.k8s.io');
}

/** The paths of all collections that can be deleted at once, with NAMESPACE in place of `namespaces/prod`. */
export async function deletableCollections(
  api: Pick<ApiClient, 'request'>,
  isWanted: (group: string) => boolean = () => true,
): Promise<string[]> {
  const { body } = await api.request<ApiGroups>('GET', '/apis');
  const groups = body.groups.filter(({ name }) => isWanted(name));
  const versions = ['v1', ...groups.map(({ preferredVersion }) => preferredVersion.groupVersion)];
  const found = await Promise.all(
    versions.map(async (version) =>
      (await resourcesOf(api, version))
        .filter(({ namespaced, verbs }) => namespaced && verbs.includes('deletecollection'))
        .map(({ name }) => `${pathOfVersion(version)}/NAMESPACE/${name}`),
    ),
  );
  return found.flat();
}
