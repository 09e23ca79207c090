/**
 * Who set which field, as the API server keeps it in `metadata.managedFields`: a writer owns what it
 * changed, until somebody else changes it. Lists are owned whole here, without keys for their items.
 * @see https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
 */
import { isDeepStrictEqual } from 'node:util';
import {
  type Fields,
  isJsonObject,
  type JsonObject,
  type KubernetesObject,
  type ManagedFieldsEntry,
  type StoredObject,
} from '../kubernetes-object.ts';
import { applyConflict } from './status.ts';

export interface Writer {
  readonly manager: string;
  /** What a server-side apply says; absent in every other write. Its writer owns that much, whoever set it. */
  readonly applied: KubernetesObject | undefined;
  readonly time: string;
  /** `status`, or empty. */
  readonly subresource: string;
}

/** Of the metadata only these have owners; the server writes the rest. */
const OWNED_METADATA = ['labels', 'annotations', 'finalizers', 'ownerReferences', 'generateName'];

/** Fields that are maps with free keys; the map itself is a field too, written `.`. */
const MAPS = ['labels', 'annotations', 'data', 'binaryData', 'stringData', 'matchLabels'];

/** The entries of `next`, written by `writer` over `previous`. */
export function trackFields(
  previous: KubernetesObject | undefined,
  next: KubernetesObject,
  writer: Writer,
): ManagedFieldsEntry[] {
  const all = fieldsOf(owned(next));
  const part = writer.subresource === 'status' ? onlyStatus : withoutStatus;
  const changed = part(changedFields(owned(previous), owned(next)));
  const entries = previous?.metadata.managedFields ?? [];
  const own = entries.find((entry) => isBy(writer, entry));
  const claimed = writer.applied
    ? withoutMaps(fieldsOf(owned(writer.applied)))
    : union(own?.fieldsV1 ?? {}, changed);
  const others = entries
    .filter((entry) => entry !== own)
    .map((entry) => ({ ...entry, fieldsV1: intersection(without(entry.fieldsV1, changed), all) }))
    .filter((entry) => !isEmpty(entry.fieldsV1));
  if (isEmpty(writer.applied ? claimed : changed))
    return sorted(own ? [...others, retain(own, all)] : others);
  return sorted([
    ...others,
    {
      manager: writer.manager,
      operation: operationOf(writer),
      apiVersion: next.apiVersion,
      time: writer.time,
      fieldsType: 'FieldsV1',
      fieldsV1: intersection(claimed, all),
      ...(writer.subresource !== '' && { subresource: writer.subresource }),
    },
  ]);
}

/** Who applies owns the keys of a map, and not the map. */
function withoutMaps(fields: Fields): Fields {
  const inner = Object.entries(fields).filter(([key]) => key !== '.');
  return Object.fromEntries(inner.map(([key, value]) => [key, withoutMaps(value)]));
}

function operationOf({ applied }: Writer): ManagedFieldsEntry['operation'] {
  return applied ? 'Apply' : 'Update';
}

/** The status belongs to whoever writes it as such; what else is sent along does not count. */
function withoutStatus({ 'f:status': _status, ...rest }: Fields): Fields {
  return rest;
}

function onlyStatus({ 'f:status': status }: Fields): Fields {
  return status ? { 'f:status': status } : {};
}

/** As the API server shows them: who applied first, then by time. */
function sorted(entries: readonly ManagedFieldsEntry[]): ManagedFieldsEntry[] {
  const order = ({ operation, time, manager }: ManagedFieldsEntry) => `${operation} ${time} ${manager}`;
  return entries.toSorted((left, right) => (order(left) < order(right) ? -1 : 1));
}

/**
 * The current state without the fields that this manager applied before and now leaves out, as far as nobody
 * else owns them: what server-side apply merges into.
 */
export function withoutAbandoned(
  current: StoredObject,
  applied: KubernetesObject,
  manager: string,
): StoredObject {
  const entries = current.metadata.managedFields ?? [];
  const own = entries.find((entry) => entry.manager === manager && entry.operation === 'Apply');
  if (!own) return current;
  const owners = entries.filter((entry) => entry !== own).map(({ fieldsV1 }) => fieldsV1);
  const abandoned = [fieldsOf(owned(applied)), ...owners].reduce(without, own.fieldsV1);
  return removeFields(current, abandoned) as StoredObject;
}

