/** The log on a terminal: whatever a line tells of, the terminal shows it and obeys nothing in it. */
import fc from 'fast-check';
import t from 'tap';
import { createLog } from '../src/log.ts';
import { strangersText, unsafeIn } from './support/unsafe-text.ts';

function openLog() {
  const written: string[] = [];
  const log = createLog('info', { write: (text) => written.push(text) });
  return { log, line: () => written.splice(0).join('') };
}

t.test('a line has nothing in it but its own end that a terminal obeys, and says all the same', async (t) => {
  const { log, line } = openLog();
  fc.assert(
    fc.property(strangersText, strangersText, (text, name) => {
      const given = { [`of ${name}`]: text, err: new Error(text), nested: [{ text }] };
      log.child({ name }).warn(given, text);
      const written = line();
      const { msg, nested, name: told, [`of ${name}`]: value, err } = JSON.parse(written);
      const isWhole = msg === text && nested[0].text === text && value === text && told === name;
      return isWhole && err.message === text && written.endsWith('}\n') && !unsafeIn(written.slice(0, -1));
    }),
  );
  t.pass('whatever it was');
});

t.test('what is harmless is written as it is', async (t) => {
  const { log, line } = openLog();
  log.info({ by: 'Grüße, 世界 👩' }, 'cleared');
  t.match(line(), '"by":"Grüße, 世界 👩","msg":"cleared"}\n');
});
