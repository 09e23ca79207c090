/** Waiting for a release to be free: when a wait ends, and how. */
import t from 'tap';
import { DRIVERS } from '../../src/helm/release.ts';
import { never } from '../support/clearing.ts';
import { API, createWaiting, lockedBy, settle, stateOf } from '../support/waiting.ts';

t.test('given a release that is free, then the wait ends at once', async (t) => {
  const { waits, sees, looks, clock } = createWaiting();
  sees(() => undefined);
  for (const timeout of [0, 600]) t.same(await waits.wait(API, timeout, never), { kind: 'free' });
  t.equal(looks(), 2);
  t.same([waits.count(), clock.timers()], [0, 0]);
});

t.test('given a lock, when it ends, then the wait does', async (t) => {
  for (const driver of DRIVERS) {
    const { waits, sees, looks, ends, clock } = createWaiting();
    const state = stateOf(waits.wait(API, 600, never));
    await settle();
    t.same([state, looks()], [{}, 1]);
    sees(() => undefined);
    await settle();
    t.same([state, looks()], [{}, 1], 'nobody looks while nothing happens');
    ends(6, driver);
    await settle();
    t.same([state, looks()], [{ outcome: { kind: 'free' } }, 2], `woken by the watch on ${driver}`);
    t.same([waits.count(), clock.timers()], [0, 0]);
  }
});

t.test('given a lock, when another one takes its place, then the wait goes on', async (t) => {
  const { waits, sees, looks, ends } = createWaiting();
  const seen: number[] = [];
  const state = stateOf(waits.wait(API, 600, never, ({ revision }) => seen.push(revision.number)));
  await settle();
  sees(() => lockedBy(7));
  ends(6);
  await settle();
  t.same([state, looks()], [{}, 2]);
  t.same(seen, [6, 7], 'and each lock is told');
  sees(() => undefined);
  ends(7);
  await settle();
  t.same(state, { outcome: { kind: 'free' } });
  t.same(seen, [6, 7]);
});

t.test('given a lock that stays, when the time is up, then the last lock is told', async (t) => {
  const { waits, sees, ends, pass, clock, looks } = createWaiting();
  const state = stateOf(waits.wait(API, 10, never));
  await settle();
  sees(() => lockedBy(7));
  ends(6);
  await settle();
  await pass(9.999, 9_999);
  t.same(state, {}, 'not a moment earlier');
  await pass(0.001, 1);
  t.match(state, { outcome: { kind: 'locked', lock: { revision: { number: 7 } } } });
  t.equal(looks(), 3, 'by a look at the end');
  t.same([waits.count(), clock.timers()], [0, 0]);
});

t.test(
  'given a lock that ends unseen by the watch, when the time is up, then the release is free',
  async (t) => {
    const { waits, sees, pass } = createWaiting();
    const state = stateOf(waits.wait(API, 10, never));
    await settle();
    sees(() => undefined);
    await pass(10);
    t.same(state, { outcome: { kind: 'free' } });
  },
);

t.test('given no time at all, then it looks once', async (t) => {
  const { waits, sees, looks } = createWaiting();
  t.match(await waits.wait(API, 0, never), { kind: 'locked', lock: { revision: { number: 6 } } });
  t.equal(looks(), 1);
  sees(() => Promise.reject(new Error('no cluster')));
  await t.rejects(waits.wait(API, 0, never), { message: 'no cluster' });
  t.equal(looks(), 2);
});

t.test('given a cluster that cannot be read', async (t) => {
  const { waits, sees, looks, pass, clock } = createWaiting();
  sees(() => Promise.reject(new Error('no cluster')));
  const state = stateOf(waits.wait(API, 5, never));
  await settle();
  t.same([state, looks()], [{}, 1]);
  await pass(0.999, 999);
  t.equal(looks(), 1);
  await pass(0.001, 1);
  t.same([state, looks()], [{}, 2], 'then it is read again after a second');
  await pass(3);
  t.same([state, looks()], [{}, 5], 'and again');
  await pass(1);
  t.match(state, { error: { message: 'no cluster' } }, 'and the wait fails when the time is up');
  t.equal(looks(), 6);
  t.same([waits.count(), clock.timers()], [0, 0]);
});

t.test('given a cluster that can be read again before the time is up', async (t) => {
  for (const [name, next, outcome] of [
    ['the lock is told', () => lockedBy(6), { kind: 'locked', lock: { revision: { number: 6 } } }],
    ['the release is free', () => undefined, { kind: 'free' }],
  ] as const) {
    const { waits, sees, pass } = createWaiting();
    sees(() => Promise.reject(new Error('no cluster')));
    const state = stateOf(waits.wait(API, 5, never));
    await settle();
    sees(next);
    await pass(5);
    t.match(state, { outcome }, name);
    t.notOk(state.error);
  }
});

