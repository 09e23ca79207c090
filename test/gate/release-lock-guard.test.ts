/** What kubectl may do to ReleaseLocks, and what becomes of their locks. */
import t from 'tap';
import { parseAdmissionReview, type Review } from '../../src/gate/admission-review.ts';
import type { ClearOutcome, ClearRequest } from '../../src/gate/clearing.ts';
import type { Judgement, Lock } from '../../src/gate/lock.ts';
import { createIsOurs } from '../../src/gate/ourselves.ts';
import { createReleaseLockGuard } from '../../src/gate/release-lock-guard.ts';
import { testLog } from '../support/log.ts';
import { revision } from '../support/revisions.ts';

const NOW = Date.parse('2026-11-23T03:00:42Z');
const LOCKKEEPER = 'system:serviceaccount:lockkeeper:lockkeeper';
const FORCED = { 'lockkeeper.dev/force': 'true' };

const LOCK: Lock = {
  revision: revision(6, 'pending-upgrade', { createdAt: NOW - 42_000 }),
  holder: { user: 'system:serviceaccount:ci:runner', pod: undefined },
};

const LIVE: Judgement = { verdict: 'live', reason: 'created 42s ago', staleInSeconds: 858 };
const STALE: Judgement = { verdict: 'expired', reason: 'no sign of life for 20m', staleInSeconds: 0 };

const SPEC = { driver: 'secrets', revision: 6, status: 'pending-upgrade', recordUID: 'uid-of-6' };

interface Entry {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec?: unknown;
}

interface Request {
  readonly operation?: string;
  readonly user?: string;
  readonly name?: string;
  readonly dryRun?: boolean;
  /** As it is stored; null for nothing. */
  readonly before?: Entry | null;
  /** As it shall be. */
  readonly after?: Entry | null;
}

/** By default, alice deletes the ReleaseLock of `prod/api`. */
function reviewOf(request: Request) {
  const { operation = 'DELETE', user = 'alice', name = 'api', dryRun, before = {}, after = null } = request;
  const object = (entry: Entry | null) =>
    entry && {
      metadata: { name, namespace: 'prod', uid: 'entry-1', annotations: entry.annotations ?? null },
      spec: 'spec' in entry ? entry.spec : SPEC,
    };
  const parsed = parseAdmissionReview({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: 'r-1',
      operation,
      namespace: 'prod',
      name,
      dryRun,
      resource: { group: 'lockkeeper.dev', version: 'v1alpha1', resource: 'releaselocks' },
      userInfo: user
        ? { username: user, uid: 'u-1', groups: ['devs'], extra: { team: ['red'], none: null } }
        : { username: null, uid: null, groups: null, extra: null },
      object: object(after),
      oldObject: object(before),
    },
  });
  if ('problem' in parsed) throw new Error(parsed.problem);
  return parsed.review;
}

interface World {
  readonly lock?: Lock | undefined;
  readonly judgement?: Judgement;
  readonly mayForce?: boolean;
  /** Of the object as it is stored. */
  readonly stored?: Readonly<Record<string, string>>;
  readonly outcome?: ClearOutcome;
}

const CLEARED: ClearOutcome = {
  kind: 'cleared',
  lock: LOCK,
  judgement: STALE,
  next: ['helm upgrade api CHART -n prod'],
};

function guardIn(world: World = {}) {
  const { judgement = STALE, mayForce = false, stored = FORCED, outcome = CLEARED } = world;
  const lock = 'lock' in world ? world.lock : LOCK;
  const logs = testLog();
  const story: string[] = [];
  const asked: unknown[] = [];
  const cleared: ClearRequest[] = [];
  const guard = createReleaseLockGuard({
    find: async (target) => {
      asked.push(target);
      return lock && { lock };
    },
    clearer: {
      clear: async (request) => {
        cleared.push(request);
        return outcome;
      },
    },
    judge: () => judgement,
    may: async (user, attributes) => {
      asked.push({ user, attributes });
      return mayForce;
    },
    annotationsOf: async (namespace, name) => {
      asked.push(`${namespace}/${name}`);
      return stored;
    },
    isOurs: createIsOurs({ whoAmI: async () => LOCKKEEPER, log: logs.log }),
    date: () => NOW,
    log: logs.log,
    onStory: ({ reason, message }) => story.push(`${reason}: ${message}`),
  });
  const review = (request: Request | Review, timeoutMs: number | 'unsaid' = 10_000) =>
    guard.review('labels' in request ? request : reviewOf(request), {
      signal: new AbortController().signal,
      timeoutMs: timeoutMs === 'unsaid' ? undefined : timeoutMs,
    });
  return { review, asked, cleared, logs, story };
}

