/** What a ReleaseLock says, and what is done so that it does: decisions, row by row. */
import t from 'tap';
import type { Client, Judgement, Lock } from '../../src/gate/lock.ts';
import type { ReleaseLock, ReleaseLockStatus } from '../../src/kubernetes/release-locks.ts';
import {
  canBeEntered,
  inOrder,
  type LockFacts,
  type Task,
  taskFor,
  type Writer,
} from '../../src/locks/entry.ts';
import { timestamp } from '../../src/timestamp.ts';
import { limits } from '../support/limits.ts';
import { revision } from '../support/revisions.ts';

const CREATED = Date.parse('2026-11-23T03:00:00Z');

const NOW = CREATED + 60_000;

const WRITER: Writer = { replica: 'here', limits: limits(), now: NOW };

const RUNNER: Client = {
  user: 'system:serviceaccount:ci:runner',
  pod: { namespace: 'ci', name: 'runner-7f9c', uid: 'pod-1' },
};

const LIVE: Judgement = { verdict: 'live', reason: 'created 1m ago, stale in 14m', staleInSeconds: 840 };

const SPEC = {
  driver: 'secrets',
  revision: 6,
  status: 'pending-upgrade',
  recordUID: 'uid-of-6',
  since: '2026-11-23T03:00:00Z',
};

const STATUS: ReleaseLockStatus = {
  verdict: 'live',
  reason: 'created at 2026-11-23T03:00:00Z, stale at 2026-11-23T03:15:00Z unless it is written again',
  lastActivity: '2026-11-23T03:00:00Z',
  waiting: 0,
  replicas: [],
};

function facts(changes: Partial<LockFacts> = {}): LockFacts {
  const lock: Lock = {
    revision: revision(6, 'pending-upgrade', { createdAt: CREATED }),
    holder: undefined,
  };
  return { lock, judgement: LIVE, claim: undefined, isClaimRead: true, waiting: 0, ...changes };
}

function entry(changes: Partial<ReleaseLock> = {}): ReleaseLock {
  const metadata = { name: 'api', namespace: 'prod', uid: 'uid-of-entry', resourceVersion: '1' };
  return { metadata, spec: SPEC, status: STATUS, ...changes };
}

function statusAfter(given: LockFacts, stored: ReleaseLockStatus, writer = WRITER) {
  const task = taskFor(given, entry({ status: stored }), writer);
  return task?.kind === 'write-status' ? task.entry.status : undefined;
}

t.test('a lock without an entry gets one, which tells whose it is', async (t) => {
  const metadata = {
    name: 'api',
    namespace: 'prod',
    ownerReferences: [
      { apiVersion: 'v1', kind: 'Secret', name: 'sh.helm.release.v1.api.v6', uid: 'uid-of-6' },
    ],
  };
  const user = 'alice';
  for (const [claim, holder] of [
    [undefined, undefined],
    [RUNNER, RUNNER],
    [{ user, pod: undefined }, { user }],
    [
      { ...RUNNER, canonicalArn: 'arn', podKind: 'job', neverAutoClear: true } as const,
      { ...RUNNER, canonicalArn: 'arn', podKind: 'job', neverAutoClear: true },
    ],
    [{ user: '', pod: undefined }, undefined],
    [{ user: 'x'.repeat(1_025), pod: undefined }, undefined],
  ] as const) {
    const spec = { ...SPEC, ...(holder && { holder }) };
    t.strictSame(taskFor(facts({ claim }), undefined, WRITER), {
      kind: 'create',
      entry: { metadata, spec },
      status: STATUS,
    });
  }
  const release = { driver: 'configmaps', namespace: 'prod', name: 'api' } as const;
  const lock = { ...facts().lock, revision: revision(6, 'pending-upgrade', { release }) };
  t.match(taskFor(facts({ lock }), undefined, WRITER), {
    entry: { metadata: { ownerReferences: [{ kind: 'ConfigMap' }] }, spec: { driver: 'configmaps' } },
  });
  const dead: Judgement = { verdict: 'dead-holder', reason: 'its pod is gone', staleInSeconds: 0 };
  t.match(
    taskFor(facts({ judgement: dead, waiting: 2 }), undefined, WRITER),
    { status: { verdict: 'dead-holder', waiting: 2, replicas: [{ name: 'here', waiting: 2 }] } },
    'and how it stands, from the start',
  );
});

