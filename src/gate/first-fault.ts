/**
 * Where a value departs from a schema, at the first place and no other. The validator of the schema lists all of them, each with a path and a
 * message: of a list that somebody else has filled, that takes far more room than the list.
 */
import type Type from 'typebox';

export interface Fault {
  /** Of the value that is wrong, as `request.object.metadata.labels.version`; empty if it is the whole. */
  readonly path: string;
  /** What it must be, after the path. */
  readonly must: string;
}

/** As much of JSON Schema as the reviews have. */
interface Schema {
  readonly type?: string;
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  /** Of a record: one, for all names. */
  readonly patternProperties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
}

/** Undefined if there is none. */
export function firstFault(schema: Type.TSchema, value: unknown): Fault | undefined {
  return faultOf(schema as Schema, value, []);
}

type Path = readonly (string | number)[];

function faultOf(schema: Schema, value: unknown, path: Path): Fault | undefined {
  // Of two branches, one is null: the other says what else it may be.
  if (schema.anyOf) return value === null ? undefined : faultOf(otherThanNull(schema.anyOf), value, path);
  if ('const' in schema) {
    return value === schema.const ? undefined : fault(path, `must be ${JSON.stringify(schema.const)}`);
  }
  switch (schema.type) {
    case 'object':
      return faultOfObject(schema, value, path);
    case 'array':
      return faultOfList(schema.items as Schema, value, path);
    case 'string':
      return faultOfText(schema, value, path);
    case 'boolean':
      return typeof value === 'boolean' ? undefined : fault(path, 'must be boolean');
    default:
      return undefined;
  }
}

function otherThanNull(branches: readonly Schema[]): Schema {
  return branches.find(({ type }) => type !== 'null') as Schema;
}

function faultOfObject(schema: Schema, value: unknown, path: Path): Fault | undefined {
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    return fault(path, 'must be object');
  const { required = [], properties = {}, patternProperties = {} } = schema;
  const members = value as Readonly<Record<string, unknown>>;
  const missing = required.filter((name) => members[name] === undefined);
  if (missing.length > 0) return fault(path, `must have required properties ${missing.join(', ')}`);
  for (const [name, inner] of Object.entries(properties)) {
    const found = members[name] === undefined ? undefined : faultOf(inner, members[name], [...path, name]);
    if (found) return found;
  }
  for (const inner of Object.values(patternProperties)) {
    for (const name of Object.keys(members)) {
      const found = faultOf(inner, members[name], [...path, name]);
      if (found) return found;
    }
  }
  return undefined;
}

function faultOfList(items: Schema, value: unknown, path: Path): Fault | undefined {
  if (!Array.isArray(value)) return fault(path, 'must be array');
  for (const [index, item] of value.entries()) {
    const found = faultOf(items, item, [...path, index]);
    if (found) return found;
  }
  return undefined;
}

function faultOfText(schema: Schema, value: unknown, path: Path): Fault | undefined {
  if (typeof value !== 'string') return fault(path, 'must be string');
  const { minLength = 0, maxLength = Number.POSITIVE_INFINITY, pattern } = schema;
  if (value.length < minLength) return fault(path, `must not have fewer than ${minLength} characters`);
  if (value.length > maxLength) return fault(path, `must not have more than ${maxLength} characters`);
  if (pattern !== undefined && !new RegExp(pattern, 'u').test(value))
    return fault(path, `must match pattern ${JSON.stringify(pattern)}`);
  return undefined;
}

/** A name that somebody else has chosen: labels and annotations have up to 317 characters, and none that is told to a terminal. */
const MAX_NAME_LENGTH = 60;
const PLAIN = /^[\w./-]*$/;

function fault(path: Path, must: string): Fault {
  return { path: path.map(nameOf).join('.'), must };
}

function nameOf(name: string | number): string {
  const text = String(name);
  const shown = text.length > MAX_NAME_LENGTH ? `${text.slice(0, MAX_NAME_LENGTH)}…` : text;
  return PLAIN.test(text) ? shown : JSON.stringify(shown);
}
