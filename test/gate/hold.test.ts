/** How the gate waits: §4.1, rule 7, and traps 2, 6, 18, 19 and 22. The clock is turned by hand. */
import { getEventListeners } from 'node:events';
import t from 'tap';
import { parseAdmissionReview, type Review } from '../../src/gate/admission-review.ts';
import type { Release } from '../../src/helm/release.ts';
import { deployReview } from '../fixtures/reviews.ts';
import { ask, equalState, harness, settle } from '../support/gate-harness.ts';
import { revision } from '../support/revisions.ts';

t.test('a deploy behind a lock is held, and admitted when the lock is freed', async (t) => {
  const { gate, clock, registry, store, logs, stays } = harness();
  store(6, 'pending-upgrade');
  const rollback = ask(gate, { revision: 7, status: 'pending-rollback' });
  await equalState(t, rollback, 'waiting', 'held');
  t.equal(gate.held(), 1);
  clock.advance(4_000);
  await equalState(t, rollback, 'waiting', 'still held after 4 s');

  store(6, 'deployed');
  t.same(await rollback.verdict, { allowed: true, warnings: [] });
  t.equal(clock.timers(), 0, 'no timer is left behind');
  t.equal(gate.held(), 0);
  t.equal(registry.waiting({ driver: 'secrets', namespace: 'prod', name: 'api' }), 0);
  t.same(stays, [4], 'it was held for 4 s');
  t.match(logs.lines, [
    { msg: 'held', release: 'api', revision: 7, held: 1, lock: { revision: 6, status: 'pending-upgrade' } },
    { msg: 'admitted after a wait', elapsedMs: 4_000, waitedMs: 4_000 },
  ]);
});

t.test('a deploy behind an uninstall looks again and again: the watch is of pending revisions', async (t) => {
  const { gate, clock, store, cluster } = harness();
  store(6, 'uninstalling');
  const rollback = ask(gate, { revision: 7, status: 'pending-rollback' });
  await equalState(t, rollback, 'waiting', 'held');
  const before = cluster.reads;
  clock.advance(500);
  await equalState(t, rollback, 'waiting', 'it is still uninstalled');
  t.equal(cluster.reads, before + 1);
  store(6, 'uninstalled');
  clock.advance(500);
  t.same(await rollback.verdict, { allowed: true, warnings: [] });
});

t.test('the record of the lock is deleted, as `helm install --atomic` does: admitted', async (t) => {
  const { gate, registry, store, storeUnseen } = harness();
  store(6, 'pending-install');
  const deploy = ask(gate, { revision: 7 });
  await equalState(t, deploy, 'waiting', 'held');
  storeUnseen(6, 'uninstalled');
  registry.replace('secrets', []);
  t.match(await deploy.verdict, { allowed: true }, 'woken by a new list as well as by an event');
});

t.test('a free release costs one look at its history and no log line', async (t) => {
  const { gate, cluster, store, logs } = harness();
  store(6, 'deployed');
  t.match(await ask(gate).verdict, { allowed: true });
  t.equal(cluster.reads, 1);
  t.same(logs.messages(), ['admitted'], 'only at level debug');
  t.equal(gate.held(), 0);
});

t.test(
  'other releases, other namespaces, and the same name in the other driver are not waited for',
  async (t) => {
    const { gate, registry, store } = harness();
    store(6, 'pending-upgrade');
    const held = ask(gate);
    await equalState(t, held, 'waiting', 'held');
    const elsewhere: Release[] = [
      { driver: 'secrets', namespace: 'prod', name: 'web' },
      { driver: 'secrets', namespace: 'dev', name: 'api' },
      { driver: 'configmaps', namespace: 'prod', name: 'api' },
    ];
    for (const release of elsewhere) {
      registry.put(revision(6, 'pending-upgrade', { release, uid: JSON.stringify(release) }));
      registry.replace('configmaps', []);
    }
    await equalState(t, held, 'waiting', 'what happens there wakes nobody here');
  },
);