const ALLOWED = { allowed: true, warnings: [] };

t.test(
  'given a name that no release can have, then there is no lock, and nobody looks for one',
  async (t) => {
    const { review, asked, cleared } = guardIn();
    for (const name of ['a'.repeat(64), '-', '']) t.strictSame(await review({ name }), ALLOWED, name);
    t.strictSame(await review({ ...reviewOf({}), namespace: '' }), ALLOWED, 'nor in no namespace');
    t.strictSame([asked, cleared], [[], []]);
  },
);

t.test('given each write by each writer, then only these are refused', async (t) => {
  const other = { spec: { ...SPEC, holder: { user: 'mallory' } } };
  const noted = { annotations: { team: 'red' } };
  const taken = { annotations: { 'lockkeeper.dev/force': 'false' } };
  const marked = { annotations: FORCED };
  const writes: [string, Request][] = [
    ['create', { operation: 'CREATE', before: null, after: {} }],
    ['change of the spec', { operation: 'UPDATE', before: {}, after: other }],
    ['removal of the spec', { operation: 'UPDATE', before: {}, after: { spec: undefined } }],
    ['nothing', { operation: 'UPDATE', before: {}, after: {} }],
    ['note', { operation: 'UPDATE', before: {}, after: noted }],
    ['mark', { operation: 'UPDATE', before: {}, after: marked }],
    ['mark again', { operation: 'UPDATE', before: taken, after: marked }],
    ['mark that is there', { operation: 'UPDATE', before: marked, after: marked }],
    ['mark that is taken back', { operation: 'UPDATE', before: marked, after: taken }],
  ];
  const writers = ['alice', LOCKKEEPER, 'system:kube-controller-manager'];
  const cases = writes.flatMap(([what, request]) =>
    writers.flatMap((user) =>
      [false, true].map((mayForce) => ({ what, mayForce, request: { ...request, user } })),
    ),
  );
  const refused: string[] = [];
  const warned = new Set<string>();
  for (const { what, mayForce, request } of cases) {
    const verdict = await guardIn({ mayForce }).review(request);
    if (verdict.allowed) {
      for (const warning of verdict.warnings) warned.add(`${request.user}: ${what}: ${warning}`);
      continue;
    }
    t.equal(verdict.denial.code, 403);
    refused.push(`${request.user}: ${what}${mayForce ? ', may force' : ''}`);
  }
  t.same(refused, [
    'alice: create',
    'alice: create, may force',
    'alice: change of the spec',
    'alice: change of the spec, may force',
    'alice: removal of the spec',
    'alice: removal of the spec, may force',
    'alice: mark',
    'alice: mark again',
  ]);
  const next =
    'the lock of release prod/api is marked, and may be ended now, even if it is live: kubectl delete rlock api -n prod';
  t.same([...warned], [`alice: mark: ${next}`, `alice: mark again: ${next}`], 'the mark is answered');
});

t.test('given a live lock whose holder is just gone, then the refusal says to wait', async (t) => {
  const ending: Judgement = {
    verdict: 'ending',
    reason: 'its holder, pod ci/a, is gone; it is stale in 9s',
    staleInSeconds: 9,
  };
  const verdict = await guardIn({ judgement: ending }).review({});
  t.match(verdict, {
    denial: {
      code: 409,
      message: / Just wait: its holder, pod ci\/a, is gone; it is stale in 9s\.$/,
    },
  });
});

t.test('given a write of what only Lockkeeper writes, then the refusal tells what to do', async (t) => {
  const { review, logs } = guardIn();
  const message =
    'ReleaseLock prod/api was not written: only lockkeeper records who holds a lock. Anybody may change its labels ' +
    'and annotations. To clear the lock: kubectl delete rlock api -n prod';
  t.same(await review({ operation: 'CREATE', before: null, after: {} }), {
    allowed: false,
    denial: { code: 403, message },
  });
  const fields = { namespace: 'prod', release: 'api', operation: 'CREATE', client: 'alice', code: 403 };
  t.match(logs.lines, [{ msg: 'a write of a ReleaseLock was refused', ...fields, reason: message }]);
});

t.test('given a stale lock, when its ReleaseLock is deleted, then it is cleared', async (t) => {
  for (const annotations of [{}, FORCED]) {
    const { review, cleared, asked } = guardIn();
    t.same(await review({ before: { annotations } }), {
      allowed: true,
      warnings: [
        'lockkeeper marked revision 6 of prod/api as failed, which was pending-upgrade: no sign of life for 20m',
        'what works now: helm upgrade api CHART -n prod',
      ],
    });
    t.same(asked, [{ driver: 'secrets', namespace: 'prod', name: 'api' }], 'nobody’s right is asked for');
    t.same(cleared, [
      {
        target: LOCK.revision.release,
        revision: 6,
        uid: 'uid-of-6',
        strategy: 'mark-failed',
        force: false,
        trigger: 'kubectl',
        by: 'alice',
      },
    ]);
  }
});

