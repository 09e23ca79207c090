/** Text from strangers is shown, and never obeyed. */
import fc from 'fast-check';
import t from 'tap';
import { printable } from '../src/printable.ts';
import { isUnsafe, strangersText, unsafeIn } from './support/unsafe-text.ts';

t.test('what a terminal would obey, or not show, is written as an escape', async (t) => {
  for (const [text, shown] of [
    ['\u001b[31mred\u001b[0m', '\\u{1b}[31mred\\u{1b}[0m'],
    ['\u009b2J', '\\u{9b}2J'],
    ['a\u007fb', 'a\\u{7f}b'],
    ['two\nlines\r\tand a tab', 'two\\u{a}lines\\u{d}\\u{9}and a tab'],
    ['\u202eecila', '\\u{202e}ecila'],
    ['\u2067al\u2069ice', '\\u{2067}al\\u{2069}ice'],
    ['al\u200bice', 'al\\u{200b}ice'],
    ['\ufeffalice\u2028\u2029', '\\u{feff}alice\\u{2028}\\u{2029}'],
    ['\u{e0041}', '\\u{e0041}'],
    ['\ud800 alone', '\\u{d800} alone'],
    ['\\\u001b', '\\\\\\u{1b}'],
    ['\\u{1b}', '\\\\u{1b}'],
    ['\\\\u{1b}', '\\\\\\\\u{1b}'],
  ] as const) {
    t.equal(printable(text), shown, shown);
  }
});

t.test('what is harmless stays as it is', async (t) => {
  for (const text of [
    '',
    'alice@example.com',
    'system:serviceaccount:ci:runner',
    'CORP\\bob',
    'C:\\users\\ulf',
    'trailing\\',
    'Grüße, 世界, שלום, 👩 and é',
    'arn:aws:sts::123456789012:assumed-role/Deploy/GitHubActions',
    '{"json": "\\u001b"}',
  ]) {
    t.equal(printable(text), text);
  }
});

t.test('each code point is either shown as it is, or written as an escape', async (t) => {
  const wrong: number[] = [];
  for (let code = 0; code <= 0xffff; code += 1) {
    const character = String.fromCharCode(code);
    if (isUnsafe(character) === (printable(character) === character)) wrong.push(code);
  }
  // Formatting characters of single scripts are escaped as well, and need not be on the list of the test.
  const unexpected = wrong.filter((code) => isUnsafe(String.fromCharCode(code)));
  t.same(unexpected, []);
  t.ok(wrong.length < 64, `${wrong.length} more are escaped`);
});

/** The text that was made printable; written without a look at how. */
function original(shown: string): string {
  return shown.replaceAll(/(\\+)(u\{([0-9a-f]*)(\})?)/g, (all, slashes, rest, hex, close) => {
    const half = '\\'.repeat(Math.floor(slashes.length / 2));
    if (slashes.length % 2 === 0) return half + rest;
    return hex && close ? half + String.fromCodePoint(Number.parseInt(hex, 16)) : all;
  });
}

t.test('nothing unsafe is left of any text, and different texts stay different', async (t) => {
  fc.assert(
    fc.property(fc.oneof(strangersText, fc.string({ unit: 'binary' })), (text) => {
      const shown = printable(text);
      return unsafeIn(shown) === undefined && original(shown) === text;
    }),
    { numRuns: 5_000 },
  );
  t.pass('whatever it was');
});

t.test('a long text takes no longer than its length', async (t) => {
  const started = performance.now();
  const many = '\\'.repeat(1_000_000);
  t.equal(printable(`${many}\u001b`).length, 2_000_000 + '\\u{1b}'.length);
  t.equal(printable(`\u001b${many}`).length, '\\u{1b}'.length + 1_000_000);
  t.comment(`${Math.round(performance.now() - started)} ms`);
});
