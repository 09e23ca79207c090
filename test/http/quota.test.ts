import t from 'tap';
import { createQuota } from '../../src/http/quota.ts';

t.test('each may have so many at once, and what is given back may be taken again', async (t) => {
  const quota = createQuota(2);
  const [first, second] = [quota.take('alice'), quota.take('alice')];
  t.equal(quota.take('alice'), undefined, 'alice has two');
  t.type(quota.take('bob'), 'function', 'which does not concern bob');
  first?.();
  const third = quota.take('alice');
  t.type(third, 'function');
  t.equal(quota.take('alice'), undefined);
  second?.();
  third?.();
  t.same(
    [quota.take('alice'), quota.take('alice'), quota.take('alice')].map((taken) => typeof taken),
    ['function', 'function', 'undefined'],
  );
});
