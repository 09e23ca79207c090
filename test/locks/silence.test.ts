/** Since when nobody has written: worked out once for each write, and moved by no clock but our own. */
import t from 'tap';
import { createSilence } from '../../src/locks/silence.ts';
import { revision } from '../support/revisions.ts';

const DATE = Date.parse('2026-11-22T13:00:00Z');

t.test('jumps of the cluster’s clock change no silence', async (t) => {
  let [now, date] = [1_000, DATE];
  const silentSince = createSilence({ now: () => now, earliestDate: () => date });
  const written = (lastWriteAt: number) => revision(6, 'pending-upgrade', { createdAt: DATE, lastWriteAt });
  const held = written(DATE - 42_000);
  const silence = (of = held) => now - silentSince(of);
  t.equal(silence(), 42_000, 'at first sight, by the dates');
  for (const jump of [20_000, -20_000, 1_200_000, -1_200_000, -2_400_000, 3_600_000]) {
    date += jump;
    now += 1_000;
  }
  t.equal(silence(), 48_000, 'from then on, by our own clock');
  t.equal(silence(written(date)), 0, 'a new write begins anew');
  t.equal(silence(written(date + 60_000)), 0, 'also by a clock that is ahead');
  t.equal(silence(written(0)), 0, 'of a record without a time, nothing is known');
  t.equal(silence(), 48_000, 'and the older write is remembered');
  t.equal(silence({ ...held, uid: 'another' }), date - DATE + 42_000, 'each record has its own');
});
