/** How soon the same may be applied again. */
import t from 'tap';
import { createPace } from '../../src/webhook/pace.ts';
import { fakeClock } from '../support/fake-clock.ts';

t.test('what was never applied may be applied now', async (t) => {
  const pace = createPace(fakeClock().now);
  t.equal(pace.wait('a'), 0);
  t.equal(pace.wait(undefined), 0);
});

t.test('the same again has to wait, each time for twice as long, and half a minute at most', async (t) => {
  const clock = fakeClock();
  const pace = createPace(clock.now);
  const waits: number[] = [];
  for (let round = 0; round < 12; round += 1) {
    pace.done('a');
    waits.push(pace.wait('a'));
    clock.advance(pace.wait('a') - 1);
    t.equal(pace.wait('a'), 1);
    clock.advance(1);
    t.equal(pace.wait('a'), 0);
  }
  t.strictSame(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000, 30_000]);
});

t.test('something else need not wait, and neither does the same after a minute of peace', async (t) => {
  const clock = fakeClock();
  const pace = createPace(clock.now);
  pace.done(undefined);
  pace.done(undefined);
  t.equal(pace.wait('a'), 0);
  t.equal(pace.wait(undefined), 200);
  pace.done('a');
  t.equal(pace.wait('a'), 100);
  clock.advance(60_001);
  t.equal(pace.wait('a'), 0);
  pace.done('a');
  t.equal(pace.wait('a'), 100, 'it begins anew');
});
