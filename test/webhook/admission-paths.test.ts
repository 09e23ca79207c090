/** By which paths reviews are read: known ones at once, unknown ones after a look, which not every stranger gets. */
import t from 'tap';
import { createAdmissionPaths, isOneOf } from '../../src/webhook/admission-paths.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { testLog } from '../support/log.ts';

const TOLD = 'requests come to a path that is not that of the webhook: they are refused, and not read';

function world(look: () => Promise<unknown> = async () => {}) {
  const clock = fakeClock();
  const logs = testLog();
  const known = ['/admission/a'];
  let looks = 0;
  const paths = createAdmissionPaths({
    taken: () => known,
    look: () => {
      looks += 1;
      return look();
    },
    clock,
    log: logs.log,
  });
  return { ...paths, clock, logs, known, looks: () => looks };
}

t.test('a path that is known is right, at once', async (t) => {
  const { isRight, known, looks } = world();
  known.push('/admission/b');
  t.equal(isRight('/admission/a'), true);
  t.equal(isRight('/admission/b'), true);
  t.equal(looks(), 0);
});

t.test('an unknown one is looked for, and right if it is found', async (t) => {
  const { isRight, known, clock, looks } = world(async () => known.push('/admission/b'));
  const asked = [isRight('/admission/b'), isRight('/admission/b'), isRight('/admission/c')];
  clock.advance(0);
  t.strictSame(await Promise.all(asked), [true, true, false]);
  t.equal(looks(), 1, 'one look for all who ask at once');
});

t.test('it looks once in a second, and each who asks gets a look that began later', async (t) => {
  const { isRight, clock, looks } = world();
  const first = isRight('/x');
  clock.advance(0);
  await first;
  const second = isRight('/x');
  clock.advance(999);
  t.equal(looks(), 1);
  const third = isRight('/y');
  clock.advance(1);
  t.strictSame(await Promise.all([second, third]), [false, false]);
  t.equal(looks(), 2);
});

t.test('who asks while a look is under way waits for the next', async (t) => {
  const looking = Promise.withResolvers<void>();
  const { isRight, clock, looks, known } = world(() => looking.promise);
  const first = isRight('/x');
  clock.advance(0);
  await new Promise((resolve) => setImmediate(resolve));
  const second = isRight('/admission/b');
  looking.resolve();
  t.equal(await first, false);
  known.push('/admission/b');
  clock.advance(1_000);
  t.equal(await second, true);
  t.equal(looks(), 2);
});

t.test('what cannot be read brings nothing new', async (t) => {
  const { isRight, clock } = world(async () => {
    throw new Error('down');
  });
  const asked = isRight('/x');
  clock.advance(0);
  t.equal(await asked, false);
});

t.test('too many who ask, and paths that are too long, are refused unlooked', async (t) => {
  const { isRight, clock, looks } = world();
  t.equal(isRight(`/${'a'.repeat(250)}`), false);
  const asked = Array.from({ length: 50 }, () => isRight('/x'));
  t.equal(isRight('/x'), false, 'while fifty wait');
  t.equal(isRight('/admission/a'), true, 'whoever knows the path does not wait');
  clock.advance(0);
  await Promise.all(asked);
  t.equal(looks(), 1);
  t.type(isRight('/x'), Promise, 'then there is room again');
  clock.advance(1_000);
});

t.test('it is told in the log, once in a minute, without the path', async (t) => {
  const { isRight, clock, logs } = world();
  const long = `/${'secret'.repeat(50)}`;
  for (const ms of [0, 1, 59_998, 1, 60_000]) {
    clock.advance(ms);
    isRight(long);
  }
  t.strictSame(logs.messages(), [TOLD, TOLD, TOLD]);
  t.notMatch(logs.text(), 'secret');
});

t.test('a path is one of some, or none', async (t) => {
  t.equal(isOneOf('/a', ['/b', '/a']), true);
  t.equal(isOneOf('/a', ['/b', '/ab', '']), false);
  t.equal(isOneOf('/a', []), false);
});
