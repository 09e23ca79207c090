/** Design §4.4: the record of a live lock is not deleted, but by those who may. */
import t, { type Test } from 'tap';
import { parseAdmissionReview, type Review } from '../../src/gate/admission-review.ts';
import { createGuard } from '../../src/gate/guard.ts';
import { createLockReader } from '../../src/gate/live-lock.ts';
import type { Client } from '../../src/gate/lock.ts';
import { createIsOurs } from '../../src/gate/ourselves.ts';
import type { Chapter } from '../../src/gate/story.ts';
import { judge } from '../../src/gate/verdict.ts';
import { DRIVERS, type Driver, type Release, type Revision } from '../../src/helm/release.ts';
import { type DeployOptions, deployReview } from '../fixtures/reviews.ts';
import { limits } from '../support/limits.ts';
import { testLog } from '../support/log.ts';
import { revision } from '../support/revisions.ts';

const NOW = Date.parse('2026-11-22T13:00:00Z');
const STALE_AFTER_SECONDS = 900;
const LOCKKEEPER = 'system:serviceaccount:lockkeeper:lockkeeper';
const RUNNER = { user: 'system:serviceaccount:ci:runner', pod: undefined };
const CONTROLLERS = 'system:serviceaccount:kube-system';

type Wire = ReturnType<typeof deployReview>;

interface DeletionOptions extends DeployOptions {
  readonly annotations?: Readonly<Record<string, string>>;
  /** Makes a review that is not so plain. */
  readonly change?: (wire: Wire) => unknown;
}

/** The review of the deletion of `prod/api`, revision 6, which was pending-upgrade. */
function deletion({ annotations, change = () => {}, ...options }: DeletionOptions = {}): Review {
  const wire = deployReview({ revision: 6, uid: 'uid-of-6', ...options });
  const { request } = wire;
  Object.assign(request, { operation: 'DELETE', object: null, oldObject: request.object });
  Object.assign(request.oldObject?.metadata ?? {}, { annotations });
  change(wire);
  const parsed = parseAdmissionReview(wire);
  if ('problem' in parsed) throw new Error(parsed.problem);
  return parsed.review;
}

interface World {
  readonly revisions?: readonly Revision[];
  readonly drivers?: readonly Driver[];
  readonly holder?: Client;
  /** What a read comes to, in place of the revisions. */
  readonly read?: (signal: AbortSignal) => Promise<readonly Revision[]>;
  /** What a list comes to, if it is something else. */
  readonly list?: (signal: AbortSignal) => Promise<readonly Revision[]>;
  readonly whoAmI?: () => Promise<string>;
}

function guardIn({ revisions = [pending(42)], drivers = DRIVERS, holder, ...world }: World = {}) {
  const logs = testLog();
  const story: Chapter[] = [];
  const asked: ((Release & { number?: number }) | 'who am I')[] = [];
  const { read = async () => revisions, list = read, whoAmI = async () => LOCKKEEPER } = world;
  const guard = createGuard({
    drivers,
    readLock: createLockReader({
      reader: {
        at: async (release, number, signal) => {
          asked.push({ ...release, number });
          return (await read(signal)).find((stored) => stored.number === number);
        },
        all: async (release, signal) => {
          asked.push(release);
          return list(signal);
        },
      },
      holders: {
        holderOf: ({ uid }) => (uid === 'uid-of-6' ? holder : undefined),
        lockOf: (revision) => ({ revision, holder: revision.uid === 'uid-of-6' ? holder : undefined }),
      },
      readRecorded: async () => {},
      judge: (lock) => judge(lock, limits(STALE_AFTER_SECONDS), NOW),
      log: logs.log,
    }),
    isOurs: createIsOurs({
      whoAmI: () => {
        asked.push('who am I');
        return whoAmI();
      },
      log: logs.log,
    }),
    date: () => NOW,
    log: logs.log,
    onStory: (chapter) => story.push(chapter),
  });
  const controller = new AbortController();
  return {
    review: (review: Review, timeoutMs: number | 'unsaid' = 5_000) =>
      guard.review(review, {
        signal: controller.signal,
        timeoutMs: timeoutMs === 'unsaid' ? undefined : timeoutMs,
      }),
    hangUp: () => controller.abort(new Error('hung up')),
    /** What the API server was asked, in order. */
    asked,
    logs,
    /** What is worth an Event. */
    story,
  };
}

/** No selector takes such a label. */
const NAME_OF_NONE = 'sh.helm.release.v1.-api.v6';

