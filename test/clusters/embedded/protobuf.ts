/**
 * Reads the few kinds that clients send as protobuf. Since client-go 0.32, Helm writes its records so and
 * does not fall back to JSON when that is refused; all answers to it are JSON, which it accepts as well.
 * @see https://github.com/kubernetes/api/blob/master/core/v1/generated.proto
 * @see https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
 */
import type { JsonObject } from '../kubernetes-object.ts';

/** What the bytes of a field are. A message is given by its fields. */
type Type = 'string' | 'bytes' | 'integer' | 'boolean' | 'time' | Fields;

interface Field {
  readonly name: string;
  readonly type: Type;
  /** A list, or a map from strings, which protobuf writes as a list of pairs. */
  readonly many?: 'list' | 'map';
}

type Fields = Readonly<Record<number, Field>>;

const text = (name: string): Field => ({ name, type: 'string' });
const list = (name: string, type: Type = 'string'): Field => ({ name, type, many: 'list' });
const map = (name: string, type: Type = 'string'): Field => ({ name, type, many: 'map' });

const OWNER_REFERENCE: Fields = {
  1: text('kind'),
  3: text('name'),
  4: text('uid'),
  5: text('apiVersion'),
  6: { name: 'controller', type: 'boolean' },
  7: { name: 'blockOwnerDeletion', type: 'boolean' },
};

const METADATA: Field = {
  name: 'metadata',
  type: {
    1: text('name'),
    2: text('generateName'),
    3: text('namespace'),
    5: text('uid'),
    6: text('resourceVersion'),
    8: { name: 'creationTimestamp', type: 'time' },
    11: map('labels'),
    12: map('annotations'),
    13: list('ownerReferences', OWNER_REFERENCE),
    14: list('finalizers'),
  },
};

const KINDS: Readonly<Record<string, Fields>> = {
  'v1 Secret': {
    1: METADATA,
    2: map('data', 'bytes'),
    3: text('type'),
    4: map('stringData'),
    5: { name: 'immutable', type: 'boolean' },
  },
  'v1 ConfigMap': {
    1: METADATA,
    2: map('data'),
    3: map('binaryData', 'bytes'),
    4: { name: 'immutable', type: 'boolean' },
  },
  'v1 Namespace': { 1: METADATA },
  'v1 ServiceAccount': { 1: METADATA },
  'authentication.k8s.io/v1 SelfSubjectReview': {},
  'authentication.k8s.io/v1 TokenRequest': {
    2: {
      name: 'spec',
      type: {
        3: {
          name: 'boundObjectRef',
          type: { 1: text('kind'), 2: text('apiVersion'), 3: text('name'), 4: text('uid') },
        },
        4: { name: 'expirationSeconds', type: 'integer' },
      },
    },
  },
  'authorization.k8s.io/v1 SelfSubjectAccessReview': {
    2: {
      name: 'spec',
      type: {
        1: {
          name: 'resourceAttributes',
          type: {
            1: text('namespace'),
            2: text('verb'),
            3: text('group'),
            5: text('resource'),
            6: text('subresource'),
            7: text('name'),
          },
        },
      },
    },
  },
  DeleteOptions: {
    1: { name: 'gracePeriodSeconds', type: 'integer' },
    2: { name: 'preconditions', type: { 1: text('uid'), 2: text('resourceVersion') } },
    4: text('propagationPolicy'),
    5: list('dryRun'),
  },
};

/** Every protobuf body of the API starts with these four bytes, then comes a `runtime.Unknown`. */
const MAGIC = Buffer.from('k8s\0');

const UNKNOWN: Fields = {
  1: { name: 'typeMeta', type: { 1: text('apiVersion'), 2: text('kind') } },
  2: { name: 'raw', type: 'bytes' },
};

/**
 * The object in a body, as JSON would have it; empty values are left out, as Go does.
 * @throws Error when it is no such body, or holds a kind that is not known here
 */
export function decodeProtobuf(body: Buffer): JsonObject {
  if (!body.subarray(0, MAGIC.length).equals(MAGIC))
    throw new Error('it does not start with the magic number');
  const unknown = decodeMessage(body.subarray(MAGIC.length), UNKNOWN);
  const { apiVersion, kind } = unknown.typeMeta as { apiVersion: string; kind: string };
  const fields = KINDS[kind === 'DeleteOptions' ? kind : `${apiVersion} ${kind}`];
  if (!fields) throw new Error(`the embedded cluster does not read ${apiVersion} ${kind} in protobuf`);
  return { kind, apiVersion, ...decodeMessage(Buffer.from(unknown.raw as string, 'base64'), fields) };
}

function decodeMessage(bytes: Buffer, fields: Fields): JsonObject {
  const result: JsonObject = {};
  for (const { number, value } of entriesOf(bytes)) {
    const field = fields[number];
    if (field) put(result, field, value);
  }
  return result;
}

function put(result: JsonObject, { name, type, many }: Field, value: Buffer | bigint): void {
  if (many === 'map') {
    const { key = '', value: item } = decodeMessage(value as Buffer, {
      1: text('key'),
      2: { name: 'value', type },
    });
    result[name] = { ...(result[name] as JsonObject | undefined), [key as string]: item ?? '' };
  } else if (many === 'list') {
    result[name] = [...((result[name] as unknown[] | undefined) ?? []), decodeValue(value, type)];
  } else {
    const decoded = decodeValue(value, type);
    if (decoded !== undefined) result[name] = decoded;
  }
}

/** Undefined for the empty values that Go leaves out of JSON. */
function decodeValue(value: Buffer | bigint, type: Type): unknown {
  switch (type) {
    case 'integer':
      return Number(value);
    case 'boolean':
      return value === 1n;
    case 'bytes':
      return (value as Buffer).toString('base64');
    case 'string':
      return (value as Buffer).toString() || undefined;
    case 'time':
      return decodeTime(value as Buffer);
    default:
      return decodeMessage(value as Buffer, type);
  }
}

function decodeTime(bytes: Buffer): string | undefined {
  const { seconds } = decodeMessage(bytes, { 1: { name: 'seconds', type: 'integer' } });
  return seconds === undefined
    ? undefined
    : `${new Date(Number(seconds) * 1_000).toISOString().slice(0, 19)}Z`;
}

/** The fields of a message in the order they are written: a number for wire type 0, bytes for wire type 2. */
function* entriesOf(bytes: Buffer): Generator<{ number: number; value: Buffer | bigint }> {
  let offset = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes.readUInt8(offset);
      offset += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (offset < bytes.length) {
    const tag = Number(varint());
    const number = tag >>> 3;
    const first = varint();
    if ((tag & 7) === 0) {
      yield { number, value: first };
    } else {
      yield { number, value: bytes.subarray(offset, offset + Number(first)) };
      offset += Number(first);
    }
  }
}
