/** The patch formats of the API. None changes what it is given. */
import { isDeepStrictEqual } from 'node:util';
import { isJsonObject, type JsonObject } from '../kubernetes-object.ts';
import { badRequest, failure } from './status.ts';

/** RFC 7386; server-side apply merges the same way here. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isJsonObject(patch)) return patch;
  const result: JsonObject = isJsonObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

/**
 * Lists that are merged item by item, and the field that tells the items apart. The real server takes this
 * from the schema of each kind; these are the ones that Helm and kubectl meet in ordinary charts.
 * @see https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
 */
const MERGE_KEYS: Readonly<Record<string, string>> = {
  containers: 'name',
  initContainers: 'name',
  volumes: 'name',
  env: 'name',
  imagePullSecrets: 'name',
  secrets: 'name',
  volumeMounts: 'mountPath',
  ports: 'containerPort',
  conditions: 'type',
  ownerReferences: 'uid',
  webhooks: 'name',
};

export function strategicMergePatch(target: unknown, patch: unknown, field = ''): unknown {
  if (Array.isArray(patch)) return mergeLists(Array.isArray(target) ? target : [], patch, MERGE_KEYS[field]);
  if (!isJsonObject(patch)) return patch;
  const result: JsonObject = isJsonObject(target) && patch.$patch !== 'replace' ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    // Directives: the order of a list is not kept here, and what is to be retained is not in the patch anyway.
    if (key.startsWith('$')) continue;
    if (value === null) delete result[key];
    else result[key] = strategicMergePatch(result[key], value, key);
  }
  return result;
}

function mergeLists(
  target: readonly unknown[],
  patch: readonly unknown[],
  mergeKey: string | undefined,
): unknown[] {
  if (mergeKey === undefined || !patch.every((item) => isJsonObject(item) && mergeKey in item))
    return [...patch];
  const result = [...target] as JsonObject[];
  for (const item of patch as JsonObject[]) {
    const index = result.findIndex((existing) => existing[mergeKey] === item[mergeKey]);
    if (item.$patch === 'delete') {
      if (index >= 0) result.splice(index, 1);
    } else {
      const merged = strategicMergePatch(result[index], item) as JsonObject;
      result.splice(index >= 0 ? index : result.length, 1, merged);
    }
  }
  return result;
}

interface Operation {
  readonly op: string;
  readonly path: string;
  readonly value?: unknown;
}

/**
 * RFC 6902 without `move` and `copy`.
 * @throws ApiError 422 when a test fails or a path does not exist, 400 for another operation
 */
export function jsonPatch(target: unknown, operations: unknown): unknown {
  if (!Array.isArray(operations)) throw badRequest('a JSON patch is a list of operations');
  const document = structuredClone(target);
  for (const operation of operations as Operation[]) applyOperation(document, operation);
  return document;
}

function applyOperation(document: unknown, { op, path, value }: Operation): void {
  const keys = path
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
  const last = keys.pop() as string;
  const parent = keys.reduce((node, key) => child(node, key), document) as JsonObject | unknown[];
  if (op === 'replace' || op === 'remove') child(parent, last, op, path);
  switch (op) {
    case 'add':
      add(parent, last, value);
      break;
    case 'replace':
      remove(parent, last);
      add(parent, last, value);
      break;
    case 'remove':
      remove(parent, last);
      break;
    case 'test':
      if (!isDeepStrictEqual(child(parent, last), value)) throw unprocessable(`testing path ${path} failed`);
      break;
    default:
      throw badRequest(`the embedded cluster does not support the JSON patch operation ${op}`);
  }
}

function child(node: unknown, key: string, op?: string, path?: string): unknown {
  const value = Array.isArray(node) ? node[Number(key)] : (node as JsonObject | undefined)?.[key];
  if (op !== undefined && value === undefined)
    throw unprocessable(`${op} operation does not apply: ${path} is missing`);
  return value;
}

function add(parent: JsonObject | unknown[] | undefined, key: string, value: unknown): void {
  if (parent === undefined) throw unprocessable('add operation does not apply: the parent is missing');
  if (Array.isArray(parent)) parent.splice(key === '-' ? parent.length : Number(key), 0, value);
  else parent[key] = value;
}

function remove(parent: JsonObject | unknown[], key: string): void {
  if (Array.isArray(parent)) parent.splice(Number(key), 1);
  else delete parent[key];
}

function unprocessable(message: string) {
  return failure(
    422,
    'Invalid',
    `the server rejected our request due to an error in our request: ${message}`,
  );
}
