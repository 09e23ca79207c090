/** What is counted is read once in ten seconds, however often it is asked for. */
import t from 'tap';
import { judge } from '../../src/gate/verdict.ts';
import { createCensus } from '../../src/locks/census.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { revision } from '../support/revisions.ts';

t.test('given many who ask, then the locks are listed once in ten seconds', async (t) => {
  const clock = fakeClock();
  let lists = 0;
  const census = createCensus({
    list: async () => {
      lists += 1;
      return [42, 900, 901].map((age) => ({
        revision: revision(6, 'pending-upgrade', { createdAt: clock.date() - age * 1_000 }),
        holder: undefined,
      }));
    },
    judge: (lock) => judge(lock, 900, clock.date()),
    now: clock.now,
  });
  t.same(await Promise.all([census(), census()]), Array(2).fill(['live', 'expired', 'expired']));
  clock.advance(9_999);
  await census();
  t.equal(lists, 1);
  clock.advance(2);
  await census();
  t.equal(lists, 2);
});

t.test('given a list that fails, then that is not remembered', async (t) => {
  const lists = [() => Promise.reject(new Error('no cluster')), () => Promise.resolve([])];
  const census = createCensus({
    list: () => (lists.shift() ?? t.fail)() as Promise<[]>,
    judge: (lock) => judge(lock, 900, 0),
    now: fakeClock().now,
  });
  await t.rejects(census(), { message: 'no cluster' });
  t.same(await census(), []);
});
