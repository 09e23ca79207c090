/** What strangers are called, and what they write, never reaches a terminal as it is: whichever words it stands in. */
import fc from 'fast-check';
import t from 'tap';
import { parseAdmissionReview, type Review } from '../../src/gate/admission-review.ts';
import { describeClearing } from '../../src/gate/clearing.ts';
import type { Deploy } from '../../src/gate/decision.ts';
import { endRefused, restoreRefused } from '../../src/gate/door-words.ts';
import type { Client, Judgement, Lock } from '../../src/gate/lock.ts';
import { describe, describeLock } from '../../src/gate/log-fields.ts';
import * as releaseLockWords from '../../src/gate/release-lock-words.ts';
import { forbidden } from '../../src/gate/rights.ts';
import * as story from '../../src/gate/story.ts';
import { judge } from '../../src/gate/verdict.ts';
import * as words from '../../src/gate/words.ts';
import type { PendingStatus } from '../../src/helm/release.ts';
import { toJson } from '../../src/http/lock-answers.ts';
import { taskFor } from '../../src/locks/entry.ts';
import { createRecordedLocks } from '../../src/locks/recorded.ts';
import { deployReview } from '../fixtures/reviews.ts';
import { limits } from '../support/limits.ts';
import { revision } from '../support/revisions.ts';
import { strangersText, unsafeInside } from '../support/unsafe-text.ts';

const NOW = 60_000;

function reviewBy(user: string, labels: Record<string, string> = {}): Review {
  const wire = deployReview({ user });
  Object.assign(wire.request.object?.metadata.labels ?? {}, labels);
  const parsed = parseAdmissionReview(wire);
  if ('problem' in parsed) throw new Error(parsed.problem);
  return parsed.review;
}

function deployOf({ client, dryRun, payload, objectUid: uid, labels }: Review): Deploy {
  const { release } = revision(7, 'pending-upgrade');
  return { release, revision: 7, status: labels.status as PendingStatus, uid, client, dryRun, payload };
}

/** All that is said when one client meets the lock of another. */
function saidOf(lock: Lock, judgement: Judgement, deploy: Deploy, becomes: string): unknown[] {
  const judged = { lock, judgement };
  const { client } = deploy;
  const request = { target: lock.revision.release, strategy: 'mark-failed', trigger: 'kubectl' } as const;
  const facts = { lock, judgement, claim: lock.holder, isClaimRead: true, waiting: 0 };
  return [
    words.locked(judged, NOW),
    words.waitedTooLong(judged, 5, NOW),
    words.wouldWait(judged, NOW),
    words.guarded(judged, NOW),
    words.lostTheRace(lock, 7, NOW),
    words.clearedOnTheWay(lock, judgement),
    words.wouldClear(lock, judgement),
    endRefused(judged, { after: becomes, isVisible: true }, NOW),
    restoreRefused(judged, becomes, NOW),
    releaseLockWords.keptAlive(judged, NOW),
    forbidden(client.user, { verb: 'delete', subresource: 'force', namespace: 'prod' }),
    story.heldBy(lock, deploy),
    story.admittedAfter(5, deploy),
    story.refusedForRival(lock, deploy),
    story.refusedAfter(5, lock, deploy),
    story.uninstallHeldBy(lock, client),
    story.uninstallRefusedFor(lock.revision, { client, revision: 5 }),
    story.refusedToEnd(lock, client, `make it ${becomes}`),
    story.endedBy(lock, client, { status: becomes, isVisible: true }),
    story.keptOut(lock.revision, becomes, client),
    describeClearing({ ...request, force: true, by: words.who(client) }, lock, judgement, NOW),
    describe(deploy),
    describeLock(lock),
    toJson(lock, judgement, 0),
    taskFor(facts, undefined, { replica: 'here', limits: limits(), now: NOW }),
  ];
}

function lockOf(holder: Client): Lock {
  return { revision: revision(6, 'pending-upgrade'), holder, isListed: true };
}

t.test('whoever holds a lock, and whoever comes to it', async (t) => {
  fc.assert(
    fc.property(strangersText, strangersText, strangersText, (holder, other, status) => {
      const lock = lockOf(reviewBy(holder).client);
      const { labels, ...review } = reviewBy(other, { status });
      const deploy = deployOf({ ...review, labels });
      const said = saidOf(lock, judge(lock, limits(), NOW), deploy, labels.status ?? '');
      return unsafeInside(said) === undefined;
    }),
  );
  t.pass('whatever they were called');
});

t.test('a holder whom an older Lockkeeper recorded as they came', async (t) => {
  fc.assert(
    fc.property(strangersText, strangersText, (user, pod) => {
      const { follow, recordOf } = createRecordedLocks(() => {});
      const six = revision(6, 'pending-upgrade');
      const { release, number, status, uid: recordUID } = six;
      const { driver, namespace, name } = release;
      const holder = { user, pod: { namespace: pod, name: pod, uid: pod } };
      const spec = { driver, revision: number, status, recordUID, since: '', holder };
      follow.onList([{ metadata: { name, namespace, uid: 'u', resourceVersion: '1' }, spec }]);
      const lock = lockOf(recordOf(six)?.holder as Client);
      const said = saidOf(lock, judge(lock, limits(), NOW), deployOf(reviewBy('bob')), 'failed');
      return unsafeInside(said) === undefined;
    }),
  );
  t.pass('whatever they were called');
});

t.test('a recorded name is the name of the same user', async (t) => {
  fc.assert(
    fc.property(strangersText, (user) => {
      const { follow, recordOf } = createRecordedLocks(() => {});
      const six = revision(6, 'pending-upgrade');
      const { client } = reviewBy(user);
      const task = taskFor(
        { lock: lockOf(client), judgement: LIVE, claim: client, isClaimRead: true, waiting: 0 },
        undefined,
        { replica: 'here', limits: limits(), now: NOW },
      );
      if (task?.kind !== 'create') return false;
      const metadata = { name: 'api', namespace: 'prod', uid: 'u', resourceVersion: '1' };
      follow.onList([{ ...task.entry, metadata }]);
      return recordOf(six)?.holder?.user === client.user;
    }),
  );
  t.pass('as it was recorded');
});

const LIVE: Judgement = { verdict: 'live', reason: 'any', staleInSeconds: 900 };

t.test('a review that is none is refused in words that are safe to show', async (t) => {
  fc.assert(
    fc.property(strangersText, strangersText, (key, value) => {
      for (const [place, what] of [
        ['labels', { [key]: 1 }],
        ['annotations', { [key]: [value] }],
        ['name', value],
      ] as const) {
        const wire = deployReview();
        Object.assign(wire.request.object?.metadata ?? {}, { [place]: what });
        const parsed = parseAdmissionReview(wire);
        if ('problem' in parsed && unsafeInside(parsed.problem) !== undefined) return false;
      }
      return true;
    }),
  );
  t.pass('whatever was in it');
});
