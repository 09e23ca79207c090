/** The handler of uninstalls: they wait while a deploy is live, longer and longer, and go on when it has ended. */
import t from 'tap';
import type { Verdict } from '../../src/gate/admission-review.ts';
import type { Holder, Judgement } from '../../src/gate/lock.ts';
import type { RecordUpdate } from '../../src/gate/screen-update.ts';
import type { Chapter } from '../../src/gate/story.ts';
import { createUninstallHandler } from '../../src/gate/uninstall-handler.ts';
import { createWaiters } from '../../src/gate/waiters.ts';
import type { Revision } from '../../src/helm/release.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { settle } from '../support/gate-harness.ts';
import { testLog } from '../support/log.ts';
import { revision } from '../support/revisions.ts';

const API = { driver: 'secrets', namespace: 'prod', name: 'api' } as const;

function world({ holder, room = true }: { holder?: Holder; room?: boolean } = {}) {
  let isOneOnTheWay = false;
  const clock = fakeClock();
  const logs = testLog();
  const waiters = createWaiters(clock.now);
  const events: Chapter[] = [];
  const state = { stored: [] as Revision[], verdict: 'live' as Judgement['verdict'], reads: 0 };
  let wake = () => {};
  const handler = createUninstallHandler({
    reader: {
      all: async () => {
        state.reads += 1;
        return state.stored;
      },
    },
    watched: {
      nextChange: () => {
        const change = Promise.withResolvers<void>();
        wake = change.resolve;
        return { happened: change.promise, hasHappened: () => false, cancel: () => {} };
      },
    },
    holders: {
      lockOf: (found) => ({ revision: found, holder }),
      onTheWayUntil: () => (isOneOnTheWay ? clock.now() + 1 : undefined),
    },
    judge: () => ({ verdict: state.verdict, reason: 'last written 3s ago', staleInSeconds: 897 }),
    limits: { holdSeconds: 10, retryAfterSeconds: 20 },
    hasRoom: () => room,
    waiters,
    clock,
    date: clock.date,
    log: logs.log,
    onStory: (event) => events.push(event),
  });

  function ask(changes: Partial<RecordUpdate> = {}, timeoutMs: number | 'unsaid' = 5_000) {
    let held = 0;
    let answer: Verdict | undefined;
    const controller = new AbortController();
    const verdict = handler.review(
      {
        release: API,
        revision: 6,
        uid: 'uid-of-6',
        client: { user: 'bob', pod: undefined },
        dryRun: false,
        before: 'pending-upgrade',
        after: 'uninstalling',
        isVisible: true,
        isMarked: false,
        payload: () => 'the same each time',
        ...changes,
      },
      {
        signal: controller.signal,
        timeoutMs: timeoutMs === 'unsaid' ? undefined : timeoutMs,
        onHeld: () => {
          held += 1;
        },
      },
    );
    void verdict.then(
      (found) => {
        answer = found;
      },
      () => {},
    );
    return {
      verdict,
      answer: () => answer,
      timesHeld: () => held,
      hangUp: () => controller.abort(new Error('hung up')),
    };
  }

  return {
    handler,
    clock,
    logs,
    events,
    state,
    ask,
    waiting: () => waiters.waiting(API),
    lock: (status = 'pending-upgrade') => {
      state.stored = [revision(6, status, { createdAt: clock.now() })];
    },
    admitDeploy: () => {
      isOneOnTheWay = true;
    },
    change: (...stored: Revision[]) => {
      isOneOnTheWay = false;
      state.stored = stored;
      wake();
    },
  };
}

t.test('an uninstall of a release that is free begins at once', async (t) => {
  const { ask, lock, state } = world();
  for (const status of ['deployed', 'failed', 'uninstalling']) {
    lock(status);
    t.same(await ask({ before: 'deployed' }).verdict, { allowed: true, warnings: [] }, status);
  }
  state.stored = [];
  t.same(await ask().verdict, { allowed: true, warnings: [] }, 'it is gone');
});