/** Revision 6, last written so many seconds ago. */
function pending(ageSeconds: number, status = 'pending-upgrade'): Revision {
  return revision(6, status, { createdAt: NOW - ageSeconds * 1000 });
}

const unreachable = async (): Promise<never> => {
  throw new Error('connect ECONNREFUSED');
};

/** Every pair, with what is given by both. */
function pairs<A extends { given: string }, B extends { given: string }>(
  some: readonly A[],
  others: readonly B[],
) {
  return some.flatMap((one) =>
    others.map((other) => ({ ...one, ...other, given: `${one.given} · ${other.given}` })),
  );
}

t.test('given every record, age, mark and caller, then only these deletions are refused', async (t) => {
  const newer = revision(7, 'pending-rollback', { createdAt: NOW });
  const another = revision(6, 'pending-upgrade', { uid: 'another', createdAt: NOW });
  const records = [
    { given: 'newest', stored: (age: number) => [pending(age), revision(5, 'deployed')] },
    { given: 'shadowed', stored: (age: number) => [newer, pending(age)] },
    { given: 'gone', stored: () => [] },
    { given: 'made anew', stored: () => [another] },
    { given: 'ended meanwhile', stored: (age: number) => [pending(age, 'deployed')] },
  ];
  const ages = [
    { given: 'live', age: 899 },
    { given: 'expired', age: 900 },
  ];
  const drivers: { given: string; drivers: readonly Driver[] }[] = [
    { given: 'gated', drivers: ['secrets'] },
    { given: 'not gated', drivers: ['configmaps'] },
  ];
  const marks: { given: string; annotations: Record<string, string> }[] = [
    { given: 'unmarked', annotations: {} },
    { given: 'marked', annotations: { 'lockkeeper.dev/allow-delete': '' } },
    { given: 'marked otherwise', annotations: { 'lockkeeper.dev/allow': 'true' } },
  ];
  const callers = [
    { given: 'alice', user: 'alice' },
    { given: 'alice while nobody says who lockkeeper is', user: 'alice', whoAmI: unreachable },
    { given: 'lockkeeper', user: LOCKKEEPER },
    { given: 'lockkeeper while nobody says who it is', user: LOCKKEEPER, whoAmI: unreachable },
    { given: 'the namespace controller', user: `${CONTROLLERS}:namespace-controller` },
    { given: 'the garbage collector', user: `${CONTROLLERS}:generic-garbage-collector` },
    { given: 'another controller', user: `${CONTROLLERS}:job-controller` },
    { given: 'the controller manager', user: 'system:kube-controller-manager' },
  ];
  const cases = pairs(pairs(pairs(pairs(records, ages), drivers), marks), callers);
  t.equal(cases.length, 5 * 2 * 2 * 3 * 8);

  const refused: string[] = [];
  for (const { given, stored, age, annotations, user, ...world } of cases) {
    const { review } = guardIn({ ...world, revisions: stored(age) });
    const { allowed } = await review(deletion({ annotations, user }));
    if (!allowed) refused.push(given);
  }
  t.same(refused, [
    'newest · live · gated · unmarked · alice',
    'newest · live · gated · unmarked · alice while nobody says who lockkeeper is',
    'newest · live · gated · unmarked · lockkeeper while nobody says who it is',
    'newest · live · gated · unmarked · another controller',
    'newest · live · gated · marked otherwise · alice',
    'newest · live · gated · marked otherwise · alice while nobody says who lockkeeper is',
    'newest · live · gated · marked otherwise · lockkeeper while nobody says who it is',
    'newest · live · gated · marked otherwise · another controller',
  ]);
});