const { spec: _, ...WITHOUT_SPEC } = entry();

/** Given a lock or none, and an entry: what is to be done. */
type Row = readonly [string, LockFacts | undefined, ReleaseLock | undefined, Task['kind'] | undefined];

const ROWS: readonly Row[] = [
  ['nothing at all', undefined, undefined, undefined],
  ['an entry that says it all', facts(), entry(), undefined],
  ['an entry of no lock', undefined, entry(), 'remove'],
  ['an entry that says nothing', facts(), WITHOUT_SPEC, 'remove'],
  ...Object.entries({
    driver: 'configmaps',
    revision: 5,
    status: 'pending-rollback',
    recordUID: 'another',
    since: '2026-11-23T02:00:00Z',
  }).map(
    ([field, value]) =>
      [`another ${field}`, facts(), entry({ spec: { ...SPEC, [field]: value } }), 'remove'] as const,
  ),
  [
    'the same time in other words',
    facts(),
    entry({ spec: { ...SPEC, since: '2026-11-23T04:00:00+01:00' } }),
    undefined,
  ],
  ['a holder who becomes known', facts({ claim: RUNNER }), entry(), 'name-holder'],
  [
    'a holder who is known already',
    facts({ claim: RUNNER }),
    entry({ spec: { ...SPEC, holder: { user: 'alice' } } }),
    undefined,
  ],
  ['an entry without a status', facts(), entry({ status: {} }), 'write-status'],
  [
    'one that is being deleted',
    undefined,
    entry({ metadata: { ...entry().metadata, deletionTimestamp: '2026-11-23T03:00:30Z' } }),
    undefined,
  ],
];

t.test('what is to be done', async (t) => {
  for (const [given, lock, stored, kind] of ROWS) t.equal(taskFor(lock, stored, WRITER)?.kind, kind, given);
});

t.test('a holder is added, and all else stays', async (t) => {
  const before = entry();
  const after = { ...before, spec: { ...SPEC, holder: RUNNER } };
  t.strictSame(taskFor(facts({ claim: RUNNER }), before, WRITER), { kind: 'name-holder', entry: after });
});

t.test('the reason has times of day, which do not run', async (t) => {
  const { lock } = facts();
  const written = { ...lock, revision: { ...lock.revision, lastWriteAt: CREATED + 30_000 } };
  t.same(statusAfter(facts(), {}), STATUS);
  t.match(statusAfter(facts({ lock: written }), STATUS), {
    reason: 'last written at 2026-11-23T03:00:30Z, stale at 2026-11-23T03:15:30Z unless it is written again',
    lastActivity: '2026-11-23T03:00:30Z',
  });
  const expired: Judgement = { verdict: 'expired', reason: 'no sign of life for 16m', staleInSeconds: 0 };
  t.match(statusAfter(facts({ judgement: expired }), STATUS), {
    verdict: 'expired',
    reason: 'no sign of life since 2026-11-23T03:00:00Z, and 15m are enough',
  });
  const dead: Judgement = {
    verdict: 'dead-holder',
    reason: 'its holder, pod ci/x, is gone',
    staleInSeconds: 0,
  };
  t.match(statusAfter(facts({ judgement: dead }), STATUS), { reason: dead.reason });
  const ending: Judgement = {
    verdict: 'ending',
    reason: 'its holder, pod ci/x, is gone; it is stale in 9s',
    staleInSeconds: 9,
  };
  t.match(statusAfter(facts({ judgement: ending }), STATUS), {
    verdict: 'ending',
    reason: `its holder, pod ci/x, is gone; it is stale at ${timestamp(NOW + 9_000)}`,
  });
});