t.test('trap 6: at the end of the hold, 429 sends the client away and it comes back by itself', async (t) => {
  const { gate, clock, store, logs } = harness();
  store(6, 'pending-upgrade');
  const first = ask(gate, { payload: 'the same bytes' });
  await settle();
  clock.advance(9_999);
  await equalState(t, first, 'waiting', 'held for 10 s');
  clock.advance(1);
  const verdict = await first.verdict;
  t.match(verdict, { allowed: false, denial: { code: 429, retryAfterSeconds: 20 } });
  t.equal(
    verdict.allowed ? '' : verdict.denial.message,
    'release prod/api is locked by revision 6 (pending-upgrade, 10s, holder unknown). Nothing was changed. ' +
      'Helm tries again by itself. If Helm prints this, it has given up: run your command again. ' +
      'Wait for it, its holder is unknown, and it counts as live (created 10s ago, stale in 14m50s ' +
      'unless it is written again). To see the lock: helm history api -n prod. ' +
      'If you know that its holder is dead, mark its record, which may then be deleted: kubectl annotate secret ' +
      'sh.helm.release.v1.api.v6 -n prod lockkeeper.dev/allow-delete=true',
  );

  clock.advance(20_000);
  store(6, 'deployed');
  const second = ask(gate, { payload: 'the same bytes' });
  t.match(await second.verdict, { allowed: true });
  t.match(logs.lines.at(-1), { msg: 'admitted after a wait', elapsedMs: 0, waitedMs: 30_000 });
});

t.test('trap 18: the answer comes 2 s before the API server gives up', async (t) => {
  for (const [timeoutMs, heldMs] of [
    [5_000, 3_000],
    [12_000, 10_000],
    [30_000, 10_000],
    ['unsaid', 10_000],
  ] as const) {
    const { gate, clock, store } = harness();
    store(6, 'pending-upgrade');
    const deploy = ask(gate, {}, timeoutMs);
    await settle();
    clock.advance(heldMs - 1);
    await equalState(t, deploy, 'waiting', `timeout ${timeoutMs}: held for ${heldMs} ms`);
    clock.advance(1);
    await equalState(t, deploy, '429', `timeout ${timeoutMs}: and no longer`);
  }
});

t.test('no time to hold: 429 at once', async (t) => {
  for (const [limits, timeoutMs] of [
    [{ holdSeconds: 0 }, 15_000],
    [{ maxHeld: 0 }, 15_000],
    [{}, 2_000],
    [{}, 1_000],
  ] as const) {
    const { gate, store } = harness(limits);
    store(6, 'pending-upgrade');
    await equalState(t, ask(gate, {}, timeoutMs), '429', JSON.stringify({ limits, timeoutMs }));
  }
});

t.test('after MAX_WAIT_SECONDS, counted over all calls of a client: 409 and the way out', async (t) => {
  const { gate, clock, store } = harness({ maxWaitSeconds: 65 });
  store(6, 'pending-upgrade');
  for (const [arrival, expected, heldMs] of [
    [0, '429', 10_000],
    [30_000, '429', 10_000],
    [60_000, '409', 5_000],
  ] as const) {
    const attempt = ask(gate, { payload: 'mine' });
    await settle();
    clock.advance(heldMs - 1);
    await equalState(t, attempt, 'waiting', `the call at ${arrival} ms is held`);
    clock.advance(1);
    await equalState(t, attempt, expected, `and answered ${expected} after ${heldMs} ms`);
    if (expected === '409') {
      t.same(await attempt.verdict, {
        allowed: false,
        denial: {
          code: 409,
          message:
            'release prod/api is locked by revision 6 (pending-upgrade, 1m5s, holder unknown). Nothing was changed. ' +
            'Yours waited for 1m5s, which is as long as lockkeeper lets a deploy wait. Wait for it, its holder is ' +
            'unknown, and it counts as live (created 1m5s ago, stale in 13m55s unless it is written again). ' +
            'To see the lock: helm history api -n prod. ' +
            'If you know that its holder is dead, mark its record, which may then be deleted: kubectl annotate secret ' +
            'sh.helm.release.v1.api.v6 -n prod lockkeeper.dev/allow-delete=true',
        },
      });
    }
    clock.advance(20_000);
  }
  await equalState(t, ask(gate, { payload: 'mine' }), 'waiting', 'a client that was told so may begin anew');
});

