/** What a review may be built like, measured before it is parsed: what an API server sends passes, however large it is. */
import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import { measureReview, REVIEW_BOUNDS } from '../../src/gate/review-structure.ts';
import { deployReview } from '../fixtures/reviews.ts';

const { marks, depth, stringBytes, nameBytes, literalBytes, spaceBytes } = REVIEW_BOUNDS;

const MIB = 2 ** 20;

const measure = (value: unknown) =>
  measureReview(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)));

/** A review with these members of its request, after its uid. */
function review(members: object): string {
  return JSON.stringify({
    kind: 'AdmissionReview',
    apiVersion: 'admission.k8s.io/v1',
    request: { uid: 'r-1', ...members },
  });
}

function nested(levels: number): string {
  return '['.repeat(levels) + ']'.repeat(levels);
}

/** As Go's encoder writes it. */
function escaped(text: string): string {
  return text.replaceAll('<', '\\u003c').replaceAll('&', '\\u0026');
}

t.test('each review that a real API server has sent is far within the bounds', async (t) => {
  const folder = new URL('../fixtures/admission-reviews/', import.meta.url);
  const names = readdirSync(folder);
  t.ok(names.length > 20);
  for (const name of names) {
    const measured = measureReview(readFileSync(new URL(name, folder)));
    t.match(measured, { kind: 'bounded', marks: Number }, name);
    t.ok('marks' in measured && measured.marks * 50 < marks, name);
  }
});

t.test('the largest that an API server can send of a record passes', async (t) => {
  const { request } = deployReview();
  const largest = {
    ...request.object,
    metadata: {
      ...request.object?.metadata,
      annotations: { note: '<'.repeat(stringBytes - 'note'.length) },
      labels: Object.fromEntries(
        Array.from({ length: 1_000 }, (_, index) => [`label-${index}`, 'x'.repeat(63)]),
      ),
      managedFields: [
        { manager: 'helm', fieldsV1: { 'f:metadata': { 'f:labels': { [`f:${'a'.repeat(317)}`]: {} } } } },
      ],
    },
    data: { release: 'A'.repeat(MIB) },
  };
  const groups = Array.from({ length: 2_000 }, (_, index) => `group-${index}`);
  const text = escaped(review({ userInfo: { groups }, object: largest, oldObject: largest }));
  t.ok(text.length > 5 * MIB);
  t.match(measure(text), { kind: 'bounded' });
});

const OF_ANY_LENGTH = ['object', 'oldObject'].flatMap((object) =>
  ['data', 'binaryData'].map((data) => [object, data] as const),
);

t.test('what a payload says may be of any length, and only that', async (t) => {
  const long = 'A'.repeat(stringBytes + 1);
  for (const [object, data] of OF_ANY_LENGTH) {
    for (const value of [
      long,
      '"'.repeat(stringBytes),
      '\\'.repeat(stringBytes),
      [long],
      { a: [long] },
      '',
    ]) {
      t.match(measure(review({ [object]: { [data]: { release: value } } })), { kind: 'bounded' }, data);
    }
  }
  const problem = `it has a text of more than ${stringBytes} bytes outside of data`;
  for (const [given, members] of [
    ['data that is a text', { object: { data: long } }],
    ['data of something else', { options: { data: { release: long } } }],
    ['data inside of an object', { object: { metadata: { data: { release: long } } } }],
    ['data in a list', { object: [{ data: { release: long } }] }],
    ['data of the request', { data: { release: long } }],
    ['after the payload', { object: { data: { release: long }, type: long } }],
    ['after the object', { object: { data: { release: 'A' } }, name: long }],
    ['a member of that name in the metadata', { object: { metadata: { annotations: { data: long } } } }],
    ['a text whose quotes are escaped', { name: '"'.repeat(stringBytes + 1) }],
  ] as const) {
    t.strictSame(measure(review(members)), { kind: 'excessive', problem, uid: 'r-1' }, given);
  }
  const elsewhere = JSON.stringify({ spec: { object: { data: { release: long } } } });
  t.match(measure(elsewhere), { kind: 'excessive', problem }, 'not in a request');
  t.match(measure(`[{"request":{"object":{"data":{"a":"${long}"}}}}]`), { kind: 'excessive', problem });
});

