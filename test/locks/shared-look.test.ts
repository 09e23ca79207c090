/** One read for many: who may share which. */
import t from 'tap';
import { createSharedLook } from '../../src/locks/shared-look.ts';
import { failure } from '../support/clearing.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));

function harness() {
  let time = 100;
  const reads: PromiseWithResolvers<string>[] = [];
  const shared = createSharedLook(
    () => {
      const read = Promise.withResolvers<string>();
      reads.push(read);
      return read.promise;
    },
    () => time,
  );
  return {
    reads,
    look: shared.look,
    lastLookAt: shared.lastLookAt,
    pass: (ms: number) => {
      time += ms;
    },
  };
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

t.test('a read that throws before it begins is one that fails', async (t) => {
  const shared = createSharedLook(
    () => {
      throw new Error('at once');
    },
    () => 0,
  );
  t.match(await failure(shared.look()), { message: 'at once' });
  t.match(await failure(shared.look()), { message: 'at once' }, 'and keeps nobody from asking again');
});

t.test('the last look is dated by its beginning, and only if it succeeded', async (t) => {
  const { reads, look, lastLookAt, pass } = harness();
  t.equal(lastLookAt(), undefined, 'there was none');
  const first = look();
  await turn();
  pass(5);
  t.equal(lastLookAt(), undefined, 'nothing was seen yet');
  reads[0]?.resolve('seen');
  await first;
  t.equal(lastLookAt(), 100);
  const second = failure(look());
  await turn();
  reads[1]?.reject(new Error('failed'));
  await second;
  t.equal(lastLookAt(), 100);
  const third = look();
  await turn();
  pass(5);
  reads[2]?.resolve('seen');
  await third;
  t.equal(lastLookAt(), 105);
});