t.test('each client waits for itself: another user, pod, payload or revision has its own time', async (t) => {
  const { gate, clock, store } = harness({ maxWaitSeconds: 5 });
  store(6, 'pending-upgrade');
  const pod = { name: 'runner', uid: 'pod-1' };
  const runner = 'system:serviceaccount:ci:runner';
  const first = ask(gate, { user: runner, pod, payload: 'a' });
  await settle();
  clock.advance(4_000);
  const others = [
    ask(gate, { user: 'bob', payload: 'a' }),
    ask(gate, { user: runner, pod: { name: 'runner', uid: 'pod-2' }, payload: 'a' }),
    ask(gate, { user: runner, pod, payload: 'b' }),
    ask(gate, { user: runner, pod, payload: 'a', revision: 8 }),
  ];
  await settle();
  clock.advance(1_000);
  await equalState(t, first, '409', 'the first one waited for 5 s');
  for (const other of others) t.equal(other.state(), 'waiting', 'the others for 1 s');
});

t.test('a client that did not come back in time is forgotten', async (t) => {
  const { gate, clock, store } = harness({ holdSeconds: 1, retryAfterSeconds: 1, maxWaitSeconds: 60 });
  store(6, 'pending-upgrade');
  const first = ask(gate, { payload: 'a' });
  await settle();
  clock.advance(1_000);
  await equalState(t, first, '429', 'sent away');
  clock.advance(62_000);
  const late = ask(gate, { payload: 'a' });
  await settle();
  clock.advance(1_000);
  await equalState(t, late, '429', 'not 409: it started anew');
});

t.test(
  'MAX_HELD calls are held at once, the next is sent away, and a seat that is left is taken',
  async (t) => {
    const { gate, store } = harness({ maxHeld: 2 });
    store(6, 'pending-upgrade');
    const [first, second] = [ask(gate), ask(gate)];
    await equalState(t, first, 'waiting', 'the first is held');
    await equalState(t, second, 'waiting', 'the second is held');
    await equalState(t, ask(gate), '429', 'the third is sent away at once');
    first.hangUp();
    await equalState(t, first, 'failed', 'the first hangs up');
    await equalState(t, ask(gate), 'waiting', 'its seat is free');
  },
);

t.test('hundreds of held calls are all answered by one write, and only one is admitted', async (t) => {
  const { gate, clock, registry, store, storeUnseen } = harness({ maxHeld: 500 });
  store(6, 'pending-upgrade');
  const calls = Array.from({ length: 500 }, (_, index) => ask(gate, { uid: `record-${index}` }));
  await settle();
  t.ok(
    calls.every(({ state }) => state() === 'waiting'),
    'all are held',
  );

  store(6, 'deployed');
  await settle();
  t.equal(calls.filter(({ state }) => state() === 'allowed').length, 1, 'one is admitted');
  t.equal(calls.filter(({ state }) => state() === 'waiting').length, 499, 'the others wait to see it arrive');

  store(7, 'pending-upgrade', { uid: 'record-0' });
  await settle();
  t.equal(
    calls.filter(({ state }) => state() === '409').length,
    499,
    'and then hear that they lost the race',
  );
  t.equal(clock.timers(), 0);
  storeUnseen(7, 'deployed');
  registry.replace('secrets', []);
});

t.test('trap 2: two deploys at the same moment: the second one hears who was first', async (t) => {
  const { gate, store } = harness();
  store(6, 'deployed');
  const winner = ask(gate, { user: 'alice', uid: 'a' });
  const loser = ask(gate, { user: 'bob', uid: 'b' });
  await equalState(t, winner, 'allowed', 'the first is admitted');
  await equalState(t, loser, 'waiting', 'the second waits for the first to be stored');
  store(7, 'pending-upgrade', { uid: 'a' });
  const verdict = await loser.verdict;
  t.match(verdict, { allowed: false, denial: { code: 409 } });
  t.match(verdict.allowed ? '' : verdict.denial.message, /revision 7 \(pending-upgrade, 0s, alice\)/);
});

t.test('the first one is so quick that the watch tells of its beginning and its end at once', async (t) => {
  const { gate, store } = harness();
  store(6, 'deployed');
  await ask(gate, { user: 'alice', uid: 'a' }).verdict;
  const loser = ask(gate, { user: 'bob', uid: 'b' });
  await settle();
  store(7, 'pending-upgrade', { uid: 'a' });
  store(7, 'deployed', { uid: 'a' });
  const verdict = await loser.verdict;
  t.match(verdict, { allowed: false, denial: { code: 409 } }, 'not left to "release: already exists"');
  t.match(
    verdict.allowed ? '' : verdict.denial.message,
    /there is revision 7 \(deployed, 0s, alice\) already/,
  );
});

