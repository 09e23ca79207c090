/**
 * What Go's decoder refuses before anybody looks at an object: it knows the type of each field. Here only the fields
 * that clients of Lockkeeper write are known; the rest of a schema is not checked.
 */
import { isJsonObject, type KubernetesObject } from '../kubernetes-object.ts';
import { apiVersionOf, internalGroup, type Resource } from './resources.ts';
import { type ApiError, badRequest } from './status.ts';

/** A body of which not even the kind can be read. */
export function unrecognized({ kind }: Pick<Resource, 'kind'>, problem: string): ApiError {
  return badRequest(
    `the object provided is unrecognized (must be of type ${kind}): couldn't get version/kind; json parse error: ${problem}`,
  );
}

/** @throws ApiError 400 when it is another kind, or a field has another type */
export function checkTypes(resource: Resource, given: KubernetesObject): void {
  const problem = problemOf(resource, given);
  if (problem === undefined) return;
  const { apiVersion, kind } = given;
  throw badRequest(`${kind} in version "${apiVersion}" cannot be handled as a ${resource.kind}: ${problem}`);
}

function problemOf(resource: Resource, { apiVersion, kind, metadata, ...rest }: KubernetesObject) {
  const expected = apiVersionOf(resource);
  if (apiVersion !== expected || kind !== resource.kind) {
    const version = apiVersion.split('/').at(-1);
    return `converting (${version}.${kind}) to (${internalGroup(resource)}.${resource.kind}): unknown conversion`;
  }
  if (!isJsonObject(metadata)) {
    return `json: cannot unmarshal ${typeOf(metadata)} into Go struct field ${kind}.metadata of type v1.ObjectMeta`;
  }
  return (
    problemOfTexts(metadata.labels, 'ObjectMeta.metadata.labels') ??
    problemOfTexts(metadata.annotations, 'ObjectMeta.metadata.annotations') ??
    problemOfData(resource, rest)
  );
}

function problemOfData({ kind, group }: Resource, { data }: Readonly<Record<string, unknown>>) {
  if (group !== '' || (kind !== 'Secret' && kind !== 'ConfigMap')) return undefined;
  if (kind === 'ConfigMap') return problemOfTexts(data, 'ConfigMap.data');
  return problemOfTexts(data, 'Secret.data', '[]uint8') ?? problemOfBase64(data);
}

function problemOfTexts(map: unknown, field: string, type = 'string'): string | undefined {
  const bad = Object.values({ ...(map as object | null) }).find((value) => typeof value !== 'string');
  if (bad === undefined || bad === null) return undefined;
  return `json: cannot unmarshal ${typeOf(bad)} into Go struct field ${field} of type ${type}`;
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

function problemOfBase64(data: unknown): string | undefined {
  for (const value of Object.values({ ...(data as Record<string, string> | null) })) {
    const text = value.replaceAll(/[\r\n]/g, '');
    if (BASE64.test(text) && text.length % 4 === 0) continue;
    const first = text.search(/[^A-Za-z0-9+/]/);
    return `illegal base64 data at input byte ${first < 0 ? text.length : first}`;
  }
  return undefined;
}

function typeOf(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : typeof value;
}
