import t from 'tap';
import { createOneAtATime } from '../../src/locks/one-at-a-time.ts';

t.test('each begins when the one before has ended, however that ended', async (t) => {
  const oneAtATime = createOneAtATime();
  const events: string[] = [];
  const work = (name: string, outcome: () => Promise<unknown>) =>
    oneAtATime(async () => {
      events.push(`${name} begins`);
      await outcome().finally(() => events.push(`${name} ends`));
      return name;
    });
  const first = Promise.withResolvers<void>();
  const all = Promise.allSettled([
    work('a', () => first.promise),
    work('b', async () => {
      throw new Error('odd');
    }),
    work('c', async () => {}),
  ]);
  await new Promise((resolve) => setImmediate(resolve));
  t.same(events, ['a begins']);
  first.resolve();
  t.match(await all, [{ value: 'a' }, { status: 'rejected', reason: { message: 'odd' } }, { value: 'c' }]);
  t.same(events, ['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
});