t.test(
  'a held deploy finds that another one took its number and has ended: it is not let through',
  async (t) => {
    const { gate, store } = harness();
    store(6, 'pending-upgrade');
    const held = ask(gate, { revision: 7 });
    await settle();
    store(6, 'failed');
    store(7, 'pending-upgrade');
    store(7, 'deployed');
    await equalState(t, held, '409', 'in words');
  },
);

t.test('the first one never reaches storage: after a second the other one may try', async (t) => {
  const { gate, clock, store } = harness();
  store(6, 'deployed');
  await ask(gate).verdict;
  const second = ask(gate);
  await settle();
  clock.advance(999);
  await equalState(t, second, 'waiting', 'it waits for a second');
  clock.advance(1);
  await equalState(t, second, 'allowed', 'and is admitted: storage decides');
});

t.test('nobody waits more than a second for arrivals, however many there are', async (t) => {
  const { gate, clock, store } = harness();
  store(6, 'deployed');
  await ask(gate).verdict;
  clock.advance(500);
  const [second, third] = [ask(gate), ask(gate)];
  await settle();
  clock.advance(500);
  await equalState(t, second, 'allowed', 'the second after half a second');
  await equalState(t, third, 'waiting', 'the third waits for the second');
  clock.advance(500);
  await equalState(t, third, 'allowed', 'but only until its own second is over');
});

t.test('the watch is late: it says that revision 7 is pending, which was deleted since', async (t) => {
  const { gate, clock, registry, store } = harness();
  store(6, 'deployed');
  const release: Release = { driver: 'secrets', namespace: 'prod', name: 'api' };
  registry.put(revision(7, 'pending-upgrade', { release, uid: 'old' }));
  const deploy = ask(gate, { revision: 7 });
  await settle();
  clock.advance(1_000);
  await equalState(t, deploy, 'allowed', 'the live read decides');
});

t.test('trap 22: a dry run is answered at once and changes nothing', async (t) => {
  const { gate, clock, store, logs } = harness({ maxHeld: 1 });
  store(6, 'pending-upgrade');
  const dry = await ask(gate, { dryRun: true }).verdict;
  t.match(dry, { allowed: false, denial: { code: 409 } });
  t.match(dry.allowed ? '' : dry.denial.message, /This was a dry run: a real deploy would wait for it now\./);
  t.match(logs.lines.at(-1), { msg: 'refused', dryRun: true });
  await equalState(t, ask(gate), 'waiting', 'it took no seat');

  store(6, 'deployed');
  await settle();
  clock.advance(1_000);
  t.match(await ask(gate, { dryRun: true }).verdict, { allowed: true });
  await equalState(t, ask(gate), 'allowed', 'and nobody waits for a record that will never appear');
});

t.test('the cluster cannot be read: the call fails, so that failurePolicy decides', async (t) => {
  const { gate, cluster, logs } = harness();
  cluster.failure = new Error('connect ECONNREFUSED');
  await t.rejects(ask(gate).verdict, { message: 'connect ECONNREFUSED' });
  t.match(logs.lines, [{ msg: 'the cluster could not be read', reason: 'Error: connect ECONNREFUSED' }]);
});

t.test(
  'the cluster cannot be read any more while a deploy is held: it stays held, and is looked at again',
  async (t) => {
    const { gate, cluster, clock, store, logs } = harness();
    store(6, 'pending-upgrade');
    const [first, second] = [ask(gate), ask(gate, { release: 'web', uid: 'w' })];
    await settle();
    cluster.failure = new Error('connect ECONNREFUSED');
    store(6, 'deployed');
    await equalState(t, first, 'waiting', 'woken, but there is nothing to read');
    t.match(logs.lines.at(-1), { level: 40, msg: 'the lock could not be read again, still waiting' });
    clock.advance(499);
    cluster.failure = undefined;
    await equalState(t, first, 'waiting', 'for half a second');
    clock.advance(1);
    await equalState(t, first, 'allowed', 'then it is looked at again');
    t.equal(second.state(), 'waiting', 'nobody else is');
  },
);