t.test('given what is no live lock at sight, when it is deleted, then nobody asks the cluster', async (t) => {
  const metadata = (wire: Wire) => wire.request.oldObject?.metadata ?? { labels: {} };
  const label = (name: string, value: string) => (wire: Wire) =>
    Object.assign(metadata(wire).labels, { [name]: value });
  const changes: [string, (wire: Wire) => unknown][] = [
    [
      'an update',
      ({ request }) => Object.assign(request, { operation: 'UPDATE', object: request.oldObject }),
    ],
    [
      'a creation',
      ({ request }) => Object.assign(request, { operation: 'CREATE', object: request.oldObject }),
    ],
    ['no old object', (wire) => Object.assign(wire.request, { oldObject: null })],
    ['a pod', (wire) => Object.assign(wire.request.resource, { resource: 'pods' })],
    [
      'a Secret of something else',
      (wire) => {
        Object.assign(wire.request.oldObject ?? {}, { type: 'Opaque' });
        label('owner', 'flux')(wire);
      },
    ],
    ['a deployed record', label('status', 'deployed')],
    ['a failed record', label('status', 'failed')],
    ['a record that is being uninstalled', label('status', 'uninstalling')],
    ['malformed: another name', (wire) => Object.assign(metadata(wire), { name: 'settings' })],
    ['malformed: a name of no release', (wire) => Object.assign(metadata(wire), { name: NAME_OF_NONE })],
    ['malformed: no namespace', ({ request }) => Object.assign(request, { namespace: '' })],
    ['malformed: no uid', (wire) => Object.assign(metadata(wire), { uid: '' })],
  ];
  const rows: [string, DeletionOptions][] = [
    ...changes.map(([given, change]): [string, DeletionOptions] => [given, { change }]),
    ['by Kubernetes', { user: 'system:kube-controller-manager' }],
  ];
  for (const [given, options] of rows) {
    const { review, asked, logs } = guardIn({ read: unreachable });
    t.same(await review(deletion(options)), { allowed: true, warnings: [] }, given);
    t.same([asked, logs.lines], [[], []], `${given}: nothing asked, nothing logged`);
  }
  const { review, asked } = guardIn({ drivers: ['secrets'], read: unreachable });
  t.match(await review(deletion({ driver: 'configmaps' })), { allowed: true }, 'a driver that is not gated');
  t.same(asked, []);
});

t.test(
  'given a live lock, whatever its labels say of its release, then its name decides: refused',
  async (t) => {
    for (const [label, value] of [
      ['name', 'web'],
      ['version', '7'],
      ['owner', 'flux'],
    ] as const) {
      const { review } = guardIn();
      const change = ({ request }: Wire) =>
        Object.assign(request.oldObject?.metadata.labels ?? {}, { [label]: value });
      t.match(
        await review(deletion({ change })),
        { allowed: false, denial: { code: 409 } },
        `${label}=${value}`,
      );
    }
  },
);

t.test(
  'given a live lock that is marked, when its record is deleted, then the log keeps the trace',
  async (t) => {
    for (const [value, allowed] of [
      ['true', true],
      ['', true],
      ['alice', true],
      ['false', false],
    ] as const) {
      const { review, logs, asked } = guardIn();
      const annotations = { 'lockkeeper.dev/allow-delete': value };
      t.equal((await review(deletion({ user: 'alice', annotations }))).allowed, allowed, value);
      if (!allowed) continue;
      t.same(asked, [], 'nobody was asked');
      t.match(logs.lines, [
        {
          msg: 'a record that is marked for it may be deleted',
          release: 'api',
          revision: 6,
          client: 'alice',
        },
      ]);
    }
  },
);

t.test(
  'given a lock of each kind, when its record is deleted, then it is read of its own release',
  async (t) => {
    for (const driver of DRIVERS)
      for (const status of ['pending-install', 'pending-upgrade', 'pending-rollback']) {
        const { review, asked } = guardIn({ revisions: [pending(42, status)] });
        t.equal((await review(deletion({ driver, status }))).allowed, false, `${driver} ${status}`);
        const release = { driver, namespace: 'prod', name: 'api' };
        t.same(asked, [{ ...release, number: 6 }, { ...release, number: 7 }, release, 'who am I']);
      }
  },
);

t.test('given a newer revision, then no list is made, but for one behind a gap', async (t) => {
  const lists = async (stored: readonly Revision[]) => {
    const { review, asked } = guardIn({ revisions: stored });
    t.match(await review(deletion()), { allowed: true });
    return asked.filter((question) => question !== 'who am I' && question.number === undefined).length;
  };
  t.equal(await lists([revision(7, 'deployed'), pending(42)]), 0);
  t.equal(await lists([revision(8, 'deployed'), pending(42)]), 1);
});

t.test('given a list that fails, then the live lock is kept all the same', async (t) => {
  const { review, logs } = guardIn({ list: unreachable });
  t.match(await review(deletion()), { allowed: false, denial: { code: 409 } });
  t.match(logs.lines[0], { level: 40, reason: 'Error: connect ECONNREFUSED' });
});

t.test('given no lock, then nobody asks who lockkeeper is, and nothing is logged', async (t) => {
  const { review, asked, logs } = guardIn({ revisions: [] });
  t.same(await review(deletion()), { allowed: true, warnings: [] });
  t.equal(asked.includes('who am I'), false);
  t.same(logs.lines, []);
});

