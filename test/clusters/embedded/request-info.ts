/** What a request is about, read from its method and path. */
import type { Resource } from './resources.ts';

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'deletecollection';

export interface ResourceTarget {
  readonly resource: Resource;
  /** Empty for cluster-scoped resources and for lists of all namespaces. */
  readonly namespace: string;
  /** Empty for collections. */
  readonly name: string;
  /** Empty, or `status`, `token`, … */
  readonly subresource: string;
}

const CORE = /^\/api\/(?<version>[^/]+)\/(?<rest>.+)$/;
const GROUP = /^\/apis\/(?<group>[^/]+)\/(?<version>[^/]+)\/(?<rest>.+)$/;
const NAMESPACED = /^namespaces\/(?<namespace>[^/]+)\/(?<rest>(?!status$|finalize$).+)$/;

/** Undefined when the path is no resource that is served. */
export function parseTarget(path: string, resources: readonly Resource[]): ResourceTarget | undefined {
  const parts = (CORE.exec(path) ?? GROUP.exec(path))?.groups;
  if (!parts) return undefined;
  const scoped = NAMESPACED.exec(parts.rest as string)?.groups;
  const rest = scoped?.rest ?? (parts.rest as string);
  const [plural, name = '', subresource = '', ...more] = rest.split('/').map(decodeURIComponent);
  const resource = resources.find(
    (candidate) =>
      candidate.plural === plural &&
      candidate.group === (parts.group ?? '') &&
      candidate.version === parts.version,
  );
  if (!resource || more.length > 0) return undefined;
  return { resource, namespace: scoped?.namespace ?? '', name, subresource };
}

/** Undefined when the method does nothing on such a path. */
export function verbOf(method: string, target: ResourceTarget, query: URLSearchParams): Verb | undefined {
  const isCollection = target.name === '';
  switch (method) {
    case 'GET':
      if (!isCollection) return 'get';
      return /^(1|true)$/.test(query.get('watch') ?? '') ? 'watch' : 'list';
    case 'POST':
      return 'create';
    case 'PUT':
      return isCollection ? undefined : 'update';
    case 'PATCH':
      return isCollection ? undefined : 'patch';
    case 'DELETE':
      return isCollection ? 'deletecollection' : 'delete';
    default:
      return undefined;
  }
}

/** The path with placeholders, to count requests by: `/api/v1/namespaces/{namespace}/secrets/{name}`. */
export function patternOf(path: string, target: ResourceTarget | undefined): string {
  if (!target) return path;
  const { resource, namespace, name, subresource } = target;
  return [
    resource.group === '' ? '/api' : `/apis/${resource.group}`,
    resource.version,
    ...(namespace === '' ? [] : ['namespaces', '{namespace}']),
    resource.plural,
    ...(name === '' ? [] : ['{name}']),
    ...(subresource === '' ? [] : [subresource]),
  ].join('/');
}