t.test('the cluster is away until the hold ends: 429, and the client will be back', async (t) => {
  const { gate, cluster, clock, store } = harness();
  store(6, 'pending-upgrade');
  const deploy = ask(gate);
  await settle();
  cluster.failure = new Error('connect ECONNREFUSED');
  store(6, 'deployed');
  for (let ms = 0; ms < 10_000; ms += 500) {
    await equalState(t, deploy, 'waiting', `at ${ms} ms`);
    clock.advance(500);
  }
  await equalState(t, deploy, '429', 'sent away');
});

t.test('trap 18: a read that hangs does not outlast the caller', async (t) => {
  for (const [timeoutMs, answerMs] of [
    [15_000, 13_000],
    [3_000, 1_500],
    [1_000, 500],
    ['unsaid', 13_000],
  ] as const) {
    const { gate, cluster, clock, logs } = harness();
    cluster.hangs = true;
    const deploy = ask(gate, {}, timeoutMs);
    await settle();
    clock.advance(answerMs - 1);
    await equalState(t, deploy, 'waiting', `timeout ${timeoutMs}: it reads for ${answerMs} ms`);
    clock.advance(1);
    await equalState(t, deploy, 'failed', `timeout ${timeoutMs}: and no longer`);
    t.match(logs.lines.at(-1), { reason: 'Error: the API server did not answer in time' });
  }
});

t.test('trap 18: a read that hangs after a hold is answered 429 in time', async (t) => {
  const { gate, cluster, clock, store } = harness();
  store(6, 'pending-upgrade');
  const deploy = ask(gate);
  await settle();
  clock.advance(9_000);
  cluster.hangs = true;
  store(6, 'deployed');
  await settle();
  clock.advance(3_999);
  await equalState(t, deploy, 'waiting', 'it reads');
  clock.advance(1);
  await equalState(t, deploy, '429', '13 s after it was asked');
});

t.test('a deploy that comes too late: its number was used, failed and pruned meanwhile', async (t) => {
  for (const revision of [1, 2]) {
    const { gate, store, forget } = harness();
    store(revision, 'pending-upgrade');
    store(revision, 'failed');
    forget(revision); // as `helm upgrade --history-max` does before it creates the next one
    store(3, 'pending-upgrade');
    const verdict = await ask(gate, { revision }).verdict;
    t.match(
      verdict,
      { allowed: false, denial: { code: 409 } },
      `revision ${revision} is not put below a live one`,
    );
    t.match(
      verdict.allowed ? '' : verdict.denial.message,
      `Yours was to be revision ${revision}, and there is revision 3 (pending-upgrade, 0s, holder unknown) already.`,
    );
  }
});

t.test(
  'a deploy that comes too late, and the watch is late as well: a gap in the history tells',
  async (t) => {
    const { gate, storeUnseen } = harness();
    storeUnseen(4, 'pending-upgrade'); // 2 and 3 were pruned
    t.match(await ask(gate, { revision: 3 }).verdict, {
      allowed: false,
      denial: { code: 409, message: /there is revision 4 \(pending-upgrade, 0s, holder unknown\) already/ },
    });
  },
);

t.test('a release that was uninstalled begins again at 1', async (t) => {
  const { gate, clock, store, forget } = harness();
  store(1, 'pending-install');
  store(1, 'deployed');
  forget(1);
  const deploy = ask(gate, { revision: 1, status: 'pending-install' });
  await settle();
  clock.advance(999);
  await equalState(
    t,
    deploy,
    'waiting',
    'its number was taken before: another replica may be admitting a higher one',
  );
  clock.advance(1);
  await equalState(t, deploy, 'allowed', 'after a second');
});

// Found by the adversary: a deploy prunes the newest revision and goes on above it, while another one counts anew.
t.test(
  'two deploys with different numbers at two replicas: the lower one was taken before, and waits',
  async (t) => {
    const { gate, clock, store, storeUnseen, forget } = harness();
    store(9, 'deployed');
    store(10, 'pending-rollback');
    store(10, 'failed');
    forget(10);
    const late = ask(gate, { revision: 10 });
    await equalState(t, late, 'waiting', 'nothing is stored from its number on');
    storeUnseen(11, 'pending-rollback');
    clock.advance(1_000);
    const verdict = await late.verdict;
    t.match(
      verdict.allowed ? '' : verdict.denial.message,
      /there is revision 11 \(pending-rollback, 1s, holder unknown\) already/,
    );
  },
);

