/** Design §4.1, rule 5: a deploy that finds a stale lock in its way. The clock is turned by hand. */
import t from 'tap';
import type { Verdict } from '../../src/gate/admission-review.ts';
import type { ClearOutcome } from '../../src/gate/clearing.ts';
import type { AutoClear } from '../../src/gate/decision.ts';
import type { Limits } from '../../src/gate/hold.ts';
import type { Lock } from '../../src/gate/lock.ts';
import { judge } from '../../src/gate/verdict.ts';
import type { Release } from '../../src/helm/release.ts';
import { ask, equalState, harness, settle } from '../support/gate-harness.ts';
import { limits } from '../support/limits.ts';
import { type RevisionOptions, revision } from '../support/revisions.ts';

const STALE_AFTER_SECONDS = 900;
const ROLLBACK = { revision: 7, status: 'pending-rollback' };
const UPGRADE = { revision: 7, status: 'pending-upgrade' };

const CLEARED =
  'lockkeeper marked revision 6 of prod/api as failed, which was pending-upgrade: no sign of life for 15m, and ' +
  '15m are enough';

/** Revision 6 is pending, and nobody wrote to it for `age` seconds. */
function locked(age: number, limits: Partial<Limits> = {}, autoClear: AutoClear = 'dead-holder') {
  const world = harness(limits, { autoClear, staleAfterSeconds: STALE_AFTER_SECONDS });
  world.store(6, 'pending-upgrade');
  world.clock.advance(age * 1000);
  return world;
}

type World = ReturnType<typeof harness>;

function toLock(number: number, options: RevisionOptions = {}): Lock {
  return { revision: revision(number, 'pending-upgrade', options), holder: undefined };
}

function messageOf(verdict: Verdict): string {
  return verdict.allowed ? '' : verdict.denial.message;
}

t.test('given a stale lock, when a rollback comes, then it is cleared and the rollback passes', async (t) => {
  const { gate, cluster, clears, clock, logs } = locked(900);
  const user = 'system:serviceaccount:ci:runner';
  const verdict = await ask(gate, { ...ROLLBACK, user, pod: { name: 'runner-7f9c', uid: 'f4ff' } }).verdict;
  t.same(verdict, { allowed: true, warnings: [CLEARED] }, 'with a warning that says so');
  t.same(
    clears.requests,
    [
      {
        target: { driver: 'secrets', namespace: 'prod', name: 'api' },
        strategy: 'mark-failed',
        revision: 6,
        uid: 'uid-of-6',
        force: false,
        trigger: 'deploy',
        by: 'system:serviceaccount:ci:runner in pod ci/runner-7f9c',
      },
    ],
    'exactly that lock, without force, in the name of who came',
  );
  t.equal(cluster.reads, 2, 'decided on a read of its own after the clear');
  t.same(logs.messages(), ['admitted'], 'it was not held');
  t.equal(clock.timers(), 0);
});

t.test('given a lock that is cleared, then what is read afterwards decides, not the clear', async (t) => {
  const rows: [string, (world: World) => void, string][] = [
    ['another one is at 7', ({ store }) => store(7, 'pending-rollback', { uid: 'rival' }), '409'],
    ['6 is locked again', ({ store }) => store(6, 'pending-upgrade', { uid: 'anew' }), 'waiting'],
    ['nothing else happened', () => {}, 'allowed'],
  ];
  for (const [given, meanwhile, expected] of rows) {
    const world = locked(900);
    const { answer } = world.clears;
    world.clears.answer = async (request, signal) => {
      const outcome = await answer(request, signal);
      meanwhile(world);
      return outcome;
    };
    await equalState(t, ask(world.gate, ROLLBACK), expected, `${given}: ${expected}`);
    t.equal(world.clears.requests.length, 1);
  }
});

t.test('given a stale lock, then clearing it needs neither a seat nor time to hold', async (t) => {
  for (const limits of [{ maxHeld: 0 }, { holdSeconds: 0 }]) {
    const { gate } = locked(900, limits);
    await equalState(t, ask(gate, ROLLBACK), 'allowed', JSON.stringify(limits));
  }
});

