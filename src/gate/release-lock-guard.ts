/**
 * What kubectl does to ReleaseLocks. Only Lockkeeper writes what they say. To delete one is to clear its lock: a stale one
 * is cleared first, and a live one only by force, which has a right of its own.
 *
 * Whoever can reach Lockkeeper can forge a review, and name any user in it. So a live lock is cleared only if the stored
 * object bears the mark; and to mark it takes the same right, which the API server's own review has to pass.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import { DRIVERS, isSelectable } from '../helm/release.ts';
import type { Denial, ReleaseLockWrite, Review, Verdict } from './admission-review.ts';
import { type Clearer, type ClearOutcome, type Target, tidyReason } from './clearing.ts';
import { KUBERNETES } from './decision.ts';
import { isStale } from './doors.ts';
import type { Call } from './hold.ts';
import type { Judgement, Lock, User } from './lock.ts';
import { describeLock } from './log-fields.ts';
import { FORCE, isMarked, REASON } from './marks.ts';
import type { IsOurs } from './ourselves.ts';
import {
  anotherLock,
  clearedByHand,
  keptAlive,
  lostTo,
  markedToEnd,
  markGone,
  notCleared,
  notYours,
} from './release-lock-words.ts';
import { forbidden, RESOURCE, type Right } from './rights.ts';
import { type Chapter, refusedToEnd } from './story.ts';
import { type JudgedLock, who, wouldClear } from './words.ts';

export interface ReleaseLockGuard {
  /**
   * The answer to the review of a ReleaseLock.
   * @throws if the cluster cannot be read or written, or the caller hung up
   */
  review(review: Review, call: Call): Promise<Verdict>;
}

export interface ReleaseLockGuardOptions {
  readonly find: (target: Target, signal: AbortSignal) => Promise<{ readonly lock: Lock } | undefined>;
  readonly clearer: Clearer;
  readonly judge: (lock: Lock) => Judgement;
  readonly may: (user: User, attributes: Right & typeof RESOURCE, signal: AbortSignal) => Promise<boolean>;
  /** The annotations of the ReleaseLock that is stored under this name, read live; none if there is none. */
  readonly annotationsOf: (
    namespace: string,
    name: string,
    signal: AbortSignal,
  ) => Promise<Review['annotations']>;
  readonly isOurs: IsOurs;
  /** Milliseconds since 1970, by the clock that stamps the records. */
  readonly date: () => number;
  readonly log: Logger;
  /** Told of what is worth an Event; never of a dry run. */
  readonly onStory: (chapter: Chapter) => void;
}

/** Of the time that the caller gives, the rest is for the answer to arrive. */
const SHARE = 0.8;

/** A caller that does not say how long it waits. */
const UNSAID_MS = 10_000;

const ALLOWED: Verdict = { allowed: true, warnings: [] };