t.test('it waits for a live deploy, and goes on a second after that has ended', async (t) => {
  const { handler, ask, lock, change, clock, logs } = world();
  lock();
  const uninstall = ask();
  await settle();
  t.equal(uninstall.answer(), undefined);
  t.equal(handler.held(), 1);
  t.equal(uninstall.timesHeld(), 1);
  t.match(logs.lines, [{ msg: 'an uninstall is held', client: 'bob', lock: { revision: 6 } }]);
  change(revision(6, 'pending-upgrade', { createdAt: clock.now() }));
  await settle();
  t.equal(uninstall.answer(), undefined, 'a hook was recorded');
  t.equal(uninstall.timesHeld(), 1);
  change(revision(6, 'deployed'));
  await settle();
  t.equal(uninstall.answer(), undefined, 'deploys that waited as well go first');
  clock.advance(1_000);
  t.same(await uninstall.verdict, { allowed: true, warnings: [] });
  t.equal(handler.held(), 0);
});

t.test('deploys that waited for the same lock go first', async (t) => {
  const { ask, lock, change, clock } = world();
  lock();
  const uninstall = ask();
  await settle();
  change(revision(6, 'failed'));
  await settle();
  clock.advance(999);
  await settle();
  t.equal(uninstall.answer(), undefined, 'it looks again after a second');
  const next = revision(7, 'pending-upgrade', { createdAt: clock.now() });
  change(next, revision(6, 'failed'));
  clock.advance(1_000);
  await settle();
  t.equal(uninstall.answer(), undefined, 'another deploy is live now');
  clock.advance(2_000);
  t.match(await uninstall.verdict, { allowed: false, denial: { code: 429 } });
});

t.test('a deploy that was just admitted here goes first', async (t) => {
  const { ask, lock, admitDeploy, change, clock, handler } = world();
  lock('deployed');
  admitDeploy();
  const uninstall = ask({ before: 'deployed' });
  await settle();
  t.equal(uninstall.answer(), undefined);
  change(revision(7, 'pending-upgrade', { createdAt: clock.now() }), revision(6, 'deployed'));
  await settle();
  t.equal(handler.held(), 1, 'it is stored, and the uninstall waits for it');

  const other = world();
  other.lock('deployed');
  other.admitDeploy();
  t.match(await other.ask({ dryRun: true }).verdict, { allowed: true }, 'what is tried waits for nobody');
  const alone = other.ask();
  await settle();
  t.equal(alone.answer(), undefined);
  other.clock.advance(1_000);
  t.match(await alone.verdict, { allowed: true }, 'it never came');
});

t.test('what began at an older revision comes too late', async (t) => {
  const { ask, change, lock } = world();
  lock();
  const uninstall = ask();
  await settle();
  change(revision(7, 'deployed'), revision(6, 'superseded'));
  t.same(await uninstall.verdict, {
    allowed: false,
    denial: {
      code: 409,
      message:
        'release prod/api: this uninstall began at revision 6, and revision 7 (deployed) is newer. The record was ' +
        'not changed. To uninstall what is there now: helm uninstall api -n prod',
    },
  });
});

t.test(
  'each pause is longer than the last one: ten of them outlast a lock without a sign of life',
  async (t) => {
    const { ask, lock, clock } = world();
    lock();
    const start = clock.now();
    const pauses: number[] = [];
    for (let attempt = 1; attempt <= 11; attempt += 1) {
      const uninstall = ask();
      await settle();
      clock.advance(3_000);
      const verdict = await uninstall.verdict;
      if (verdict.allowed || verdict.denial.code !== 429) throw new Error(JSON.stringify(verdict));
      t.match(verdict.denial.message, /The uninstall waits for it, and Helm tries again\./);
      pauses.push(verdict.denial.retryAfterSeconds);
      if (attempt < 11) clock.advance(verdict.denial.retryAfterSeconds * 1000);
    }
    t.strictSame(
      pauses,
      pauses.toSorted((a, b) => a - b),
    );
    t.equal(pauses[0], 20);
    const waited = (clock.now() - start) / 1000;
    t.ok(waited > 700, `${waited} s`);
  },
);