t.test('given two rollbacks over one stale lock, then one passes and the other hears of it', async (t) => {
  const { gate, clears, store } = locked(900);
  const { answer } = clears;
  clears.answer = async (request, signal) => {
    if (request.by === 'alice') return answer(request, signal);
    await settle();
    return { kind: 'free' };
  };
  const first = ask(gate, { ...ROLLBACK, uid: 'a', user: 'alice' });
  const second = ask(gate, { ...ROLLBACK, uid: 'b', user: 'bob' });
  t.same(await first.verdict, { allowed: true, warnings: [CLEARED] });
  await equalState(t, second, 'waiting', 'the second waits to see the first arrive');
  store(7, 'pending-rollback', { uid: 'a' });
  t.match(messageOf(await second.verdict), /another deploy was first\. .* \(pending-rollback, 0s, alice\)/);
});

t.test('given somebody who was first, when the clear finds out, then the rollback looks again', async (t) => {
  const rows: [string, (world: World) => ClearOutcome, string][] = [
    [
      'free: the holder has finished',
      ({ store }) => {
        store(6, 'deployed');
        return { kind: 'free' };
      },
      'allowed',
    ],
    [
      'free: its record is gone',
      ({ forget }) => {
        forget(6);
        return { kind: 'free' };
      },
      'allowed',
    ],
    [
      'free: below a newer revision, it locks nothing',
      ({ storeUnseen }) => {
        storeUnseen(9, 'deployed');
        return { kind: 'free' };
      },
      '409',
    ],
    [
      'changed: the holder has finished',
      ({ store }) => {
        store(6, 'failed');
        return { kind: 'changed', lock: toLock(6), words: 'revision 6 is failed now' };
      },
      'allowed',
    ],
    [
      'live: the holder has written again',
      ({ storeUnseen, clock }) => {
        storeUnseen(6, 'pending-upgrade', { lastWriteAt: clock.now() });
        const lock = toLock(6, { createdAt: clock.now() });
        return { kind: 'live', lock, judgement: judge(lock, limits(STALE_AFTER_SECONDS), clock.now()) };
      },
      'waiting',
    ],
    [
      'other: it was deleted and made anew',
      ({ store }) => {
        store(6, 'pending-upgrade', { uid: 'anew' });
        return { kind: 'other', lock: toLock(6, { uid: 'anew' }) };
      },
      'waiting',
    ],
    [
      'other: below a newer lock, it locks nothing',
      ({ storeUnseen }) => {
        storeUnseen(9, 'pending-upgrade');
        return { kind: 'other', lock: toLock(9) };
      },
      '409',
    ],
  ];
  for (const [given, outcome, expected] of rows) {
    const world = locked(900);
    world.clears.answer = async () => outcome(world);
    const rollback = ask(world.gate, ROLLBACK);
    await equalState(t, rollback, expected, `${given}: ${expected}`);
    t.equal(world.clears.requests.length, 1, `${given}: asked once`);
    if (expected === 'allowed') t.same(await rollback.verdict, { allowed: true, warnings: [] }, 'no warning');
    t.notOk(world.logs.messages().includes('the lock cannot be cleared'), `${given}: no error`);
  }
});

t.test('given a lock that was written to, and is stale all the same, then it is cleared again', async (t) => {
  const { gate, clears } = locked(900);
  const { answer } = clears;
  const changed = { kind: 'changed', lock: toLock(6), words: 'revision 6 was written to meanwhile' } as const;
  clears.answer = async (request, signal) =>
    clears.requests.length === 1 ? changed : answer(request, signal);
  t.same(await ask(gate, ROLLBACK).verdict, { allowed: true, warnings: [CLEARED] });
});

const FAILURES: [string, () => Promise<ClearOutcome>, string][] = [
  [
    'unreadable',
    async () => ({ kind: 'unreadable', lock: toLock(6), words: 'its payload is no Helm release' }),
    'its payload is no Helm release',
  ],
  [
    'the clear throws',
    async () => {
      throw new Error('connect ECONNREFUSED');
    },
    'Error: connect ECONNREFUSED',
  ],
];

