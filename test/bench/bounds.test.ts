import t from 'tap';
import { judgeBound, words } from '../../bench/bounds.ts';

const bound = { what: 'an admission', atMost: 1.5 };

t.test('the best round of each decides: a noisy moment is no regression', async (t) => {
  const judged = judgeBound(bound, [9, 1.4, 3], [1.2, 1, 8]);
  t.equal(judged.holds, true);
  t.equal(words(judged), 'ok: an admission: 1.40 ×, at most 1.50 ×');
});

t.test('a regression is one, however much the other side was disturbed in a round', async (t) => {
  const judged = judgeBound(bound, [1.6, 1.9], [9, 1]);
  t.equal(judged.holds, false);
  t.equal(words(judged), 'NOT OK: an admission: 1.60 ×, at most 1.50 ×');
});

t.test('where nothing was measured, nothing holds', async (t) => {
  t.equal(judgeBound(bound, [], []).holds, false);
  t.equal(judgeBound(bound, [], [1]).holds, false);
  t.equal(judgeBound(bound, [Number.NaN], [1]).holds, false);
});
