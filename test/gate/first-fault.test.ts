/** Where a value departs from a schema first: it is told exactly when the validator finds one. */
import fc from 'fast-check';
import t from 'tap';
import Type from 'typebox';
import Value from 'typebox/value';
import { firstFault } from '../../src/gate/first-fault.ts';

const Name = Type.String({ pattern: '^[a-z]*$', minLength: 1, maxLength: 3 });
const SCHEMA = Type.Object({
  kind: Type.Literal('a'),
  name: Type.Optional(Type.Union([Name, Type.Null()])),
  flag: Type.Optional(Type.Boolean()),
  labels: Type.Optional(Type.Record(Type.String(), Type.String())),
  list: Type.Optional(Type.Union([Type.Array(Name), Type.Null()])),
  inner: Type.Object({ any: Type.Unknown(), text: Type.String() }),
});

const GOOD = { kind: 'a', inner: { any: 1, text: '' } };

t.test('the first place that is wrong, in words', async (t) => {
  for (const [given, value, fault] of [
    ['all is well', GOOD, undefined],
    ['null where it may be', { ...GOOD, name: null, list: null }, undefined],
    ['no object', 'text', { path: '', must: 'must be object' }],
    ['a list in place of one', [], { path: '', must: 'must be object' }],
    ['null in place of one', { ...GOOD, inner: null }, { path: 'inner', must: 'must be object' }],
    ['two members are missing', {}, { path: '', must: 'must have required properties kind, inner' }],
    ['another constant', { ...GOOD, kind: 'b', name: 7 }, { path: 'kind', must: 'must be "a"' }],
    ['a number', { ...GOOD, name: 7 }, { path: 'name', must: 'must be string' }],
    ['too short', { ...GOOD, name: '' }, { path: 'name', must: 'must not have fewer than 1 characters' }],
    ['too long', { ...GOOD, name: 'abcd' }, { path: 'name', must: 'must not have more than 3 characters' }],
    ['other letters', { ...GOOD, name: 'A' }, { path: 'name', must: 'must match pattern "^[a-z]*$"' }],
    ['no boolean', { ...GOOD, flag: 'true' }, { path: 'flag', must: 'must be boolean' }],
    ['no list', { ...GOOD, list: {} }, { path: 'list', must: 'must be array' }],
    ['the third of a list', { ...GOOD, list: ['a', 'b', 1, 2] }, { path: 'list.2', must: 'must be string' }],
    ['a label', { ...GOOD, labels: { a: 'b', c: 1, d: 2 } }, { path: 'labels.c', must: 'must be string' }],
    ['inside', { ...GOOD, inner: { any: 1, text: 1 } }, { path: 'inner.text', must: 'must be string' }],
  ] as const) {
    t.strictSame(firstFault(SCHEMA, value), fault, given);
    t.equal(Value.Check(SCHEMA, value), fault === undefined, `${given}: the validator says the same`);
  }
});

t.test('names that others have chosen are short, and no terminal reads them as a command', async (t) => {
  for (const [name, path] of [
    ['app.kubernetes.io/name', 'labels.app.kubernetes.io/name'],
    ['a b', 'labels."a b"'],
    ['\u001b[2J', 'labels."\\u001b[2J"'],
    ['a'.repeat(61), `labels.${'a'.repeat(60)}…`],
  ] as const) {
    t.equal(firstFault(SCHEMA, { ...GOOD, labels: { [name]: 1 } })?.path, path);
  }
});

t.test('there is one exactly when the validator finds one', async (t) => {
  const value = fc.oneof(fc.constantFrom('a', 'abc', '', 'A', null, true, 7), fc.jsonValue({ maxDepth: 2 }));
  const members = fc.record(
    {
      kind: fc.oneof({ weight: 4, arbitrary: fc.constant('a') }, value),
      name: value,
      flag: value,
      labels: fc.oneof(fc.dictionary(fc.string(), value, { maxKeys: 2 }), value),
      list: fc.oneof(fc.array(value, { maxLength: 2 }), value),
      inner: fc.oneof({ weight: 4, arbitrary: fc.record({ any: value, text: value }) }, value),
    },
    { requiredKeys: [] },
  );
  const seen = new Set<boolean>();
  fc.assert(
    fc.property(members, (given) => {
      const isGood = Value.Check(SCHEMA, given);
      seen.add(isGood);
      return (firstFault(SCHEMA, given) === undefined) === isGood;
    }),
    { numRuns: 2_000, examples: [[GOOD as never]] },
  );
  t.equal(seen.size, 2, 'both were seen');
});