t.test('the caller hangs up: nothing is left behind', async (t) => {
  const { gate, clock, store, logs } = harness();
  store(6, 'pending-upgrade');
  const deploy = ask(gate);
  await settle();
  deploy.hangUp();
  t.not(getEventListeners(deploy.signal, 'abort').length, 0);
  await t.rejects(deploy.verdict, { message: 'hung up' });
  t.equal(clock.timers(), 0);
  t.equal(getEventListeners(deploy.signal, 'abort').length, 0);
  t.match(logs.lines.at(-1), { msg: 'the caller hung up' });

  const early = ask(gate);
  early.hangUp();
  await t.rejects(early.verdict, { message: 'hung up' }, 'even if it did so during the read');
});

t.test('shutdown: every held call is answered 429 at once, and another replica takes over', async (t) => {
  const { gate, clock, store } = harness({ maxHeld: 200 });
  store(6, 'pending-upgrade');
  const calls = Array.from({ length: 200 }, () => ask(gate));
  await settle();
  gate.close();
  for (const { verdict } of calls) {
    t.match(await verdict, { allowed: false, denial: { code: 429, retryAfterSeconds: 1 } });
  }
  t.equal(clock.timers(), 0);
  await equalState(t, ask(gate), '429', 'no more holds');
  store(6, 'deployed');
  await equalState(t, ask(gate), 'allowed', 'but what need not wait goes on');
});

t.test('shutdown with a drain: whoever is sent away comes back when this replica is gone', async (t) => {
  for (const [lingersMs, after, retryAfterSeconds] of [
    [5_000, 0, 6],
    [5_000, 4_900, 2],
    [5_000, 60_000, 1],
    [29_000, 0, 30],
    // Ten attempts of Helm outlast it.
    [300_000, 0, 30],
    [300_000, 299_500, 2],
  ] as const) {
    const { gate, clock, store } = harness();
    store(6, 'pending-upgrade');
    gate.close(lingersMs);
    clock.advance(after);
    t.match(
      await ask(gate).verdict,
      { denial: { code: 429, retryAfterSeconds } },
      `${after} ms after the beginning of a drain of ${lingersMs} ms`,
    );
  }
});

t.test('what needs no cluster is answered without one', async (t) => {
  const { gate, cluster, logs } = harness();
  cluster.failure = new Error('gone');
  t.match(await ask(gate, { status: 'deployed', release: 'a-' }).verdict, { allowed: true });
  t.same(logs.lines, [], 'no release can have that name, so nothing is said');
  t.match(await ask(gate, { namespace: '' }).verdict, { allowed: false, denial: { code: 400 } });
  t.match(logs.lines, [{ msg: 'refused', code: 400, record: 'sh.helm.release.v1.api.v7' }]);
});

t.test('no log line carries a payload', async (t) => {
  const { gate, store, logs } = harness();
  store(6, 'pending-upgrade');
  ask(gate, { payload: 'top-secret-values' });
  await ask(gate, { payload: 'top-secret-values', dryRun: true }).verdict;
  await ask(gate, { payload: 'top-secret-values', namespace: '' }).verdict;
  store(6, 'deployed');
  await settle();
  t.equal(logs.lines.length, 4);
  t.notMatch(JSON.stringify(logs.lines), /top-secret-values/);
});

t.test('the first one appears while the second one reads: it reads again', async (t) => {
  const { gate, cluster, store } = harness();
  store(6, 'deployed');
  await ask(gate, { user: 'alice', uid: 'a' }).verdict;
  const loser = ask(gate, { user: 'bob', uid: 'b' });
  t.equal(cluster.reads, 2, 'it reads');
  store(7, 'pending-upgrade', { uid: 'a' });
  await equalState(t, loser, '409', 'and is not admitted on what it read before');
});