t.test('given a reason on the stored object, then the clear has it', async (t) => {
  const reasonOn = (text: string) => ({ 'lockkeeper.dev/reason': text });
  const long = 'because '.repeat(1_000);
  const rows: [string, reviewed: object, stored: object, reason: string | undefined][] = [
    [
      'a reason',
      reasonOn('job 4711 was cancelled'),
      reasonOn('job 4711 was cancelled'),
      'job 4711 was cancelled',
    ],
    ['none', {}, {}, undefined],
    ['one that only the review has', reasonOn('forged'), {}, undefined],
    ['another one by now', reasonOn('the first'), reasonOn('the second'), 'the second'],
    ['an empty one', reasonOn(''), reasonOn(' \n'), undefined],
    ['several lines', reasonOn('x'), reasonOn('job 4711\r\n\tfailed\u2028twice'), 'job 4711 failed twice'],
    ['escape sequences', reasonOn('x'), reasonOn('\u001b[2Jgone\u202e\u200b\u009b'), '[2Jgone'],
    ['one without end', reasonOn('x'), reasonOn(long), long.slice(0, 199)],
  ];
  for (const [given, annotations, stored, reason] of rows) {
    for (const judgement of [STALE, LIVE]) {
      const forced = judgement === LIVE ? FORCED : {};
      const { review, cleared, asked } = guardIn({
        judgement,
        mayForce: true,
        stored: { ...stored, ...forced },
      });
      t.match(
        await review({ before: { annotations: { ...annotations, ...forced } } }),
        { allowed: true },
        given,
      );
      t.equal(cleared.length, 1, given);
      t.equal(cleared[0]?.reason, reason, given);
      if (judgement === STALE && given === 'none')
        t.notOk(asked.includes('prod/api'), 'nobody reads it then');
    }
  }
});

t.test('given a live lock, then mark, right and the stored object decide', async (t) => {
  const live =
    'release prod/api is locked by revision 6 (pending-upgrade, 42s, system:serviceaccount:ci:runner).';
  const conflict =
    `${live} Nothing was changed. Wait for it, or ask its holder: it counts as live (created 42s ago). ` +
    'If you know that its holder is dead, mark the lock, which may then be ended. ' +
    'That takes the right to delete releaselocks/force, which a namespace admin usually has: kubectl annotate rlock api -n prod lockkeeper.dev/force=true';
  const forbidden =
    'alice may not delete releaselocks/force in namespace prod. A namespace admin usually may. Grant it by this rule in a Role in namespace prod, or a ' +
    'ClusterRole, that is bound to alice: {"apiGroups":["lockkeeper.dev"],"resources":["releaselocks/force"],"verbs":["delete"]}';
  const forged =
    'the lock of release prod/api is live, and its ReleaseLock is not annotated with lockkeeper.dev/force. Nothing was changed.';
  const rows = [
    { given: 'no mark', annotations: {}, mayForce: true, denial: { code: 409, message: conflict } },
    {
      given: 'a mark that was taken back',
      annotations: { 'lockkeeper.dev/force': 'false' },
      mayForce: true,
      denial: { code: 409, message: conflict },
    },
    { given: 'no right', annotations: FORCED, mayForce: false, denial: { code: 403, message: forbidden } },
    {
      given: 'a review that claims a mark',
      annotations: FORCED,
      mayForce: true,
      stored: {},
      denial: { code: 409, message: forged },
    },
    { given: 'all of it', annotations: FORCED, mayForce: true, denial: undefined },
  ];
  for (const { given, annotations, denial, ...world } of rows) {
    for (const dryRun of [false, true]) {
      const { review, cleared, asked, story } = guardIn({ judgement: LIVE, ...world });
      const verdict = await review({ dryRun, before: { annotations } });
      t.match(verdict, { allowed: denial === undefined, ...(denial && { denial }) }, given);
      const told =
        'Refused: alice was refused to clear it: revision 6 (pending-upgrade) of release api is live';
      t.same(story, denial && !dryRun ? [told] : [], given);
      const acts = denial === undefined && !dryRun;
      t.equal(cleared.length, Number(acts), given);
      if (!acts) continue;
      t.match(cleared, [{ force: true, by: 'alice' }]);
      t.match(verdict, { warnings: [/^lockkeeper marked revision 6 of prod\/api by force as failed/] });
      t.same(asked.slice(1), [
        {
          user: { username: 'alice', uid: 'u-1', groups: ['devs'], extra: { team: ['red'], none: [] } },
          attributes: {
            group: 'lockkeeper.dev',
            resource: 'releaselocks',
            subresource: 'force',
            verb: 'delete',
            namespace: 'prod',
            name: 'api',
          },
        },
        'prod/api',
      ]);
    }
  }
});

