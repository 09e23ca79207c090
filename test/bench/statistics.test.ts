import t from 'tap';
import { median, ratios, summarize } from '../../bench/statistics.ts';

t.test('quantiles are values that were seen, by the nearest rank', async (t) => {
  const thousand = Array.from({ length: 1_000 }, (_, index) => 1_000 - index);
  t.same(summarize(thousand), { count: 1_000, p50: 500, p99: 990, p999: 999, max: 1_000 });
  t.same(summarize([7]), { count: 1, p50: 7, p99: 7, p999: 7, max: 7 });
});

t.test('of nothing there is no quantile', async (t) => {
  const { count, p50, max } = summarize([]);
  t.equal(count, 0);
  t.ok(Number.isNaN(p50));
  t.ok(Number.isNaN(max));
});

t.test('samples are ordered as numbers, and left as they were', async (t) => {
  const samples = [10, 9, 1];
  t.equal(median(samples), 9);
  t.same(samples, [10, 9, 1]);
});

t.test('a ratio is of one round', async (t) => {
  t.same(ratios([2, 30], [1, 10]), [2, 3]);
  t.ok(Number.isNaN(ratios([2], [])[0]), 'a round that only one has seen has none');
});