/**
 * Fields that this manager would change and others own. Same values are no conflict.
 * @throws ApiError 409
 */
export function checkConflicts(current: StoredObject, applied: KubernetesObject, manager: string): void {
  const changes = changedFields(owned(current), owned(applied));
  const conflicts = (current.metadata.managedFields ?? [])
    .filter((entry) => !(entry.manager === manager && entry.operation === 'Apply'))
    .flatMap((entry) =>
      pathsOf(intersection(entry.fieldsV1, changes)).map((field) => ({ with: nameOf(entry), field })),
    );
  if (conflicts.length > 0) throw applyConflict(conflicts);
}

function nameOf({ manager, operation, apiVersion }: ManagedFieldsEntry): string {
  return operation === 'Apply' ? `"${manager}"` : `"${manager}" using ${apiVersion}`;
}

/** The leaves, as `.data.key`. */
function pathsOf(fields: Fields, prefix = ''): string[] {
  return Object.entries(fields)
    .filter(([key]) => key !== '.')
    .flatMap(([key, inner]) => {
      const path = `${prefix}.${key.slice('f:'.length)}`;
      return isEmpty(inner) ? [path] : pathsOf(inner, path);
    });
}

function removeFields(object: JsonObject, fields: Fields): JsonObject {
  const result = { ...object };
  for (const [key, inner] of Object.entries(fields)) {
    const name = key.slice('f:'.length);
    const value = result[name];
    if (isEmpty(inner)) delete result[name];
    else if (isJsonObject(value)) result[name] = removeFields(value, inner);
  }
  return result;
}

function isBy(writer: Writer, entry: ManagedFieldsEntry): boolean {
  return (
    entry.manager === writer.manager &&
    entry.operation === operationOf(writer) &&
    (entry.subresource ?? '') === writer.subresource
  );
}

function retain(entry: ManagedFieldsEntry, all: Fields): ManagedFieldsEntry {
  return { ...entry, fieldsV1: intersection(entry.fieldsV1, all) };
}

/** The parts of an object that have owners. */
function owned(object: KubernetesObject | undefined): JsonObject {
  if (!object) return {};
  const { apiVersion: _apiVersion, kind: _kind, metadata, ...rest } = object;
  // The finalizers of a namespace are the server's own.
  if (object.kind === 'Namespace') delete rest.spec;
  const kept = Object.entries(metadata).filter(([key]) => OWNED_METADATA.includes(key));
  return kept.length === 0 ? rest : { metadata: Object.fromEntries(kept), ...rest };
}

function fieldsOf(value: unknown, key = ''): Fields {
  return changedFields({}, isJsonObject(value) ? value : {}, key);
}

/** The fields of `next` that are not the same in `previous`. */
function changedFields(previous: JsonObject, next: JsonObject, key = ''): Fields {
  const fields: Fields = {};
  if (MAPS.includes(key) && Object.keys(previous).length === 0 && Object.keys(next).length > 0)
    fields['.'] = {};
  for (const [name, value] of Object.entries(next)) {
    const before = previous[name];
    if (isDeepStrictEqual(before, value)) continue;
    const inner = isJsonObject(value) ? changedFields(isJsonObject(before) ? before : {}, value, name) : {};
    // Who only removes something owns nothing for it.
    if (isJsonObject(value) && isJsonObject(before) && isEmpty(inner)) continue;
    fields[`f:${name}`] = inner;
  }
  return fields;
}

function union(left: Fields, right: Fields): Fields {
  const result = { ...left };
  for (const [key, fields] of Object.entries(right)) result[key] = union(left[key] ?? {}, fields);
  return result;
}

function intersection(left: Fields, right: Fields): Fields {
  const result: Fields = {};
  for (const [key, fields] of Object.entries(left)) {
    if (!right[key]) continue;
    const both = intersection(fields, right[key]);
    if (isEmpty(fields) || !isEmpty(both)) result[key] = both;
  }
  return result;
}

/** `left` less the leaves of `right`; what becomes empty by that goes too. */
function without(left: Fields, right: Fields): Fields {
  const result: Fields = {};
  for (const [key, fields] of Object.entries(left)) {
    const removed = right[key];
    if (!removed) {
      result[key] = fields;
      continue;
    }
    const rest = without(fields, removed);
    if (!isEmpty(rest)) result[key] = rest;
  }
  return result;
}

function isEmpty(fields: Fields): boolean {
  return Object.keys(fields).length === 0;
}
