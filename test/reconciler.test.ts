/** When something is looked at: at once, when woken, when it is due, and after a failure; never without a pause. */
import t, { type Test } from 'tap';
import { startReconciler } from '../src/reconciler.ts';
import { sleeper } from './support/sleeper.ts';

/** A look that is being taken, and ends as the test says. */
interface Look {
  readonly signal: AbortSignal;
  end(ms: number): void;
  fail(error: Error): void;
}

function start(t: Test, random = () => 1, restMs = 0) {
  const { clock, asleep } = sleeper();
  const looks: Look[] = [];
  const errors: unknown[] = [];
  const reconciler = startReconciler({
    reconcile(signal) {
      const { promise, resolve, reject } = Promise.withResolvers<number>();
      looks.push({ signal, end: resolve, fail: reject });
      return promise;
    },
    onError: (error) => errors.push(error),
    restMs: () => restMs,
    clock,
    random,
  });
  t.teardown(() => {
    looks.at(-1)?.end(0);
    return reconciler.stop();
  });

  /** The look that is being taken now ends so, and it sleeps. */
  async function ends(how: (look: Look) => void): Promise<void> {
    const sleeping = asleep();
    const look = looks.at(-1);
    if (look) how(look);
    await sleeping;
  }
  return { ...reconciler, clock, looks, errors, ends, asleep };
}

t.test('it looks at once, and again when it is due', async (t) => {
  const { clock, looks, ends, errors } = start(t);
  t.equal(looks.length, 1);
  await ends((look) => look.end(5_000));
  clock.advance(4_999);
  await turn();
  t.equal(looks.length, 1, 'not before');
  clock.advance(1);
  await turn();
  t.equal(looks.length, 2);
  t.strictSame(errors, []);
});

t.test(
  'however far away it is due, it looks every ten minutes: whatever was missed is found then',
  async (t) => {
    const { clock, looks, ends } = start(t);
    await ends((look) => look.end(Number.POSITIVE_INFINITY));
    clock.advance(599_999);
    await turn();
    t.equal(looks.length, 1);
    clock.advance(1);
    await turn();
    t.equal(looks.length, 2);
  },
);

t.test('woken while it sleeps, it looks at once, and no longer when it was due', async (t) => {
  const { wake, clock, looks, ends } = start(t);
  await ends((look) => look.end(5_000));
  wake();
  await turn();
  t.equal(looks.length, 2);
  t.equal(clock.timers(), 0, 'the old alarm is off');
  await ends((look) => look.end(60_000));
  clock.advance(5_000);
  await turn();
  t.equal(looks.length, 2);
});

t.test('woken while it looks, it looks once more after that, however often it was woken', async (t) => {
  const { wake, looks, ends } = start(t);
  wake();
  wake();
  wake();
  await turn();
  t.equal(looks.length, 1, 'never two at once');
  looks[0]?.end(60_000);
  await turn();
  t.equal(looks.length, 2, 'what it sees may be older than what woke it');
  await ends((look) => look.end(60_000));
  t.equal(looks.length, 2);
});

t.test('woken while a look fails, it looks once more at once', async (t) => {
  const { wake, looks, errors } = start(t);
  wake();
  looks[0]?.fail(new Error('a'));
  await turn();
  t.equal(looks.length, 2);
  t.equal(errors.length, 1);
});

t.test('after a failure it tries again, ever later, and half of each pause is random', async (t) => {
  for (const [random, least] of [
    [1, 200],
    [0, 100],
  ] as const) {
    const { clock, looks, errors, ends } = start(t, () => random);
    const pauses: number[] = [];
    for (let attempt = 1; attempt <= 10; attempt += 1) {
      await ends((look) => look.fail(new Error(`attempt ${attempt}`)));
      const before = clock.now();
      while (looks.length === attempt) {
        clock.advance(least / 2);
        await turn();
      }
      pauses.push(clock.now() - before);
    }
    const doubled = [1, 2, 4, 8, 16, 32, 64, 128, 150, 150];
    t.strictSame(
      pauses,
      doubled.map((times) => times * least),
      `from ${least} ms to ${150 * least} ms`,
    );
    t.equal(errors.length, 10, 'each is told');
  }
});

t.test('after a success the pauses are short again', async (t) => {
  const { wake, clock, looks, ends } = start(t);
  for (let attempt = 0; attempt < 5; attempt += 1) {
    await ends((look) => look.fail(new Error('down')));
    wake();
    await turn();
  }
  await ends((look) => look.end(60_000));
  wake();
  await turn();
  await ends((look) => look.fail(new Error('down')));
  const before = looks.length;
  clock.advance(200);
  await turn();
  t.equal(looks.length, before + 1);
});

t.test('stopped while it sleeps, it has ended, and looks no more', async (t) => {
  const { stop, wake, clock, looks, ends } = start(t);
  await ends((look) => look.end(5_000));
  await stop();
  t.equal(clock.timers(), 0);
  wake();
  clock.advance(600_000);
  await turn();
  t.equal(looks.length, 1);
});

t.test('stopped while it looks, it tells the look, and ends when that has ended', async (t) => {
  for (const end of [
    (look: Look) => look.end(5_000),
    (look: Look) => look.fail(new Error('This operation was aborted')),
  ]) {
    const { stop, clock, looks, errors } = start(t);
    let hasEnded = false;
    const ended = stop().then(() => {
      hasEnded = true;
    });
    await turn();
    t.equal(looks[0]?.signal.aborted, true);
    t.equal(hasEnded, false);
    for (const look of looks) end(look);
    await ended;
    t.strictSame(errors, [], 'what fails now is no failure');
    t.equal(looks.length, 1);
    t.equal(clock.timers(), 0);
  }
});

/** Whatever follows without anything else to happen, has followed. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

t.test('given a rest, it looks no more often, whoever wakes it', async (t) => {
  const { wake, clock, looks, ends } = start(t, () => 1, 100);
  await ends((look) => look.end(5_000));
  for (let woken = 0; woken < 10; woken += 1) wake();
  clock.advance(99);
  await turn();
  t.equal(looks.length, 1, 'it rests');
  clock.advance(1);
  await turn();
  t.equal(looks.length, 2, 'all of it is worth one look');
  await ends((look) => look.end(5_000));
  clock.advance(100);
  await turn();
  clock.advance(4_899);
  await turn();
  t.equal(looks.length, 2, 'nobody wakes it');
  clock.advance(1);
  await turn();
  t.equal(looks.length, 3, 'due since the look, and not since the rest');
});

t.test('given a rest, it ends at once', async (t) => {
  const { stop, looks, ends, clock } = start(t, () => 1, 100);
  await ends((look) => look.end(5_000));
  await stop();
  clock.advance(10_000);
  await turn();
  t.equal(looks.length, 1);
});
