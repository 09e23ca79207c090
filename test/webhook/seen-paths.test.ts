/** By which paths reviews may come, as the configuration has told API servers. */
import t from 'tap';
import { createSeenPaths } from '../../src/webhook/seen-paths.ts';
import { fakeClock } from '../support/fake-clock.ts';

const KEEP_MS = 60_000;

t.test('a path is taken while it is told, and for a while after', async (t) => {
  const clock = fakeClock();
  const seen = createSeenPaths(clock.now, KEEP_MS);
  t.strictSame(seen.recent(), []);
  t.ok(seen.note(['/a', '/a']), 'which is news');
  t.notOk(seen.note(['/a']), 'and the same again is none');
  t.strictSame(seen.recent(), ['/a']);
  clock.advance(10 * KEEP_MS);
  t.strictSame(seen.recent(), ['/a'], 'however long it is told');
  t.ok(seen.note(['/b', '/a']));
  t.ok(seen.note(['/b']));
  t.strictSame(seen.recent(), ['/b', '/a']);
  clock.advance(KEEP_MS);
  t.strictSame(seen.recent(), ['/b', '/a']);
  clock.advance(1);
  t.strictSame(seen.recent(), ['/b']);
  t.ok(seen.note([]), 'the configuration is gone');
  t.strictSame(seen.recent(), ['/b']);
  seen.note(['/b']);
  seen.note(['/c']);
  t.strictSame(seen.recent(), ['/c', '/b']);
});

t.test('for how long nothing else was told', async (t) => {
  const clock = fakeClock();
  const seen = createSeenPaths(clock.now, KEEP_MS);
  t.equal(seen.onlyMs('/a'), undefined, 'before it was seen');
  t.equal(seen.sinceMs(), 0);
  seen.note(['/a']);
  clock.advance(5);
  seen.note(['/a']);
  t.equal(seen.onlyMs('/a'), 5);
  t.equal(seen.sinceMs(), 5);
  t.equal(seen.onlyMs('/b'), undefined);
  seen.note(['/a', '/b']);
  t.equal(seen.onlyMs('/b'), undefined, 'one of the webhooks still tells another');
  seen.note(['/b']);
  clock.advance(7);
  t.equal(seen.onlyMs('/b'), 7);
  seen.note([]);
  clock.advance(9);
  t.equal(seen.onlyMs('/b'), 9, 'without a configuration, nobody is told of any');
});