export function createReleaseLockGuard(options: ReleaseLockGuardOptions): ReleaseLockGuard {
  const { find, clearer, judge, may, annotationsOf, isOurs, date, log, onStory } = options;

  /** Whoever writes one, but for Lockkeeper: what it says stays, and who marks it may force. */
  async function change(
    review: Review,
    { user, before, after }: ReleaseLockWrite,
    signal: AbortSignal,
  ): Promise<Verdict> {
    const { namespace, name } = review;
    if (before === undefined || !isDeepStrictEqual(before.spec, after?.spec)) {
      return refuse(review, { code: 403, message: notYours({ namespace, name }) });
    }
    const isNew = !isMarked(before.annotations, FORCE) && isMarked(review.annotations, FORCE);
    if (!isNew) return ALLOWED;
    const denial = await lacksForce(review, user, signal);
    return denial ? refuse(review, denial) : { allowed: true, warnings: [markedToEnd({ namespace, name })] };
  }

  async function deletion(
    review: Review,
    { user, before }: ReleaseLockWrite,
    signal: AbortSignal,
  ): Promise<Verdict> {
    const { recordUID, lock } = await lockOf(review, before?.spec, signal);
    if (lock === undefined) return ALLOWED;
    if (lock.revision.uid !== recordUID) return { allowed: true, warnings: [anotherLock(lock)] };
    const judged = { lock, judgement: judge(lock) };
    const denial = !isStale(judged.judgement) && (await whyKept(review, user, judged, signal));
    if (denial) {
      if (!review.dryRun) onStory(refusedToEnd(lock, review.client, 'clear it'));
      return refuse(review, denial, lock);
    }
    if (review.dryRun) return { allowed: true, warnings: [wouldClear(lock, judged.judgement)] };
    return clear(review, judged, signal);
  }

  /** The record of which a ReleaseLock tells, and what locks its release now. */
  async function lockOf({ namespace, name }: Review, spec: unknown, signal: AbortSignal) {
    const { driver, recordUID } = Object(spec) as { driver?: unknown; recordUID?: unknown };
    const known = DRIVERS.find((candidate) => candidate === driver);
    const mayBe = namespace !== '' && isSelectable(name);
    const found = known && mayBe && (await find({ driver: known, namespace, name }, signal));
    return { recordUID, lock: found ? found.lock : undefined };
  }

  /** Why a live lock is not cleared; undefined if it is. */
  async function whyKept(
    review: Review,
    user: User,
    judged: JudgedLock,
    signal: AbortSignal,
  ): Promise<Denial | undefined> {
    const { namespace, name, annotations } = review;
    if (!isMarked(annotations, FORCE)) return { code: 409, message: keptAlive(judged, date()) };
    const denial = await lacksForce(review, user, signal);
    if (denial) return denial;
    const stored = await annotationsOf(namespace, name, signal);
    return isMarked(stored, FORCE) ? undefined : { code: 409, message: markGone({ namespace, name }) };
  }

  async function lacksForce(
    { namespace, name, client }: Review,
    user: User,
    signal: AbortSignal,
  ): Promise<Denial | undefined> {
    const right: Right = { verb: 'delete', subresource: 'force', namespace, name };
    // An API server takes no question about somebody without a name (400), and sends no review of theirs.
    const isNamed = user.username !== '';
    if (isNamed && (await may(user, { ...RESOURCE, ...right }, signal))) return undefined;
    return { code: 403, message: forbidden(client.user, right) };
  }

  async function clear(
    review: Review,
    { lock, judgement }: JudgedLock,
    signal: AbortSignal,
  ): Promise<Verdict> {
    const { release, number: revision, uid } = lock.revision;
    const reason = await reasonFor(review, signal);
    const outcome = await clearer.clear(
      {
        target: release,
        revision,
        uid,
        strategy: 'mark-failed',
        force: !isStale(judgement),
        trigger: 'kubectl',
        by: who(review.client),
        ...(reason !== undefined && { reason }),
      },
      signal,
    );
    const message = whyNot(outcome);
    if (message !== undefined) return refuse(review, { code: 409, message }, lock);
    const warnings = outcome.kind === 'cleared' ? clearedByHand(lock, judgement, outcome.next) : [];
    return { allowed: true, warnings };
  }

  /** Why the lock is cleared, as the stored object says; a review can be forged. */
  async function reasonFor({ namespace, name, annotations }: Review, signal: AbortSignal) {
    if (!(REASON in annotations)) return undefined;
    const stored = await annotationsOf(namespace, name, signal);
    return tidyReason(stored[REASON] ?? '');
  }

  /** Undefined if there is no such lock any more. */
  function whyNot(outcome: ClearOutcome): string | undefined {
    switch (outcome.kind) {
      case 'cleared':
      case 'free':
      case 'other':
        return undefined;
      case 'live':
        return keptAlive(outcome, date());
      case 'changed':
        return lostTo(outcome.lock, outcome.words);
      case 'unreadable':
        return notCleared(outcome.lock, outcome.words);
    }
  }

  function refuse({ namespace, name, operation, client }: Review, denial: Denial, lock?: Lock): Verdict {
    const { code, message } = denial;
    const fields = {
      namespace,
      release: name,
      operation,
      client: who(client),
      ...(lock && describeLock(lock)),
    };
    log.info({ ...fields, code, reason: message }, 'a write of a ReleaseLock was refused');
    return { allowed: false, denial };
  }

  return {
    async review(review, call) {
      const { releaseLock, operation, client } = review;
      if (releaseLock === undefined || KUBERNETES.includes(client.user)) return ALLOWED;
      const timeout = AbortSignal.timeout((call.timeoutMs ?? UNSAID_MS) * SHARE);
      const signal = AbortSignal.any([call.signal, timeout]);
      if (await isOurs(client, signal)) return ALLOWED;
      return operation === 'DELETE'
        ? deletion(review, releaseLock, signal)
        : change(review, releaseLock, signal);
    },
  };
}
