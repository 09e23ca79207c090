/** Users are told apart by their names, which are safe to show. */
import fc from 'fast-check';
import t from 'tap';
import { userName } from '../../src/gate/user-name.ts';
import { strangersText, unsafeIn } from '../support/unsafe-text.ts';

t.test('an ordinary name is as the API server says it', async (t) => {
  for (const name of ['alice', 'system:serviceaccount:ci:runner', 'CORP\\bob', 'ulf@bücher.example']) {
    t.equal(userName(name), name);
  }
  t.equal(userName('x'.repeat(1_024)), 'x'.repeat(1_024));
});

/** Names that differ in what cannot be seen, at the end of a long name, or in how they are escaped. */
const near: readonly string[] = [
  'alice',
  'alice\u200b',
  '\u202ealice',
  'alice\u001b',
  'alice\\u{1b}',
  'alice\\\\u{1b}',
  'alice\\\u001b',
  'x'.repeat(1_025),
  'x'.repeat(1_026),
  `${'x'.repeat(1_024)}y`,
  `${'x'.repeat(954)}${'\\'.repeat(100)}`,
  '\\'.repeat(1_025),
  '\u001b'.repeat(300),
  '\u001b'.repeat(301),
];

t.test('different users have different names, and so have those who are named like them', async (t) => {
  const names = [...near, ...near.map(userName), ...near.map(userName).map(userName)];
  const users = new Set(names);
  t.equal(new Set([...users].map(userName)).size, users.size);
});

t.test('no character is cut in half', async (t) => {
  for (const before of ['', 'x', '\\', 'x\\']) {
    const name = userName(`${before}${'👩'.repeat(1_000)}`);
    t.ok(name.isWellFormed() && name.length <= 1_024, `${name.length}`);
  }
});

t.test('no name is unsafe to show, or longer than a ReleaseLock takes', async (t) => {
  const long = fc
    .tuple(strangersText, fc.integer({ min: 1, max: 300 }))
    .map(([text, times]) => text.repeat(times));
  fc.assert(
    fc.property(fc.oneof(strangersText, long), (text) => {
      const name = userName(text);
      return unsafeIn(name) === undefined && name.length <= 1_024 && (name !== '') === (text !== '');
    }),
  );
  t.pass('whatever it was');
});