t.test('the watch tells of a change while it reads: it reads again', async (t) => {
  const { gate, clock, cluster, registry, store } = harness();
  store(6, 'deployed');
  const deploy = ask(gate, { revision: 7 });
  registry.put(revision(7, 'pending-upgrade', { uid: 'old' })); // it is deleted by now
  await settle();
  t.equal(cluster.reads, 2);
  clock.advance(1_000);
  await equalState(t, deploy, 'allowed', 'and the last read decides');
});

t.test('the second one asks so late that the first has ended already', async (t) => {
  const { gate, store } = harness();
  store(6, 'superseded');
  store(7, 'pending-upgrade', { uid: 'a' });
  store(7, 'deployed', { uid: 'a' });
  const verdict = await ask(gate, { revision: 7 }).verdict;
  t.match(
    verdict.allowed ? '' : verdict.denial.message,
    /there is revision 7 \(deployed, 0s, holder unknown\) already/,
  );
});

t.test('nobody is told to give up without a last look: the watch may have missed the end', async (t) => {
  const { gate, clock, store, storeUnseen } = harness({ maxWaitSeconds: 5 });
  store(6, 'pending-upgrade');
  const deploy = ask(gate);
  await settle();
  storeUnseen(6, 'deployed');
  clock.advance(5_000);
  await equalState(t, deploy, 'allowed', 'after 5 s');
});

t.test('a client that is told to come back late is still known when it does', async (t) => {
  const { gate, clock, store } = harness({ holdSeconds: 1, retryAfterSeconds: 600, maxWaitSeconds: 601 });
  store(6, 'pending-upgrade');
  const first = ask(gate, { payload: 'a' });
  await settle();
  clock.advance(1_000);
  await equalState(t, first, '429', 'sent away for ten minutes');
  clock.advance(600_000);
  await equalState(t, ask(gate, { payload: 'a' }), '409', 'and has waited long enough when it is back');
});

t.test('a dry run does not end the wait of its client', async (t) => {
  const { gate, clock, store } = harness({ holdSeconds: 1, retryAfterSeconds: 1, maxWaitSeconds: 2 });
  store(6, 'pending-upgrade');
  const first = ask(gate, { payload: 'a' });
  await settle();
  clock.advance(1_000);
  await equalState(t, first, '429', 'sent away');
  store(6, 'deployed');
  t.match(await ask(gate, { payload: 'a', dryRun: true }).verdict, { allowed: true });
  store(6, 'pending-upgrade', { uid: 'again' });
  clock.advance(1_000);
  await equalState(t, ask(gate, { payload: 'a' }), '409', 'it has been waiting since its first call');
});

t.test('the payload of a deploy that need not wait is not looked at', async (t) => {
  const { gate, clock, store } = harness();
  const parsed = parseAdmissionReview(deployReview({ revision: 7 })) as { review: Review };
  const payload = () => {
    throw new Error('looked at');
  };
  const signal = new AbortController().signal;
  const admit = () => gate.review({ ...parsed.review, payload }, { signal, timeoutMs: 15_000 });
  store(6, 'deployed');
  t.match(await admit(), { allowed: true });

  store(3, 'pending-upgrade', { release: { driver: 'secrets', namespace: 'prod', name: 'web' } });
  const abandoned = ask(gate, { release: 'web', revision: 4 });
  await settle();
  clock.advance(10_000);
  t.equal((await abandoned.verdict).allowed, false);
  clock.advance(90_001);
  store(3, 'deployed');
  t.match(await admit(), { allowed: true }, 'not even after somebody else waited and never came back');
});

t.test('a held call needs no payload any more, and its client is known all the same', async (t) => {
  const { gate, clock, registry, store, logs } = harness({ maxHeld: 1 });
  store(6, 'pending-upgrade');
  const held = ask(gate, { payload: 'mine' });
  const sentAway = ask(gate, { payload: 'theirs' });
  await equalState(t, sentAway, '429', 'one has no seat');
  t.equal(sentAway.timesHeld(), 0, 'and answers at once: it needs to know nothing');
  registry.put(revision(6, 'pending-upgrade', { lastWriteAt: clock.now() + 1 }));
  await equalState(t, held, 'waiting', 'the other is woken, and finds the lock still there');
  t.equal(held.timesHeld(), 1, 'it was told once that it is held');
  clock.advance(1_000);
  store(6, 'deployed');
  t.match(await held.verdict, { allowed: true });
  t.match(logs.lines.at(-1), { msg: 'admitted after a wait', waitedMs: 1_000 });
  store(7, 'pending-upgrade');
  const anew = ask(gate, { payload: 'mine', revision: 8 });
  await equalState(t, anew, 'waiting', 'what it waited for is over');
});

