/** The patch formats of the API. None changes what it is given. */
import { isDeepStrictEqual } from 'node:util';
import { isJsonObject, type JsonObject } from '../kubernetes-object.ts';
import { badRequest, failure } from './status.ts';

/** RFC 7386. */
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
  /** Where `move` and `copy` take the value. */
  readonly from?: string;
  readonly value?: unknown;
}

/**
 * RFC 6902. As the real server's library, it also replaces what is not there.
 * @throws ApiError 422 when a test fails, a path does not exist, or the operation is none
 */
export function jsonPatch(target: unknown, operations: unknown): unknown {
  if (!Array.isArray(operations)) {
    throw badRequest(
      'error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp',
    );
  }
  const document = structuredClone(target);
  for (const operation of operations as Operation[]) applyOperation(document, operation);
  return document;
}

/** A field: what it is in, and its name there. */
type Place = readonly [parent: JsonObject | unknown[], key: string];

function applyOperation(document: unknown, { op, path, from = '', value }: Operation): void {
  switch (op) {
    case 'add':
      add(...placeOf(document, path), value);
      break;
    case 'replace':
      remove(...placeOf(document, path));
      add(...placeOf(document, path), value);
      break;
    case 'remove':
      existing(...placeOf(document, path));
      remove(...placeOf(document, path));
      break;
    case 'move':
    case 'copy': {
      const moved = structuredClone(existing(...placeOf(document, from)));
      if (op === 'move') remove(...placeOf(document, from));
      add(...placeOf(document, path), moved);
      break;
    }
    case 'test':
      if (!isDeepStrictEqual(child(...placeOf(document, path)), value)) throw unprocessable();
      break;
    default:
      throw unprocessable();
  }
}

function placeOf(document: unknown, path: string): Place {
  const keys = path
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
  const last = keys.pop();
  const parent = keys.reduce((node, key) => child(node, key), document);
  if (last === undefined || typeof parent !== 'object' || parent === null) throw unprocessable();
  return [parent as JsonObject | unknown[], last];
}

function child(node: unknown, key: string): unknown {
  return Array.isArray(node) ? node[Number(key)] : (node as JsonObject | undefined)?.[key];
}

function existing(parent: JsonObject | unknown[], key: string): unknown {
  const value = child(parent, key);
  if (value === undefined) throw unprocessable();
  return value;
}

function add(parent: JsonObject | unknown[], key: string, value: unknown): void {
  if (Array.isArray(parent)) parent.splice(key === '-' ? parent.length : Number(key), 0, value);
  else parent[key] = value;
}

function remove(parent: JsonObject | unknown[], key: string): void {
  if (Array.isArray(parent)) parent.splice(Number(key), 1);
  else delete parent[key];
}

/** The real server does not tell what is wrong with a patch. */
function unprocessable() {
  return failure(422, 'Invalid', 'the server rejected our request due to an error in our request', {});
}
