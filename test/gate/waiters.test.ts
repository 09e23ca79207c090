/** Who waits is counted as a client, from the first call to the last answer, and not as a call. */
import t from 'tap';
import { createWaiters } from '../../src/gate/waiters.ts';
import type { Release } from '../../src/helm/release.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { ask, equalState, harness, settle } from '../support/gate-harness.ts';

const API: Release = { driver: 'secrets', namespace: 'prod', name: 'api' };
const WEB: Release = { ...API, name: 'web' };

t.test('a client that is sent away waits, until it is back, admitted, refused or late', async (t) => {
  const { gate, clock, store, logs } = harness({ maxWaitSeconds: 40 });
  store(6, 'pending-upgrade');
  const first = ask(gate, { payload: 'mine' });
  await equalState(t, first, 'waiting', 'held');
  t.same([gate.held(), gate.waiting(API)], [1, 1]);
  t.equal(gate.waiting(WEB), 0, 'of each release apart');
  clock.advance(10_000);
  await equalState(t, first, '429', 'sent away');
  t.same([gate.held(), gate.waiting(API)], [0, 1], 'it will be back');
  clock.advance(20_000);
  t.equal(gate.waiting(API), 1, 'it is on its way');
  const second = ask(gate, { payload: 'mine' });
  await equalState(t, second, 'waiting', 'held again');
  t.same([gate.held(), gate.waiting(API)], [1, 1], 'the same client');
  t.match(logs.lines.at(-1), { msg: 'held', waiting: 1, held: 1 });
  clock.advance(10_000);
  t.match(await second.verdict, { denial: { code: 409 } });
  t.equal(gate.waiting(API), 0, 'it was told to give up');

  const late = ask(gate, { payload: 'late' });
  await equalState(t, late, 'waiting', 'held');
  clock.advance(10_000);
  await equalState(t, late, '429', 'sent away');
  clock.advance(21_999);
  t.equal(gate.waiting(API), 1);
  clock.advance(1);
  t.equal(gate.waiting(API), 0, 'it came back elsewhere, or never will');

  const admitted = ask(gate, { payload: 'admitted' });
  await equalState(t, admitted, 'waiting', 'held');
  store(6, 'deployed');
  t.match(await admitted.verdict, { allowed: true });
  t.equal(gate.waiting(API), 0, 'it went on');
});

t.test('thirty clients are thirty all along, whether there is room to hold them or not', async (t) => {
  const { gate, clock, store } = harness({ maxHeld: 20 });
  store(6, 'pending-upgrade');
  const all = () => Array.from({ length: 30 }, (_, index) => ask(gate, { payload: `of ${index}` }));
  for (let round = 0; round < 3; round += 1) {
    all();
    await settle();
    t.same([gate.held(), gate.waiting(API)], [20, 30]);
    clock.advance(10_000);
    await settle();
    t.same([gate.held(), gate.waiting(API)], [0, 30]);
    clock.advance(20_000);
  }
});

t.test('who hangs up, fails or loses the race waits no more, and a dry run never does', async (t) => {
  const { gate, clock, store, cluster } = harness();
  store(6, 'pending-upgrade');
  const killed = ask(gate, { payload: 'killed' });
  await equalState(t, killed, 'waiting', 'held');
  killed.hangUp();
  await equalState(t, killed, 'failed', 'hung up');
  t.equal(gate.waiting(API), 0);

  const away = ask(gate, { payload: 'loses' });
  await equalState(t, away, 'waiting', 'held');
  clock.advance(10_000);
  await equalState(t, away, '429', 'sent away');
  store(7, 'pending-rollback');
  t.match(await ask(gate, { payload: 'loses' }).verdict, { denial: { code: 409 } });
  t.equal(gate.waiting(API), 0, 'another one was first');

  store(8, 'pending-upgrade');
  const unlucky = ask(gate, { revision: 9, payload: 'unlucky' });
  await equalState(t, unlucky, 'waiting', 'held');
  clock.advance(10_000);
  await equalState(t, unlucky, '429', 'sent away');
  await ask(gate, { revision: 9, payload: 'unlucky', dryRun: true }).verdict;
  t.equal(gate.waiting(API), 1, 'its dry run is somebody else');
  cluster.failure = new Error('down');
  await t.rejects(ask(gate, { revision: 9, payload: 'unlucky' }).verdict);
  t.equal(gate.waiting(API), 0, 'the API server answers its client, who does not come back');
});

t.test('a replica that goes away counts nobody: its clients come back to others', async (t) => {
  const { gate, store } = harness();
  store(6, 'pending-upgrade');
  const held = ask(gate, { payload: 'mine' });
  await equalState(t, held, 'waiting', 'held');
  gate.close(5_000);
  await equalState(t, held, '429', 'sent away');
  t.equal(gate.waiting(API), 0);
});

t.test('a flood of clients is counted up to a limit, and those that are late make room', async (t) => {
  const clock = fakeClock();
  const waiters = createWaiters(clock.now);
  const flood = (count: number, of: string, release: Release) => {
    for (let index = 0; index < count; index += 1) waiters.sendAway(() => `${of}-${index}`, release, 20_000);
  };
  waiters.hold(() => 'held', WEB);
  flood(10_500, 'first', API);
  t.equal(waiters.waiting(API), 9_999);
  waiters.sendAway(() => 'held', WEB, 20_000);
  waiters.hold(() => 'late', WEB);
  t.equal(waiters.waiting(WEB), 1, 'who was counted stays so, and there is no room for another');
  clock.advance(22_000);
  flood(500, 'second', WEB);
  t.equal(waiters.waiting(WEB), 500);
  waiters.leave(() => 'nobody', WEB);
  waiters.leave(() => 'nobody', { ...API, name: 'free' });
  t.equal(waiters.waiting(WEB), 500);
});
