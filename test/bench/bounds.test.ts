import t from 'tap';
import { judgeBound, words } from '../../bench/bounds.ts';

const bound = { what: 'an admission', atMost: 1.5 };

t.test('the best round decides: a noisy moment is no regression', async (t) => {
  const judged = judgeBound(bound, [9, 1.4, 3]);
  t.equal(judged.holds, true);
  t.equal(words(judged), 'ok: an admission: 1.40 ×, at most 1.50 ×');
});

t.test('what is slower in every round is one', async (t) => {
  const judged = judgeBound(bound, [1.6, 1.9]);
  t.equal(judged.holds, false);
  t.equal(words(judged), 'NOT OK: an admission: 1.60 ×, at most 1.50 ×');
});

t.test('rounds in which nothing was measured hold nothing', async (t) => {
  t.equal(judgeBound(bound, []).holds, false);
  t.equal(judgeBound(bound, [Number.NaN]).holds, false);
});
