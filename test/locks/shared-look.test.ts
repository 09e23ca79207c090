/** One read for many: who may share which. */
import t from 'tap';
import { createSharedLook } from '../../src/locks/shared-look.ts';
import { failure } from '../support/clearing.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));

function harness() {
  const reads: PromiseWithResolvers<string>[] = [];
  const look = createSharedLook(() => {
    const read = Promise.withResolvers<string>();
    reads.push(read);
    return read.promise;
  });
  return { reads, look };
}

t.test('all who ask at the same moment share one read', async (t) => {
  const { reads, look } = harness();
  const looks = Array.from({ length: 1_000 }, look);
  await turn();
  t.equal(reads.length, 1);
  reads[0]?.resolve('seen');
  t.same(new Set(await Promise.all(looks)), new Set(['seen']));
  t.equal(reads.length, 1);
});

t.test(
  'who asks while a read is under way gets the next one, which begins when that has ended',
  async (t) => {
    const { reads, look } = harness();
    const first = look();
    await turn();
    const late = [look(), look()];
    await turn();
    t.equal(reads.length, 1, 'there is one at a time');
    reads[0]?.resolve('old');
    t.equal(await first, 'old');
    await turn();
    t.equal(reads.length, 2, 'one for all of them');
    const later = look();
    reads[1]?.resolve('new');
    t.same(await Promise.all(late), ['new', 'new']);
    await turn();
    t.equal(reads.length, 3, 'and so on');
    reads[2]?.resolve('newer');
    t.equal(await later, 'newer');
    await turn();
    t.equal(reads.length, 3, 'nobody asks, nothing is read');
    void look();
    await turn();
    t.equal(reads.length, 4, 'what is past is not shared');
  },
);

t.test('a read that fails, fails those who share it, and nobody else', async (t) => {
  const { reads, look } = harness();
  const first = [failure(look()), failure(look())];
  await turn();
  const second = [look(), look()];
  reads[0]?.reject(new Error('the first'));
  t.match(await Promise.all(first), [{ message: 'the first' }, { message: 'the first' }]);
  await turn();
  const third = failure(look());
  reads[1]?.resolve('fine');
  t.same(await Promise.all(second), ['fine', 'fine']);
  await turn();
  reads[2]?.reject(new Error('the third'));
  t.match(await third, { message: 'the third' });
  const last = look();
  await turn();
  reads[3]?.resolve('fine again');
  t.equal(await last, 'fine again');
});
