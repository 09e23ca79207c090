/** What many who wait cost the cluster: nobody looks for nothing, and nobody is forgotten. */
import t from 'tap';
import { never } from '../support/clearing.ts';
import { API, createWaiting, lockedBy, settle, stateOf } from '../support/waiting.ts';

const MANY = 1_000;

t.test('a thousand who come at once cost one look, and one every 15 s', async (t) => {
  const { waits, looks, pass, sees } = createWaiting();
  const states = Array.from({ length: MANY }, () => stateOf(waits.wait(API, 600, never)));
  await settle();
  t.equal(looks(), 1);
  await pass(14);
  t.equal(looks(), 1);
  await pass(1);
  t.equal(looks(), 2, 'should the watch be late');
  await pass(4 * 15);
  t.equal(looks(), 6);
  t.equal(waits.waitingFor(API), MANY);
  sees(() => undefined);
  await pass(15);
  t.ok(
    states.every(({ outcome }) => outcome?.kind === 'free'),
    'which all of them learn from',
  );
  t.equal(looks(), 7);
});

t.test('a thousand who come one by one look once each, and then all together every 15 s', async (t) => {
  const { waits, looks, pass, clock } = createWaiting();
  for (let index = 0; index < MANY; index += 1) {
    void waits.wait(API, 600, never);
    clock.advance(40); // over 40 s, so that the first have reason to look again
    await settle();
  }
  t.equal(looks(), MANY, 'a look of others counts as one of theirs');
  await pass(4 * 15);
  t.equal(looks(), MANY + 4);
});

t.test('a thousand who are woken cost one look', async (t) => {
  const { waits, looks, ends, sees, clock } = createWaiting();
  const states = Array.from({ length: MANY }, () => stateOf(waits.wait(API, 600, never)));
  await settle();
  sees(() => lockedBy(7));
  ends(6);
  await settle();
  t.equal(looks(), 2);
  sees(() => undefined);
  ends(7);
  await settle();
  t.equal(looks(), 3);
  t.ok(states.every(({ outcome }) => outcome?.kind === 'free'));
  t.equal(clock.timers(), 0);
});

t.test('a thousand who cannot read cost one look a second', async (t) => {
  const { waits, looks, pass, sees } = createWaiting();
  sees(() => Promise.reject(new Error('no cluster')));
  const states = Array.from({ length: MANY }, () => stateOf(waits.wait(API, 10, never)));
  await settle();
  await pass(9);
  t.equal(looks(), 10);
  await pass(1);
  t.equal(looks(), 11);
  t.ok(states.every(({ error }) => error instanceof Error));
});

t.test('those who wait for another release are not woken, and look for themselves', async (t) => {
  const { waits, looks, ends } = createWaiting();
  void waits.wait({ ...API, name: 'web' }, 600, never);
  void waits.wait({ ...API, namespace: 'dev' }, 600, never);
  void waits.wait(API, 600, never);
  await settle();
  t.equal(looks(), 3);
  ends(6);
  await settle();
  t.equal(looks(), 4);
});

t.test(
  'a look that found it free keeps nobody asleep: those who sleep look 15 s after they saw the lock',
  async (t) => {
    const { waits, sees, pass } = createWaiting();
    const state = stateOf(waits.wait(API, 600, never));
    await settle();
    sees(() => undefined); // and the watch does not say so
    await pass(10);
    t.same(await waits.wait(API, 600, never), { kind: 'free' }, 'somebody else comes, and goes at once');
    await pass(4);
    t.same(state, {});
    await pass(1);
    t.same(state, { outcome: { kind: 'free' } });
  },
);

t.test('a look that failed keeps nobody asleep', async (t) => {
  const { waits, sees, pass, looks } = createWaiting();
  const state = stateOf(waits.wait(API, 600, never));
  await settle();
  await pass(10);
  sees(() => Promise.reject(new Error('no cluster')));
  await t.rejects(waits.wait(API, 0, never), { message: 'no cluster' });
  sees(() => undefined);
  await pass(5);
  t.same([state, looks()], [{ outcome: { kind: 'free' } }, 3]);
});

t.test('a time that is up is not put off by the looks of others', async (t) => {
  const { waits, pass } = createWaiting();
  const state = stateOf(waits.wait(API, 20, never));
  await settle();
  await pass(14);
  void waits.wait(API, 600, never);
  await settle();
  await pass(5);
  t.same(state, {});
  await pass(1);
  t.match(state, { outcome: { kind: 'locked' } });
});

t.test('a look that takes its time counts from its beginning', async (t) => {
  const { waits, sees, pass, looks } = createWaiting();
  const slow = Promise.withResolvers<undefined>();
  sees(async () => {
    await slow.promise;
    return lockedBy(6);
  });
  void waits.wait(API, 600, never);
  await settle();
  await pass(5);
  slow.resolve(undefined);
  await settle();
  await pass(9);
  t.equal(looks(), 1);
  await pass(1);
  t.equal(looks(), 2);
});

t.test('a cluster that cannot be read puts off no end', async (t) => {
  const { waits, sees, pass } = createWaiting();
  sees(() => Promise.reject(new Error('no cluster')));
  const state = stateOf(waits.wait(API, 1.5, never));
  await settle();
  await pass(1.5, 500);
  t.match(state, { error: { message: 'no cluster' } });
});
