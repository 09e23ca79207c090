/**
 * The table of the doors of a lock, asked of the handlers as API servers ask them: every operation, status before, status after,
 * client, verdict and driver.
 */
import t from 'tap';
import { parseAdmissionReview, type Verdict } from '../../src/gate/admission-review.ts';
import { isStale } from '../../src/gate/doors.ts';
import { createHandlers } from '../../src/gate/handlers.ts';
import { type Client, type Holder, type Judgement, VERDICTS } from '../../src/gate/lock.ts';
import { RELATIONS, type Relation, relationOf } from '../../src/gate/same-client.ts';
import { DRIVERS, type Driver, isPending } from '../../src/helm/release.ts';
import { deployReview } from '../fixtures/reviews.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { limits } from '../support/limits.ts';
import { testLog } from '../support/log.ts';
import { revision } from '../support/revisions.ts';
import { STATUSES } from '../support/statuses.ts';

const POD = { namespace: 'ci', name: 'runner-7f9c', uid: 'pod-1' };
const RUNNER: Client = { user: 'system:serviceaccount:ci:runner', pod: POD };

/** The holder of the lock, as RUNNER stands to it. */
const HOLDERS: Readonly<Record<Relation, Holder | undefined>> = {
  'same-job-pod': { ...RUNNER, podKind: 'job' },
  'same-client': { ...RUNNER, pod: { ...POD, uid: 'the pod before' }, podKind: 'gateway' },
  'another-client': { user: 'alice', pod: undefined },
  'unknown-holder': undefined,
};

interface Row {
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE';
  readonly before: string;
  readonly after: string;
  /** The status in the payload after the write. */
  readonly payload: string;
  readonly relation: Relation;
  readonly verdict: Judgement['verdict'];
  readonly driver: Driver;
}

/** The table, written once more as sentences. The first one that fits decides; 429 is a hold that had no time. */
const EXPECTED: readonly [(row: Row) => boolean, string][] = [
  // An update of a revision that is not pending ends nothing; the fence looks after it. An uninstall has to wait all the same.
  [
    ({ operation, before, after }) =>
      operation === 'UPDATE' && !isPending(before) && after !== 'uninstalling',
    'allow',
  ],
  [({ operation, before, after }) => operation === 'UPDATE' && before === after, 'allow'],
  [({ operation, before }) => operation === 'DELETE' && !isPending(before), 'allow'],
  [({ operation, after }) => operation === 'UPDATE' && isPending(after), 'allow'],
  [
    ({ operation, after, payload }) =>
      operation === 'UPDATE' && after !== 'uninstalling' && isPending(payload) && !isPending(after),
    '400',
  ],
  // An end by a client that is not known as the holder is worth an Event, also when the lock was stale.
  [
    ({ operation, after, relation, verdict }) =>
      operation === 'UPDATE' && after !== 'uninstalling' && isStale({ verdict }) && !isHolder(relation),
    'allow and report',
  ],
  [({ verdict }) => isStale({ verdict }), 'allow'],
  [
    ({ operation, after, relation }) =>
      operation === 'CREATE' && after === 'pending-rollback' && relation === 'same-job-pod',
    'allow',
  ],
  [({ operation, after }) => operation === 'CREATE' && isPending(after), '429'],
  [({ operation }) => operation === 'CREATE', '409'],
  [({ after, relation }) => after === 'uninstalling' && relation === 'same-job-pod', 'allow'],
  [
    ({ before, after, relation }) =>
      after === 'uninstalling' && before === 'pending-install' && isHolder(relation),
    'allow',
  ],
  [({ after }) => after === 'uninstalling', '429'],
  [({ relation }) => isHolder(relation), 'allow'],
  [({ operation }) => operation === 'DELETE', '409'],
  [({ relation }) => relation === 'unknown-holder', 'allow and report'],
  [({ after, payload }) => after === 'deployed' && payload === 'deployed', 'allow and report'],
  [() => true, '409'],
];

function isHolder(relation: Relation): boolean {
  return relation === 'same-job-pod' || relation === 'same-client';
}