t.test('given a user without a name, then they lack the right, and nobody is asked about them', async (t) => {
  const { review, asked } = guardIn({ judgement: LIVE });
  t.match(await review({ user: '', before: { annotations: FORCED } }), { denial: { code: 403 } });
  t.equal(asked.length, 1, 'but for the lock');
});

t.test('given a dry run, then it says what would happen, and nothing does', async (t) => {
  const { review, cleared } = guardIn();
  t.same(await review({ dryRun: true }), {
    allowed: true,
    warnings: [
      'lockkeeper would mark revision 6 of prod/api as failed, which is pending-upgrade: no sign of life for 20m',
    ],
  });
  t.same(cleared, []);
});

t.test('given no lock of which it tells, then a ReleaseLock is deleted without more ado', async (t) => {
  const rows: [string, World, unknown][] = [
    ['free', { lock: undefined }, SPEC],
    ['no driver', {}, { recordUID: 'uid-of-6' }],
    ['an unknown driver', {}, { ...SPEC, driver: 'sql' }],
    ['no spec', {}, undefined],
  ];
  for (const [given, world, spec] of rows) {
    const { review, cleared } = guardIn({ judgement: LIVE, ...world });
    t.same(await review({ before: { spec } }), ALLOWED, given);
    t.same(cleared, [], given);
  }
  t.same(await guardIn({ judgement: LIVE }).review({ before: null }), ALLOWED, 'no object');
});

t.test('given another lock by now, then it is left alone, and whoever deletes hears of it', async (t) => {
  for (const spec of [{ ...SPEC, recordUID: 'uid-of-5' }, { driver: 'secrets' }]) {
    const { review, cleared } = guardIn();
    const warning = 'release prod/api is locked by revision 6 (pending-upgrade) now, which was left alone';
    t.same(await review({ before: { spec } }), { allowed: true, warnings: [warning] });
    t.same(cleared, []);
  }
});

t.test('given that somebody else was first, or the record cannot be edited, then it is told', async (t) => {
  const lost =
    'the lock of release prod/api was not cleared: revision 6 is deployed now. Nothing was lost. To see what there is ' +
    'now: kubectl get rlock api -n prod';
  const unreadable =
    'the lock of release prod/api was not cleared: it is no gzip. To end it all the same, delete its record: ' +
    'kubectl delete secret sh.helm.release.v1.api.v6 -n prod';
  const rows: [ClearOutcome, string | RegExp | undefined][] = [
    [{ kind: 'free' }, undefined],
    [{ kind: 'other', lock: LOCK }, undefined],
    [
      { kind: 'live', lock: LOCK, judgement: LIVE },
      /is locked by revision 6 .* it counts as live \(created 42s ago/,
    ],
    [{ kind: 'changed', lock: LOCK, words: 'revision 6 is deployed now' }, lost],
    [{ kind: 'unreadable', lock: LOCK, words: 'it is no gzip' }, unreadable],
  ];
  for (const [outcome, message] of rows) {
    const { review, logs } = guardIn({ outcome });
    const verdict = await review({}, 'unsaid');
    t.match(verdict, message ? { allowed: false, denial: { code: 409, message } } : ALLOWED, outcome.kind);
    t.equal(logs.lines.length, message ? 1 : 0);
  }
});

t.test(
  'given a deletion by Lockkeeper or by Kubernetes, then nobody is asked, and nothing cleared',
  async (t) => {
    for (const user of [
      LOCKKEEPER,
      'system:serviceaccount:kube-system:namespace-controller',
      'system:serviceaccount:kube-system:generic-garbage-collector',
      'system:kube-controller-manager',
    ]) {
      const { review, asked, cleared } = guardIn({ judgement: LIVE });
      t.same(await review({ user }), ALLOWED, user);
      t.same([asked, cleared], [[], []], user);
    }
  },
);

t.test('given what is no ReleaseLock, then it may pass', async (t) => {
  const { releaseLock: _, ...review } = reviewOf({});
  t.same(await guardIn({ judgement: LIVE }).review(review), ALLOWED);
});