t.test('given a stale lock that cannot be cleared, then it is held, and each call tries once', async (t) => {
  for (const [given, failure, reason] of FAILURES) {
    const { gate, clears, clock, cluster, registry, logs } = locked(900);
    const { answer } = clears;
    clears.answer = failure;
    const first = ask(gate, ROLLBACK);
    await equalState(t, first, 'waiting', `${given}: held`);
    t.equal(gate.held(), 1);
    t.match(logs.lines, [
      {
        level: 50,
        msg: 'the lock cannot be cleared',
        release: 'api',
        lock: { revision: 6, status: 'pending-upgrade' },
        reason,
      },
      { msg: 'held' },
    ]);
    clock.advance(9_999);
    await equalState(t, first, 'waiting', `${given}: it waits for the holder to end it`);
    t.equal(cluster.reads, 2, 'and has no reason to look');
    registry.replace('secrets', []);
    await equalState(t, first, 'waiting', `${given}: woken, and still locked`);
    t.equal(clears.requests.length, 1, `${given}: not tried again in this call`);
    clock.advance(1);
    t.match(
      messageOf(await first.verdict),
      /It is stale \(.*\)\. To see the lock: .*\. End it with: kubectl delete secret /,
    );
    t.equal(first.state(), '429');

    clears.answer = answer;
    clock.advance(20_000);
    t.match(await ask(gate, ROLLBACK).verdict, { allowed: true }, `${given}: the next call tries again`);
    t.equal(clears.requests.length, 2);
  }
});

t.test(
  'given a stale lock that cannot be cleared, when it ends otherwise, then the rollback passes',
  async (t) => {
    for (const [given, failure] of FAILURES) {
      const { gate, clears, clock, store } = locked(900);
      clears.answer = failure;
      const rollback = ask(gate, ROLLBACK);
      await equalState(t, rollback, 'waiting', `${given}: held`);
      store(6, 'failed');
      t.same(await rollback.verdict, { allowed: true, warnings: [] }, `${given}: nothing was cleared for it`);
      t.equal(clock.timers(), 0);
    }
  },
);

t.test(
  'given one that cannot be cleared, when another stale lock takes its place, then that is cleared',
  async (t) => {
    const { gate, clears, store } = locked(900);
    const { answer } = clears;
    clears.answer = async () => ({ kind: 'unreadable', lock: toLock(6), words: 'odd' });
    const rollback = ask(gate, ROLLBACK);
    await equalState(t, rollback, 'waiting', 'held');
    clears.answer = answer;
    store(6, 'pending-upgrade', { uid: 'restored', createdAt: 1 });
    await equalState(t, rollback, 'allowed', 'it is another record');
    t.match(clears.requests, [{ uid: 'uid-of-6' }, { uid: 'restored' }]);
  },
);

t.test('given a clear without an answer that happened all the same, then the rollback passes', async (t) => {
  const { gate, clears, store } = locked(900);
  clears.answer = async () => {
    store(6, 'failed');
    throw new Error('socket hang up');
  };
  t.same(await ask(gate, ROLLBACK).verdict, { allowed: true, warnings: [] });
});