/** Handlers on a cluster in which revision 6 of prod/api is the newest, and as the row says that they are asked about. */
function tableHandlers() {
  const events: string[] = [];
  const clock = fakeClock();
  let row: Row;
  const newest = () => {
    const { operation, before, driver } = row;
    const status = operation === 'CREATE' || !isPending(before) ? 'pending-upgrade' : before;
    return revision(6, status, {
      release: { driver, namespace: 'prod', name: 'api' },
      createdAt: clock.now(),
    });
  };
  const handlers = createHandlers({
    drivers: DRIVERS,
    reader: {
      all: async () => [newest()],
      at: async (_release, number) => [newest()].find((each) => each.number === number),
      neighbours: async () => ({ rival: undefined, below: newest() }),
    },
    watched: {
      mayExist: () => false,
      nextChange: () => ({ happened: Promise.resolve(), hasHappened: () => false, cancel: () => {} }),
    },
    holders: {
      admitted: () => {},
      holderOf: () => HOLDERS[row.relation],
      lockOf: (found) => ({ revision: found, holder: HOLDERS[row.relation] }),
      onTheWayUntil: () => undefined,
    },
    clearer: { clear: async () => ({ kind: 'free' }) },
    judge: () => ({ verdict: row.verdict, reason: 'as the row says', staleInSeconds: 0 }),
    isOurs: async () => false,
    limits: { holdSeconds: 0, retryAfterSeconds: 20, maxWaitSeconds: 300, maxHeld: 20 },
    policy: { autoClear: 'off', ...limits() },
    autoClearIn: async () => 'off',
    releaseLocks: {
      find: async () => undefined,
      clearer: { clear: async () => ({ kind: 'free' }) },
      may: async () => false,
      annotationsOf: async () => ({}),
    },
    readStatus: async (_driver, payload) => payload,
    isListed: () => true,
    readRecorded: async () => {},
    clock,
    date: clock.date,
    log: testLog().log,
    onLeave: () => {},
    onEnded: () => {},
    onStory: ({ reason }) => events.push(reason),
  });
  return async (asked: Row): Promise<string> => {
    row = asked;
    events.length = 0;
    const call = { signal: new AbortController().signal, timeoutMs: 5_000 };
    return answerOf(await handlers.admission.review(reviewOf(row), call), events);
  };
}

/** Revision 6 for an update or a deletion; revision 7 for a creation. */
function reviewOf({ operation, before, after, payload, driver }: Row) {
  const revisionNumber = operation === 'CREATE' ? 7 : 6;
  const wire = (status: string) =>
    deployReview({
      revision: revisionNumber,
      uid: operation === 'CREATE' ? 'uid-of-7' : 'uid-of-6',
      driver,
      status,
      payload,
      user: RUNNER.user,
      pod: { name: POD.name, uid: POD.uid },
    });
  const review = wire(after);
  review.request.operation = operation;
  review.request.oldObject = operation === 'CREATE' ? null : wire(before).request.object;
  if (operation === 'DELETE') review.request.object = null;
  const parsed = parseAdmissionReview(review);
  if (!('review' in parsed)) throw new Error(parsed.problem);
  return parsed.review;
}

function answerOf(verdict: Verdict, events: readonly string[]): string {
  if (!verdict.allowed) return String(verdict.denial.code);
  return events.includes('Ended') ? 'allow and report' : 'allow';
}

/** Each of these rows with each of the values. */
function withEach<R, K extends string, V>(rows: readonly R[], key: K, values: (row: R) => Iterable<V>) {
  return rows.flatMap((row) =>
    [...values(row)].map((value) => ({ ...row, [key]: value }) as R & Record<K, V>),
  );
}

function allRows(): readonly Row[] {
  const statuses = [...STATUSES, ''];
  const operations = withEach([{}], 'operation', () => ['CREATE', 'UPDATE', 'DELETE'] as const);
  const befores = withEach(operations, 'before', (row) => (row.operation === 'CREATE' ? [''] : statuses));
  const afters = withEach(befores, 'after', (row) => (row.operation === 'DELETE' ? [''] : statuses));
  const payloads = withEach(afters, 'payload', (row) => new Set([row.after, 'pending-upgrade', 'failed']));
  const relations = withEach(payloads, 'relation', () => RELATIONS);
  const verdicts = withEach(relations, 'verdict', () => VERDICTS);
  return withEach(verdicts, 'driver', () => DRIVERS);
}

/** What a deploy over a stale lock does is for LOCKKEEPER_AUTO_CLEAR to say: test/gate/decision.test.ts. */
function isForDecision({ operation, after, verdict }: Row): boolean {
  return operation === 'CREATE' && isPending(after) && isStale({ verdict });
}

t.test('every request gets what the table says', async (t) => {
  const wrong: string[] = [];
  const seen = new Map<string, number>();
  const answered = tableHandlers();
  for (const row of allRows()) {
    if (isForDecision(row)) continue;
    const [, expected = ''] = EXPECTED.find(([fits]) => fits(row)) ?? [];
    const answer = await answered(row);
    if (answer !== expected) wrong.push(`${Object.values(row).join(' · ')}: ${answer}, not ${expected}`);
    seen.set(expected, (seen.get(expected) ?? 0) + 1);
  }
  t.same(wrong, []);
  for (const answer of ['allow', 'allow and report', '400', '409', '429'])
    t.ok(seen.get(answer), `${answer} was seen`);
});

t.test('the relations are as this table takes them', async (t) => {
  for (const relation of RELATIONS) t.equal(relationOf(RUNNER, HOLDERS[relation]), relation);
});