t.test('Helm prints nothing of it, so an Event tells of a wait, and of a refusal', async (t) => {
  const { ask, lock, change, events, clock } = world({ holder: { user: 'alice', pod: undefined } });
  lock();
  await ask({ dryRun: true }).verdict;
  t.same(events, [], 'a dry run does not wait');
  for (const attempt of [1, 2]) {
    const uninstall = ask();
    await settle();
    clock.advance(3_000);
    t.match(await uninstall.verdict, { denial: { code: 429 } }, `attempt ${attempt}`);
    clock.advance(20_000);
  }
  const record = { driver: 'secrets', namespace: 'prod' } as const;
  const held = {
    reason: 'Held',
    record: { ...record, name: 'sh.helm.release.v1.api.v6', uid: 'uid-of-6' },
    message: 'the uninstall of release api, by bob, waits for revision 6 (alice)',
  } as const;
  t.same(events, [held], 'once, however often it comes back');
  change(revision(7, 'deployed'), revision(6, 'superseded'));
  for (const dryRun of [true, false]) await ask({ dryRun }).verdict;
  const message =
    'the uninstall of release api, by bob, was refused: it began at revision 6, and there is revision 7 (deployed). ' +
    'Helm ignores that, and deletes what revision 6 made';
  const refused = {
    reason: 'Refused',
    record: { ...record, name: 'sh.helm.release.v1.api.v7', uid: 'uid-of-7' },
    message,
  };
  t.same(events, [held, refused]);
});

t.test('a stale lock, and a marked one, stop no uninstall', async (t) => {
  const stale = world();
  stale.lock();
  stale.state.verdict = 'dead-holder';
  t.match(await stale.ask().verdict, { allowed: true });
  const marked = world();
  marked.lock();
  t.match(await marked.ask({ isMarked: true }).verdict, { allowed: true });
  const other = marked.ask({ isMarked: true, uid: 'another record' });
  await settle();
  t.equal(other.answer(), undefined, 'the mark is on another record');
  marked.handler.close();
  t.match(await other.verdict, { denial: { code: 429 } });
});

t.test('the holder’s own job pod uninstalls what it has begun to install', async (t) => {
  const pod = { namespace: 'ci', name: 'runner-7f9c', uid: 'pod-1' };
  const holder = { user: 'runner', pod, podKind: 'job' } as const;
  const { ask, lock } = world({ holder });
  lock('pending-install');
  t.match(await ask({ client: { user: 'runner', pod } }).verdict, { allowed: true });
});

t.test('no call is held without room or time, for a dry run, or by a replica that ends', async (t) => {
  const full = world({ room: false });
  full.lock();
  t.match(await full.ask().verdict, { denial: { code: 429, retryAfterSeconds: 20 } }, 'no room');
  const { handler, ask, lock, logs } = world();
  lock();
  t.match(await ask({}, 2_000).verdict, { denial: { code: 429 } }, 'no time');
  t.match(logs.lines, [{ msg: 'an uninstall was refused', code: 429, client: 'bob' }]);
  t.match(await ask({ dryRun: true }).verdict, { denial: { code: 409 } }, 'a dry run');
  const held = ask({}, 'unsaid');
  await settle();
  handler.close();
  t.match(await held.verdict, { denial: { code: 429 } }, 'the replica ends');
  t.match(await ask().verdict, { denial: { code: 429 } }, 'and has ended');
  t.equal(handler.held(), 0);
});

t.test(
  'an uninstall counts as waiting, in its pauses as well, until it goes on, gives up or is late',
  async (t) => {
    const { ask, lock, clock, waiting, change } = world();
    lock();
    const first = ask();
    await settle();
    t.equal(waiting(), 1, 'it is held');
    clock.advance(3_000);
    t.match(await first.verdict, { denial: { code: 429, retryAfterSeconds: 20 } });
    clock.advance(20_000);
    t.equal(waiting(), 1, 'it is expected back');
    const second = ask();
    await settle();
    t.equal(waiting(), 1, 'it is the same one');
    change(revision(6, 'deployed'));
    await settle();
    clock.advance(1_000);
    t.match(await second.verdict, { allowed: true });
    t.equal(waiting(), 0, 'it went on');

    lock();
    await ask({ dryRun: true }).verdict;
    t.equal(waiting(), 0, 'a dry run does not wait');
    const third = ask();
    await settle();
    third.hangUp();
    await t.rejects(third.verdict);
    t.equal(waiting(), 0, 'it hung up');
    const last = ask();
    await settle();
    clock.advance(3_000);
    t.match(await last.verdict, { denial: { code: 429 } });
    clock.advance(60_000);
    t.equal(waiting(), 0, 'it did not come back');
  },
);

t.test('a caller that hangs up is forgotten', async (t) => {
  const { handler, ask, lock } = world();
  lock();
  const uninstall = ask();
  await settle();
  uninstall.hangUp();
  await t.rejects(uninstall.verdict, { message: 'hung up' });
  t.equal(handler.held(), 0);
});
