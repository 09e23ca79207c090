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

export interface Writer {
  readonly manager: string;
  readonly operation: 'Update' | 'Apply';
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
  const changed = changedFields(owned(previous), owned(next));
  const entries = previous?.metadata.managedFields ?? [];
  const own = entries.find((entry) => isBy(writer, entry));
  const others = entries
    .filter((entry) => entry !== own)
    .map((entry) => ({ ...entry, fieldsV1: intersection(without(entry.fieldsV1, changed), all) }))
    .filter((entry) => !isEmpty(entry.fieldsV1));
  if (isEmpty(changed)) return own ? [...others, retain(own, all)] : others;
  return [
    ...others,
    {
      manager: writer.manager,
      operation: writer.operation,
      apiVersion: next.apiVersion,
      time: writer.time,
      fieldsType: 'FieldsV1',
      fieldsV1: intersection(union(own?.fieldsV1 ?? {}, changed), all),
      ...(writer.subresource !== '' && { subresource: writer.subresource }),
    },
  ];
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
    entry.operation === writer.operation &&
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
    fields[`f:${name}`] = isJsonObject(value)
      ? changedFields(isJsonObject(before) ? before : {}, value, name)
      : {};
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