t.test('given a stale lock, when its record is deleted, then the log keeps the trace', async (t) => {
  const { review, logs } = guardIn({ revisions: [pending(900)] });
  t.same(await review(deletion({ user: 'alice' })), { allowed: true, warnings: [] });
  t.match(logs.lines, [
    {
      msg: 'the record of a stale lock may be deleted',
      release: 'api',
      client: 'alice',
      lock: { revision: 6, status: 'pending-upgrade' },
      because: 'no sign of life for 15m, and 15m are enough',
    },
  ]);
});

t.test('given a live lock, when its record is deleted, then the refusal tells what to do', async (t) => {
  const { review, logs, story } = guardIn({ holder: RUNNER });
  const verdict = await review(deletion({ user: 'alice', payload: 'top-secret-values' }));
  const message =
    'release prod/api: revision 6 (pending-upgrade, 42s, system:serviceaccount:ci:runner) is being deployed. ' +
    'Without its record another deploy could run beside it, so the record was kept. ' +
    'Wait for it, or ask its holder: it counts as live (created 42s ago, stale in 14m18s ' +
    'unless it is written again). To see the lock: helm history api -n prod. ' +
    'If you know that its holder is dead, mark its record, which may then be deleted: kubectl annotate secret ' +
    'sh.helm.release.v1.api.v6 -n prod lockkeeper.dev/allow-delete=true';
  t.same(verdict, { allowed: false, denial: { code: 409, message } });
  t.match(logs.lines, [
    {
      level: 30,
      msg: 'a deletion was refused',
      namespace: 'prod',
      release: 'api',
      driver: 'secrets',
      client: 'alice',
      lock: { revision: 6, status: 'pending-upgrade', holder: RUNNER.user },
      code: 409,
      reason: message,
    },
  ]);
  t.equal(logs.lines.length, 1);
  t.same(story, [
    {
      reason: 'Refused',
      record: {
        driver: 'secrets',
        namespace: 'prod',
        name: 'sh.helm.release.v1.api.v6',
        uid: 'uid-of-6',
      },
      message: 'alice was refused to delete its record: revision 6 (pending-upgrade) of release api is live',
    },
  ]);
  await review(deletion({ user: 'alice', dryRun: true }));
  t.equal(story.length, 1, 'nothing is told of a dry run');
  t.notMatch(logs.text(), /top-secret-values/);
});

t.test('given that nobody says who lockkeeper is, then the log tells why it was refused', async (t) => {
  const { review, logs } = guardIn({ whoAmI: unreachable });
  t.equal((await review(deletion({ user: LOCKKEEPER }))).allowed, false);
  t.match(logs.lines[0], {
    level: 40,
    msg: 'the API server does not say who lockkeeper is',
    reason: 'Error: connect ECONNREFUSED',
  });
});

t.test('given a cluster that cannot be read, then the call fails: failurePolicy decides', async (t) => {
  const { review } = guardIn({ read: unreachable });
  await t.rejects(review(deletion()), { message: 'connect ECONNREFUSED' });
});

t.test('given a read that hangs, then it ends when 60 % of the caller’s time is over', async (t) => {
  for (const [timeoutMs, readMs] of [
    [5_000, 3_000],
    [10_000, 6_000],
    [1_000, 600],
    ['unsaid', 3_000],
  ] as const) {
    const { guard, timeouts, expire } = hangingGuard(t);
    const verdict = guard.review(deletion(), timeoutMs);
    expire();
    await t.rejects(verdict, { message: 'time is over' }, `timeout ${timeoutMs}`);
    t.match(timeouts(), [{ args: [readMs] }], `timeout ${timeoutMs}: it reads for ${readMs} ms`);
  }
});

t.test('given a read that hangs, when the caller hangs up, then it ends', async (t) => {
  const { guard } = hangingGuard(t);
  const verdict = guard.review(deletion());
  guard.hangUp();
  await t.rejects(verdict, { message: 'hung up' });
});

/** A guard whose reads never end by themselves, and whose deadline comes by hand. */
function hangingGuard(t: Test) {
  const deadline = new AbortController();
  const read = (signal: AbortSignal) =>
    new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  const timeouts = t.capture(AbortSignal, 'timeout', () => deadline.signal);
  return { guard: guardIn({ read }), timeouts, expire: () => deadline.abort(new Error('time is over')) };
}