t.test('nobody waits for arrivals longer than the caller waits for an answer', async (t) => {
  const { gate, clock, store } = harness();
  store(6, 'deployed');
  await ask(gate).verdict;
  const second = ask(gate, {}, 1_000);
  await settle();
  clock.advance(249);
  await equalState(t, second, 'waiting', 'half of the time that there is for an answer');
  clock.advance(1);
  await equalState(t, second, 'allowed', 'then it looks again, and storage decides');
});

t.test('a held call that is woken, and finds the lock still there, keeps its seat', async (t) => {
  const { gate, registry, store } = harness({ maxHeld: 2 });
  store(6, 'pending-upgrade');
  const calls = [ask(gate), ask(gate)];
  await settle();
  registry.replace('secrets', []); // the watch was lost and is back
  for (const call of calls) await equalState(t, call, 'waiting', 'still held');
  t.equal(gate.held(), 2);
});

t.test('the caller hangs up while the lock is read, for the first time or again', async (t) => {
  const { gate, cluster, clock, store, logs } = harness();
  cluster.hangs = true;
  const first = ask(gate);
  first.hangUp();
  await equalState(t, first, 'failed', 'at the first read');

  cluster.hangs = false;
  store(6, 'pending-upgrade');
  const second = ask(gate);
  await settle();
  cluster.hangs = true;
  store(6, 'deployed');
  await settle();
  second.hangUp();
  await equalState(t, second, 'failed', 'at a later one: nobody is held for a caller that is gone');
  t.match(logs.messages(), ['the caller hung up', 'held', 'the caller hung up']);
  t.equal(clock.timers(), 0);
});

t.test('trap 22: a dry run does not wait for a record on its way', async (t) => {
  const { gate, store } = harness();
  store(6, 'deployed');
  await ask(gate).verdict;
  await equalState(t, ask(gate, { dryRun: true }), 'allowed', 'at once');
});

t.test('the time that the first read takes is part of the wait', async (t) => {
  const { gate, clock, cluster, store } = harness({ maxWaitSeconds: 5 });
  store(6, 'pending-upgrade');
  const slow = Promise.withResolvers<void>();
  cluster.until = slow.promise;
  const deploy = ask(gate);
  await settle();
  clock.advance(3_000);
  slow.resolve();
  await settle();
  clock.advance(1_999);
  await equalState(t, deploy, 'waiting', 'after 4.999 s');
  clock.advance(1);
  await equalState(t, deploy, '409', 'after 5 s');
});

t.test('a client may be a minute late, as a clock or a queue makes it', async (t) => {
  const { gate, clock, store } = harness({ holdSeconds: 1, retryAfterSeconds: 1, maxWaitSeconds: 30 });
  store(6, 'pending-upgrade');
  const first = ask(gate, { payload: 'a' });
  await settle();
  clock.advance(1_000);
  await equalState(t, first, '429', 'sent away');
  clock.advance(60_000);
  await equalState(t, ask(gate, { payload: 'a' }), '409', 'and still known');
});

t.test('given a review of a record that is stored already, then it names no holder', async (t) => {
  for (const isSeen of [true, false]) {
    const { gate, store, storeUnseen, logs, clock } = harness();
    store(6, 'deployed');
    // A forger knows the uid of what is stored; the watch may not have told of it yet.
    (isSeen ? store : storeUnseen)(7, 'pending-upgrade', { uid: 'stored' });
    await equalState(
      t,
      ask(gate, { revision: 7, uid: 'stored', user: 'mallory' }),
      'allowed',
      'it says no more',
    );
    store(7, 'pending-upgrade', { uid: 'stored' });
    const next = ask(gate, { revision: 8 });
    await equalState(t, next, 'waiting', 'the next one waits');
    t.match(logs.lines.at(-1), { msg: 'held', lock: { revision: 7, holder: 'holder unknown' } });
    clock.advance(15_000);
    t.match(await next.verdict, { denial: { message: /holder unknown/ } });
  }
});