t.test('given a cluster that cannot be read, when something changes, then it is read at once', async (t) => {
  const { waits, sees, ends, looks } = createWaiting();
  sees(() => Promise.reject(new Error('no cluster')));
  const state = stateOf(waits.wait(API, 5, never));
  await settle();
  sees(() => undefined);
  ends(6);
  await settle();
  t.same([state, looks()], [{ outcome: { kind: 'free' } }, 2]);
});

t.test('a change during a look is not missed', async (t) => {
  const { waits, sees, ends, looks } = createWaiting();
  const slow = Promise.withResolvers<void>();
  sees(async () => {
    await slow.promise;
    return lockedBy(6);
  });
  const state = stateOf(waits.wait(API, 600, never));
  await settle();
  ends(6);
  sees(() => undefined);
  await settle();
  t.same([state, looks()], [{}, 1]);
  slow.resolve();
  await settle();
  t.same([state, looks()], [{ outcome: { kind: 'free' } }, 2], 'it looks again at once');
});

t.test('given a caller that hangs up, then nothing is left behind', async (t) => {
  const left = new Error('left');
  for (const [name, look] of [
    ['while it sleeps', undefined],
    ['while it looks', Promise.withResolvers<undefined>()],
    ['while the cluster cannot be read', Promise.withResolvers<undefined>()],
  ] as const) {
    const { waits, sees, clock, registry } = createWaiting();
    if (look) sees(() => look.promise);
    const leaving = new AbortController();
    const state = stateOf(waits.wait(API, 600, leaving.signal));
    const staying = stateOf(waits.wait({ ...API, name: 'web' }, 600, never));
    await settle();
    leaving.abort(left);
    if (name.endsWith('read')) look?.reject(new Error('no cluster'));
    sees(() => lockedBy(6));
    look?.resolve(undefined);
    await settle();
    t.equal(state.error, left, name);
    t.equal(waits.waitingFor(API), 0);
    t.equal(registry.waiting({ driver: 'secrets', ...API }), 0);
    waits.close();
    await settle();
    t.ok(staying.outcome, 'others are not concerned');
    t.same([waits.count(), clock.timers()], [0, 0]);
  }
});

t.test('given a caller that left before, then it is told so', async (t) => {
  const { waits, clock } = createWaiting();
  await t.rejects(waits.wait(API, 600, AbortSignal.abort(new Error('left'))), { message: 'left' });
  t.same([waits.count(), clock.timers()], [0, 0]);
});

t.test('given a replica that goes away', async (t) => {
  const { waits, clock } = createWaiting();
  const states = ['api', 'api', 'web'].map((name) => stateOf(waits.wait({ ...API, name }, 600, never)));
  await settle();
  waits.close();
  await settle();
  for (const state of states) t.same(state, { outcome: { kind: 'closed' } }, 'then every wait ends');
  t.same(await waits.wait(API, 600, never), { kind: 'closed' }, 'and each one to come');
  t.same([waits.count(), clock.timers()], [0, 0]);
});

t.test('given a replica that goes away while it looks, then the wait ends with the look', async (t) => {
  for (const [name, end, outcome] of [
    [
      'locked',
      (look: PromiseWithResolvers<ReturnType<typeof lockedBy> | undefined>) => look.resolve(lockedBy(6)),
      'closed',
    ],
    [
      'free',
      (look: PromiseWithResolvers<ReturnType<typeof lockedBy> | undefined>) => look.resolve(undefined),
      'free',
    ],
    [
      'unknown',
      (look: PromiseWithResolvers<ReturnType<typeof lockedBy> | undefined>) =>
        look.reject(new Error('no cluster')),
      'closed',
    ],
  ] as const) {
    const { waits, sees, clock } = createWaiting();
    const look = Promise.withResolvers<ReturnType<typeof lockedBy> | undefined>();
    sees(() => look.promise);
    const state = stateOf(waits.wait(API, 600, never));
    await settle();
    waits.close();
    end(look);
    await settle();
    t.same(state, { outcome: { kind: outcome } }, name);
    t.same([waits.count(), clock.timers()], [0, 0]);
  }
});

t.test('who waits is counted: for each release, and for all', async (t) => {
  const { waits, sees, ends } = createWaiting();
  const dev = { ...API, namespace: 'dev' };
  const web = { ...API, name: 'web' };
  const leaving = new AbortController();
  const all = [
    waits.wait(API, 600, never),
    waits.wait(API, 600, leaving.signal),
    waits.wait(web, 600, never),
  ];
  const ended = Promise.allSettled(all);
  const counts = () => [API, web, dev].map(waits.waitingFor);
  t.same([counts(), waits.count()], [[2, 1, 0], 3], 'from the start');
  await settle();
  t.same([counts(), waits.count()], [[2, 1, 0], 3]);
  leaving.abort(new Error('left'));
  await settle();
  t.same([counts(), waits.count()], [[1, 1, 0], 2]);
  sees(() => undefined);
  ends(6);
  await settle();
  t.same([counts(), waits.count()], [[0, 1, 0], 1]);
  waits.close();
  await ended;
  t.same([counts(), waits.count()], [[0, 0, 0], 0]);
});