t.test('given a clear that hangs, when the caller hangs up or time is over, then it ends', async (t) => {
  const rows: [string, (world: World, rollback: ReturnType<typeof ask>) => void, string, string][] = [
    ['hung up', (_world, rollback) => rollback.hangUp(), 'hung up', 'the caller hung up'],
    [
      'no time left',
      ({ clock }) => clock.advance(13_000),
      'the API server did not answer in time',
      'the cluster could not be read',
    ],
  ];
  for (const [given, end, message, logged] of rows) {
    const world = locked(900);
    world.clears.answer = (_request, signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    const rollback = ask(world.gate, ROLLBACK);
    await equalState(t, rollback, 'waiting', `${given}: it is being cleared`);
    end(world, rollback);
    await t.rejects(rollback.verdict, { message }, given);
    t.same(world.logs.messages(), [logged], `${given}: not the lock's fault`);
    t.equal(world.clock.timers(), 0, `${given}: nothing is left behind`);
    t.equal(world.cluster.reads, 1);
  }
});

t.test('given a stale lock, when a rollback is only tried, then nothing is cleared', async (t) => {
  const { gate, clears, cluster, clock, logs } = locked(900);
  t.same(await ask(gate, { ...ROLLBACK, dryRun: true }).verdict, {
    allowed: true,
    warnings: [
      'lockkeeper would mark revision 6 of prod/api as failed, which is pending-upgrade: no sign of life for 15m, ' +
        'and 15m are enough',
    ],
  });
  t.same(clears.requests, []);
  t.equal(cluster.reads, 1);
  t.match(logs.lines, [{ msg: 'admitted', dryRun: true }]);
  t.same(
    await ask(gate, ROLLBACK).verdict,
    { allowed: true, warnings: [CLEARED] },
    'a real one clears it now',
  );
  t.equal(clock.timers(), 0);
});

t.test(
  'given a stale lock, when an upgrade is only tried that may not clear it, then it is told so',
  async (t) => {
    const { gate, clears } = locked(900);
    const verdict = await ask(gate, { ...UPGRADE, dryRun: true }).verdict;
    t.match(messageOf(verdict), /a real deploy would wait for it now\. It is stale \(/);
    t.same(clears.requests, []);
  },
);

t.test(
  'given a stale lock, then LOCKKEEPER_AUTO_CLEAR says what clears it, and the rest is held',
  async (t) => {
    const rows: [AutoClear, string, string][] = [
      ['off', 'pending-rollback', 'waiting'],
      ['off', 'pending-upgrade', 'waiting'],
      ['dead-holder', 'pending-rollback', 'allowed'],
      ['dead-holder', 'pending-upgrade', 'waiting'],
      ['dead-holder', 'pending-install', 'waiting'],
      ['expired', 'pending-rollback', 'allowed'],
      ['expired', 'pending-upgrade', 'allowed'],
      ['expired', 'pending-install', 'allowed'],
    ];
    for (const [autoClear, status, expected] of rows) {
      const { gate, clears, cluster, clock } = locked(900, {}, autoClear);
      const deploy = ask(gate, { revision: 7, status });
      await equalState(t, deploy, expected, `${autoClear}, ${status}: ${expected}`);
      t.equal(clears.requests.length, expected === 'allowed' ? 1 : 0);
      if (expected === 'allowed') continue;
      clock.advance(10_000);
      t.match(messageOf(await deploy.verdict), / It is stale \(no sign of life for 15m10s, /, 'sent away');
      t.equal(cluster.reads, 1, 'a lock that is stale already is no reason to look again');
    }
  },
);

t.test(
  'given a rollback behind a live lock, when that expires while it is held, then it passes',
  async (t) => {
    const rows: [string, number, Partial<Limits>, number][] = [
      ['5 s before it expires', 895, {}, 5_000],
      ['1 s before the end of the hold', 891, {}, 9_000],
      ['ages are whole seconds, so it may be almost one late', 899.999, {}, 1_000],
      ['just when it would be told to give up', 895, { maxWaitSeconds: 5 }, 5_000],
    ];
    for (const [given, age, limits, heldMs] of rows) {
      const { gate, clears, clock, cluster, stays } = locked(age, limits);
      const rollback = ask(gate, ROLLBACK);
      await settle();
      clock.advance(heldMs - 1);
      await equalState(t, rollback, 'waiting', `${given}: held for ${heldMs} ms`);
      t.equal(cluster.reads, 1, `${given}: nobody wrote, and nobody looked`);
      clock.advance(1);
      t.match(await rollback.verdict, { allowed: true, warnings: [/^lockkeeper marked revision 6 /] }, given);
      t.equal(clears.requests.length, 1);
      t.same(stays, [heldMs / 1000], `${given}: its seat is free`);
      t.equal(clock.timers(), 0);
    }
  },
);

t.test(
  'given a lock that expires when the hold ends, then the rollback passes when it is back',
  async (t) => {
    const { gate, clears, clock } = locked(890);
    const first = ask(gate, { ...ROLLBACK, payload: 'the same bytes' });
    await settle();
    clock.advance(10_000);
    await equalState(t, first, '429', 'sent away');
    t.match(messageOf(await first.verdict), /It is stale \(no sign of life for 15m, /, 'as it is by then');
    t.same(clears.requests, []);
    clock.advance(20_000);
    t.match(await ask(gate, { ...ROLLBACK, payload: 'the same bytes' }).verdict, { allowed: true });
  },
);

t.test('given a held rollback, when the holder writes again, then it does not expire', async (t) => {
  const { gate, clears, clock, storeUnseen } = locked(895);
  const rollback = ask(gate, ROLLBACK);
  await settle();
  storeUnseen(6, 'pending-upgrade', { createdAt: clock.now() - 895_000, lastWriteAt: clock.now() });
  clock.advance(9_999);
  await equalState(t, rollback, 'waiting', 'it looked, and the lock is live');
  t.same(clears.requests, []);
  clock.advance(1);
  t.match(messageOf(await rollback.verdict), /it counts as live \(last written 10s ago, stale in 14m50s /);
});

t.test(
  'given an upgrade behind a live lock, when that expires, then LOCKKEEPER_AUTO_CLEAR decides',
  async (t) => {
    for (const [autoClear, expected, reads] of [
      ['off', 'waiting', 2],
      ['dead-holder', 'waiting', 2],
      ['expired', 'allowed', 3],
    ] as const) {
      const { gate, cluster, clock } = locked(895, {}, autoClear);
      const upgrade = ask(gate, UPGRADE);
      await settle();
      clock.advance(5_000);
      await equalState(t, upgrade, expected, `${autoClear}: ${expected}`);
      clock.advance(4_999);
      await settle();
      t.equal(cluster.reads, reads, `${autoClear}: it looks once when the lock expires`);
    }
  },
);

t.test(
  'given a lock that was found live, when it expires in the same call, then it is cleared',
  async (t) => {
    const { gate, clears, clock, storeUnseen } = locked(1_000);
    const { answer } = clears;
    clears.answer = async () => {
      const written = { createdAt: clock.now() - 1_000_000, lastWriteAt: clock.now() - 895_000 };
      storeUnseen(6, 'pending-upgrade', written);
      const lock = toLock(6, written);
      return { kind: 'live', lock, judgement: judge(lock, limits(STALE_AFTER_SECONDS), clock.now()) };
    };
    const rollback = ask(gate, ROLLBACK);
    await equalState(t, rollback, 'waiting', 'held');
    clears.answer = answer;
    clock.advance(5_000);
    await equalState(t, rollback, 'allowed', 'when it has expired');
    t.same(await rollback.verdict, { allowed: true, warnings: [CLEARED] });
  },
);

t.test('given held calls, then it is told how many wait for a release', async (t) => {
  const { gate, store } = harness();
  const web: Release = { driver: 'secrets', namespace: 'prod', name: 'web' };
  const api: Release = { ...web, name: 'api' };
  store(6, 'pending-upgrade');
  const calls = [ask(gate), ask(gate, { payload: 'another' }), ask(gate, { release: 'web' })];
  await settle();
  const numbers = () => [api, web, { ...api, driver: 'configmaps' as const }].map(gate.waiting);
  t.same(numbers(), [2, 1, 0]);
  calls[0]?.hangUp();
  await settle();
  t.same(numbers(), [1, 1, 0], 'one hung up');
  store(6, 'deployed');
  await settle();
  t.same(numbers(), [0, 1, 0], 'the other one passed');
  gate.close();
  await settle();
  t.same(numbers(), [0, 0, 0], 'all were sent away');
});
