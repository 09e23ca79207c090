import t from 'tap';
import { MEASUREMENTS, readOptions } from '../../bench/options.ts';

const none = { full: false, write: false, check: false, help: false };

t.test('without words, all is measured', async (t) => {
  t.same(readOptions([]), { ...none, chosen: MEASUREMENTS });
  t.same(readOptions(['--full', '--write']), { ...none, full: true, write: true, chosen: MEASUREMENTS });
});

t.test('names choose, whatever their order', async (t) => {
  t.same(readOptions(['wake-up', 'admission']), { ...none, chosen: ['admission', 'wake-up'] });
});

t.test('what cannot be meant is said in words', async (t) => {
  t.match(readOptions(['speed']), 'there is no speed: there are admission, wake-up');
  t.match(readOptions(['--fast']), "Unknown option '--fast'");
  t.equal(readOptions(['admission', '--write']), '--write is for a run of all of them');
  for (const other of ['--full', '--write', 'admission']) {
    t.equal(readOptions(['--check', other]), '--check goes alone');
  }
});
