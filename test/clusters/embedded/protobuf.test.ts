/** Bodies as client-go writes them. Helm's own are read in the stories of Helm; here are the rarer fields. */
import t from 'tap';
import { decodeProtobuf } from './protobuf.ts';

/** A field of wire type 2. */
function bytes(number: number, ...parts: (Buffer | string)[]): Buffer {
  const content = Buffer.concat(parts.map((part) => Buffer.from(part)));
  return Buffer.concat([varint((number << 3) | 2), varint(content.length), content]);
}

function integer(number: number, value: number): Buffer {
  return Buffer.concat([varint(number << 3), varint(value)]);
}

function varint(value: number): Buffer {
  const low: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) low.push((rest % 128) | 0x80);
  return Buffer.from([...low, rest]);
}

function body(apiVersion: string, kind: string, ...fields: Buffer[]): Buffer {
  return Buffer.concat([
    Buffer.from('k8s\0'),
    bytes(1, bytes(1, apiVersion), bytes(2, kind)),
    bytes(2, ...fields),
  ]);
}

t.test('a Secret', async (t) => {
  const owner = bytes(
    13,
    bytes(1, 'Job'),
    bytes(3, 'job'),
    bytes(4, 'u'),
    bytes(5, 'batch/v1'),
    integer(6, 1),
    integer(7, 0),
  );
  const metadata = bytes(
    1,
    bytes(1, 'name'),
    bytes(2, ''),
    bytes(8, integer(1, 1_700_000_000)),
    bytes(11, bytes(1, 'label'), bytes(2, 'x'.repeat(300))),
    bytes(11, bytes(1, 'empty'), bytes(2)),
    owner,
    bytes(14, 'one'),
    bytes(14, 'two'),
    bytes(17, 'managed fields are not read'),
  );
  const decoded = decodeProtobuf(
    body(
      'v1',
      'Secret',
      metadata,
      bytes(2, bytes(1, 'key'), bytes(2, 'value')),
      bytes(3, 'Opaque'),
      integer(5, 1),
    ),
  );
  t.same(decoded, {
    kind: 'Secret',
    apiVersion: 'v1',
    metadata: {
      name: 'name',
      creationTimestamp: '2023-11-14T22:13:20Z',
      labels: { label: 'x'.repeat(300), empty: '' },
      ownerReferences: [
        {
          kind: 'Job',
          name: 'job',
          uid: 'u',
          apiVersion: 'batch/v1',
          controller: true,
          blockOwnerDeletion: false,
        },
      ],
      finalizers: ['one', 'two'],
    },
    data: { key: 'dmFsdWU=' },
    type: 'Opaque',
    immutable: true,
  });
});

t.test('the zero time is no time', async (t) => {
  t.same(decodeProtobuf(body('v1', 'Namespace', bytes(1, bytes(8)))), {
    kind: 'Namespace',
    apiVersion: 'v1',
    metadata: {},
  });
});

t.test('DeleteOptions of any group', async (t) => {
  const decoded = decodeProtobuf(
    body(
      'batch/v1',
      'DeleteOptions',
      integer(1, 5),
      bytes(2, bytes(1, 'uid'), bytes(2, '7')),
      bytes(4, 'Background'),
      bytes(5, 'All'),
    ),
  );
  t.same(decoded, {
    kind: 'DeleteOptions',
    apiVersion: 'batch/v1',
    gracePeriodSeconds: 5,
    preconditions: { uid: 'uid', resourceVersion: '7' },
    propagationPolicy: 'Background',
    dryRun: ['All'],
  });
});

t.test('what cannot be read is said so', async (t) => {
  t.throws(() => decodeProtobuf(Buffer.from('{}')), /magic number/);
  t.throws(() => decodeProtobuf(body('v1', 'Pod')), /does not read v1 Pod in protobuf/);
  t.throws(
    () => decodeProtobuf(Buffer.from([...Buffer.from('k8s\0'), 0x80])),
    RangeError,
    'a number that does not end',
  );
});
