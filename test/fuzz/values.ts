/** What nobody sends who means well. */
import fc from 'fast-check';
import { strangersText } from '../support/unsafe-text.ts';

/** Names as Kubernetes has them, nearly so, and not at all. */
const ODD_NAMES = [
  'api.v2',
  'web',
  'API',
  '-',
  '.',
  '..',
  '../web',
  'a,b',
  'a in (b)',
  'a=b',
  '__proto__',
  'constructor',
  'ä',
  '\u0000',
  '\ud800',
  '',
  'x'.repeat(54),
  'x'.repeat(64),
  'x'.repeat(300),
];

/** Mostly the one that is meant. */
export function nearly(name: string): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 60, arbitrary: fc.constant(name) },
    { weight: 3, arbitrary: fc.constantFrom(...ODD_NAMES) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 80 }) },
    { weight: 2, arbitrary: strangersText },
  );
}

const ODD_NUMBERS = [
  '0',
  '-1',
  '01',
  '+1',
  '1e3',
  '1.0',
  '0x10',
  '٣',
  '',
  '9007199254740991',
  '9007199254740992',
  '9'.repeat(400),
];

/** Of revisions, as they stand in names and labels. */
export const numbers: fc.Arbitrary<string> = fc.oneof(
  { weight: 60, arbitrary: fc.integer({ min: 1, max: 6 }).map(String) },
  { weight: 2, arbitrary: fc.constantFrom(...ODD_NUMBERS) },
);

/** Anything that JSON can say, and what trips programs. */
export const oddValues: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(null, true, 0, -1, 1e308, '', 'x'.repeat(100_000), [], {}, [[]], '\ud800'),
  fc.constantFrom(...ODD_NAMES),
  strangersText,
  fc.jsonValue({ maxDepth: 2 }),
);

/** Nothing, but for one time in ten. */
export function rarely<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.oneof({ weight: 9, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
}
