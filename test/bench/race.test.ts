import t from 'tap';
import { type Runner, race } from '../../bench/race.ts';

t.test('runners take turns, each time in another order, and their first round is not counted', async (t) => {
  const order: string[] = [];
  const runner = (name: string, took: number): Runner => ({
    ask: async () => {
      order.push(name);
      return took;
    },
  });
  const laps = await race({ a: runner('a', 1), b: runner('b', 3) }, { rounds: 2, asks: 2, lanes: 1 });
  t.same(order, [...'aabb', ...'bbaa', ...'aabb']);
  t.match(laps.a, { count: 4, p50: 1, max: 1, medians: [1, 1] });
  t.match(laps.b, { count: 4, p50: 3, medians: [3, 3] });
  t.ok(laps.a.perSecond > 0);
});

t.test('so many lanes ask at once, and no more than were asked for', async (t) => {
  const lanes = new Map<number, number>();
  let prepared = 0;
  let atOnce = 0;
  let most = 0;
  const ask = async (lane: number) => {
    lanes.set(lane, (lanes.get(lane) ?? 0) + 1);
    atOnce += 1;
    most = Math.max(most, atOnce);
    await new Promise(setImmediate);
    atOnce -= 1;
    return 1;
  };
  const runner: Runner = {
    prepare: (count) => {
      prepared += count;
    },
    ask,
  };
  const { one } = await race({ one: runner }, { rounds: 1, asks: 10, lanes: 4 });
  t.equal(most, 4);
  t.equal(one.count, 10);
  t.equal(prepared, 20, 'and once more for the round that is not counted');
  t.same([...lanes.keys()].sort(), [0, 1, 2, 3]);
});

t.test('who fails, fails all of it', async (t) => {
  const ask = async () => {
    throw new Error('answered 500');
  };
  await t.rejects(race({ one: { ask } }, { rounds: 1, asks: 1, lanes: 1 }), new Error('answered 500'));
});