t.test('each bound, to the last that passes and the first that does not', async (t) => {
  const list = (count: number) => `[${Array(count).fill('1').join(',')}]`;
  const rows: readonly [string, (size: number) => string, number, string][] = [
    ['parts', list, marks, `it has more than ${marks} parts`],
    ['depth', nested, depth, `it is nested more than ${depth} deep`],
    [
      'texts',
      (size) => JSON.stringify(['A'.repeat(size)]),
      stringBytes,
      `it has a text of more than ${stringBytes} bytes outside of data`,
    ],
    [
      'texts that Go has escaped',
      (size) => escaped(JSON.stringify(['<'.repeat(size)])),
      stringBytes,
      `it has a text of more than ${stringBytes} bytes outside of data`,
    ],
    [
      'names',
      (size) => JSON.stringify({ ['A'.repeat(size)]: 1 }),
      nameBytes,
      `it has a name of more than ${nameBytes} bytes`,
    ],
    [
      'names in a payload',
      (size) => review({ object: { data: { a: 'b', ['A'.repeat(size)]: 1 } } }),
      nameBytes,
      `it has a name of more than ${nameBytes} bytes`,
    ],
    [
      'numbers',
      (size) => '1'.repeat(size),
      literalBytes,
      `it has a number of more than ${literalBytes} bytes`,
    ],
    ['space', (size) => `[${' '.repeat(size)}]`, spaceBytes, `it has a gap of more than ${spaceBytes} bytes`],
    [
      'line breaks',
      (size) => '\r\n\t '.repeat(size / 4),
      spaceBytes,
      `it has a gap of more than ${spaceBytes}`,
    ],
  ];
  for (const [given, make, most, problem] of rows) {
    t.match(measure(make(most)), { kind: 'bounded' }, `${given}: ${most}`);
    const { problem: found } = measure(make(most + 4)) as { problem?: string };
    t.match(found, problem, `${given}: more`);
  }
  t.match(measure(list(marks + 1)), { kind: 'excessive' });
  t.match(measure(nested(depth + 1)), { kind: 'excessive' });
});

t.test('millions of parts, wherever they are, are too many', async (t) => {
  const many = 100_000;
  const parts: Record<string, unknown> = {
    numbers: Array(many).fill(1),
    'empty objects': Array(many).fill({}),
    'empty lists': Array(many).fill([]),
    members: Object.fromEntries(Array.from({ length: many }, (_, index) => [`a${index}`, ''])),
  };
  for (const [given, value] of Object.entries(parts)) {
    for (const [where, members] of Object.entries({
      groups: { userInfo: { groups: value } },
      extra: { userInfo: { extra: { a: value } } },
      labels: { object: { metadata: { labels: value } } },
      annotations: { oldObject: { metadata: { annotations: value } } },
      managedFields: { object: { metadata: { managedFields: value } } },
      data: { object: { data: value } },
      'the data of data': { oldObject: { data: { release: value } } },
      spec: { object: { spec: value } },
      options: { options: value },
      'something else': { unknown: value },
    })) {
      const measured = measure(review(members));
      t.match(measured, { problem: `it has more than ${marks} parts`, uid: 'r-1' }, `${given} in ${where}`);
    }
  }
  const twice = `{${Array(many).fill('"a":1').join(',')}}`;
  t.match(measure(twice), { kind: 'excessive' }, 'the same name again and again counts each time');
});

t.test('the uid is told if it came before what is too much, and is one', async (t) => {
  const tooMany = Array(marks).fill(1);
  for (const [given, text, uid] of [
    ['it comes first', review({ more: tooMany }), 'r-1'],
    ['it comes later', JSON.stringify({ request: { more: tooMany, uid: 'r-1' } }), undefined],
    ['there is none', JSON.stringify({ request: { more: tooMany } }), undefined],
    ['it is no text', JSON.stringify({ request: { uid: 7, more: tooMany } }), undefined],
    ['it is of something else', JSON.stringify({ response: { uid: 'r-1' }, more: tooMany }), undefined],
    ['it is deeper', JSON.stringify({ request: { user: { uid: 'r-1' }, more: tooMany } }), undefined],
    ['it is none that Kubernetes makes', review({ uid: 'r 1', more: tooMany }), undefined],
    ['it is too long for one', review({ uid: 'r'.repeat(65), more: tooMany }), undefined],
  ] as const) {
    const measured = measure(text);
    t.match(measured, { kind: 'excessive' }, given);
    t.equal('uid' in measured ? measured.uid : 'none', uid, given);
  }
});

t.test('what is no JSON is measured all the same, and ends', async (t) => {
  for (const text of [
    '',
    ' ',
    '}',
    ']]',
    '{"a',
    '"',
    '"\\',
    '"\\u',
    '{"a":1}}'.padEnd(90, '['),
    '\u0000',
    'é',
  ]) {
    t.match(measure(text), { kind: 'bounded' }, JSON.stringify(text));
  }
});

/** Containers, members and values of what was parsed. */
function partsOf(value: unknown): number {
  if (value === null || typeof value !== 'object') return 0;
  return Object.values(value).reduce<number>((sum, inner) => sum + 1 + partsOf(inner), 1);
}

t.test('whatever is parsed has no more parts than were counted', async (t) => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 8 }), (text) => {
      const measured = measure(text);
      return 'marks' in measured && partsOf(JSON.parse(text)) <= 2 * measured.marks;
    }),
    { numRuns: 2_000 },
  );
  t.pass();
});
