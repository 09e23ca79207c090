/** What is printed, and what of it a terminal would obey: nothing. */
import fc from 'fast-check';
import t from 'tap';
import { createTerminal, json, shown } from '../../src/cli/terminal.ts';
import { strangersText, unsafeIn } from '../support/unsafe-text.ts';

function printed() {
  const texts = { out: '', error: '' };
  const terminal = createTerminal(
    { env: { HOME: '/home/alice' }, home: '/home/alice' },
    {
      out(text) {
        texts.out += text;
      },
      error(text) {
        texts.error += text;
      },
    },
  );
  return { texts, terminal };
}

t.test('each line is a line, whatever is in it', async (t) => {
  const { texts, terminal } = printed();
  terminal.out('one', 'two\n\u001b[2Jthree');
  terminal.note('read this', '  and \u202ethis');
  t.same(texts, {
    out: 'one\ntwo\\u{a}\\u{1b}[2Jthree\n',
    error: 'lockkeeper: read this\n  and \\u{202e}this\n',
  });
  t.match(terminal, { env: { HOME: '/home/alice' }, home: '/home/alice' });
});

t.test('a name that Lockkeeper has made safe looks the same here', async (t) => {
  t.equal(shown('al\\u{1b}ice'), 'al\\u{1b}ice');
});

t.test('nothing unsafe is printed, and JSON means what it meant', async (t) => {
  fc.assert(
    fc.property(strangersText, strangersText, (key, text) => {
      const { texts, terminal } = printed();
      terminal.note(text);
      terminal.out(text);
      const value = { [key]: [text] };
      const lines = json(value);
      terminal.out(...lines);
      const all = `${texts.error}${texts.out}`.replaceAll('\n', '');
      const isOneLine = texts.error.split('\n').length === 2;
      return (
        unsafeIn(all) === undefined &&
        isOneLine &&
        JSON.stringify(JSON.parse(lines.join('\n'))) === JSON.stringify(value)
      );
    }),
    { numRuns: 2_000 },
  );
  t.pass('whatever it was');
});