t.test(
  'a verdict gives way to one that rests on more, so that replicas do not correct each other for ever',
  async (t) => {
    const verdicts = ['live', 'ending', 'expired', 'dead-holder'] as const;
    for (const [was, verdict] of verdicts.entries()) {
      for (const [is, stored] of verdicts.entries()) {
        const judgement: Judgement = { verdict, reason: 'any', staleInSeconds: 0 };
        const after = statusAfter(facts({ judgement }), { ...STATUS, verdict: stored });
        t.equal(after?.verdict, was > is ? verdict : undefined, `${stored}, and ${verdict} here`);
      }
    }
    const { lock } = facts();
    const written = { ...lock, revision: { ...lock.revision, lastWriteAt: CREATED + 1_000 } };
    const late = { ...STATUS, verdict: 'expired' };
    t.match(statusAfter(facts({ lock: written }), late), { verdict: 'live' }, 'a sign of life outweighs all');
    const early = { ...STATUS, lastActivity: '2026-11-23T03:00:05Z' };
    t.equal(statusAfter(facts({ lock: written }), early), undefined, 'one that others saw, too');
  },
);

t.test('each replica says how many wait there, and the sum is told', async (t) => {
  const at = (ago: number) => new Date(NOW - ago * 1_000).toISOString().replace('.000', '');
  const there = { name: 'there', waiting: 3, at: at(10) };
  const own = (waiting: number, ago = 0) => ({ name: 'here', waiting, at: at(ago) });
  for (const [given, waiting, stored, after] of [
    ['nobody anywhere', 0, [], undefined],
    ['two here', 2, [], [own(2)]],
    ['two here, three there', 2, [there], [own(2), there]],
    ['two here, as was said', 2, [own(2, 29), there], undefined],
    ['two here, as was said a while ago', 2, [own(2, 30), there], [own(2), there]],
    ['one less', 1, [own(2, 5), there], [own(1), there]],
    ['nobody here any more', 0, [own(2, 5), there], [there]],
    ['nobody takes it back there', 0, [{ ...there, at: at(90) }], []],
    ['and still does there', 0, [{ ...there, at: at(89) }], undefined],
  ] as const) {
    const sum = stored.reduce((all, count) => all + count.waiting, 0);
    const status = statusAfter(facts({ waiting }), { ...STATUS, replicas: stored, waiting: sum });
    t.same(status?.replicas, after, given);
    const total = after?.reduce((all, count) => all + count.waiting, 0);
    t.equal(status?.waiting, total, `${given}: the sum`);
  }
  const wrong = statusAfter(facts(), { ...STATUS, replicas: [there], waiting: 7 });
  t.equal(wrong?.waiting, 3, 'a sum that is wrong is put right');
});

t.test(
  'of two drivers that have a release of one name, the one that was locked first comes first',
  async (t) => {
    const lockIn = (driver: 'secrets' | 'configmaps', createdAt: number): Lock => {
      const release = { driver, namespace: 'prod', name: 'api' };
      return { revision: revision(1, 'pending-install', { release, createdAt }), holder: undefined };
    };
    const [secret, configMap, later] = [lockIn('secrets', 5), lockIn('configmaps', 5), lockIn('secrets', 6)];
    t.same([later, configMap, secret].toSorted(inOrder), [secret, configMap, later]);
  },
);

t.test('only what Kubernetes takes as a name is entered', async (t) => {
  for (const [name, expected] of [
    ['api', true],
    ['api.v2', true],
    ['a'.repeat(63), true],
    ['a'.repeat(64), false],
    ['a..b', false],
    ['a.-b', false],
    ['API', false],
  ] as const) {
    const release = { driver: 'secrets', namespace: 'prod', name } as const;
    const lock = { revision: revision(1, 'pending-install', { release }), holder: undefined };
    t.equal(canBeEntered(lock), expected, name);
  }
});
