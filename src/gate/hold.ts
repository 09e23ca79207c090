/**
 * The one place that waits: decide, wait for the lock to change, decide again from a fresh read.
 *
 * A call is held for seconds, because it takes a seat of the caller's priority level in the API server
 * meanwhile; a deploy waits for minutes, because a 429 makes Helm come back by itself.
 */
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import { type Driver, isPending, neighboursOf, type Release, type Revision } from '../helm/release.ts';
import type { Denial, Review, Verdict } from './admission-review.ts';
import { createClearTheWay } from './clear-the-way.ts';
import type { Clearer } from './clearing.ts';
import {
  type AutoClear,
  type ClusterFacts,
  type Decision,
  type Deploy,
  decide,
  type Policy,
  screen,
} from './decision.ts';
import { isStale } from './doors.ts';
import type { Judgement, Lock } from './lock.ts';
import { describe, describeLock } from './log-fields.ts';
import { type ClientKey, createPatience, keyOfClient } from './patience.ts';
import type { Change, KnownHolders, Reader, Watched } from './ports.ts';
import type { RestoreHandler } from './restore-handler.ts';
import { createSleepers } from './sleepers.ts';
import { admittedAfter, type Chapter, heldBy, refusedAfter, refusedForRival } from './story.ts';
import type { Waiters } from './waiters.ts';
import { type JudgedLock, locked, waitedTooLong, wouldClear, wouldWait } from './words.ts';

export interface Limits {
  /** The longest wait inside one call. */
  readonly holdSeconds: number;
  /** When a client that is sent away should come back. */
  readonly retryAfterSeconds: number;
  /** The longest wait of one client, over all its calls. */
  readonly maxWaitSeconds: number;
  /** Calls held at once. */
  readonly maxHeld: number;
}

export interface Call {
  /** Aborted when the caller has hung up. */
  readonly signal: AbortSignal;
  /** How long the caller waits for an answer, in milliseconds; undefined if it did not say. */
  readonly timeoutMs: number | undefined;
  /** Told once if the call is held: the payload of its review is not looked at any more. */
  readonly onHeld?: () => void;
}

export interface Gate {
  /**
   * The answer to one review, after a wait if need be.
   * @throws if the cluster cannot be read, or the caller hung up
   */
  review(review: Review, call: Call): Promise<Verdict>;
  /** How many calls are held. */
  held(): number;
  /** How many clients wait for this release, in held calls and between calls. */
  waiting(release: Release): number;
  /**
   * Sends every held call away now, and holds none from now on; what need not wait is still admitted.
   * @param lingersMs how long calls may still come here; by default no more do
   */
  close(lingersMs?: number): void;
}

export interface GateOptions {
  readonly drivers: readonly Driver[];
  readonly reader: Pick<Reader, 'all' | 'neighbours'>;
  readonly watched: Watched;
  readonly holders: KnownHolders;
  readonly clearer: Clearer;
  /** Answers for records that no deploy creates. */
  readonly restores: RestoreHandler;
  /** Counts the clients that wait. */
  readonly waiters: Waiters;
  readonly limits: Limits;
  readonly policy: Policy;
  /** What is cleared in this namespace with nobody asking for it. */
  readonly autoClearIn: (namespace: string, signal: AbortSignal) => Promise<AutoClear>;
  readonly judge: (lock: Lock) => Judgement;
  readonly clock: Clock;
  /** Milliseconds since 1970, by the clock that stamps the records. */
  readonly date: () => number;
  readonly log: Logger;
  /** Told of each held call when it leaves. */
  readonly onLeave: (heldSeconds: number) => void;
  /** Told of what is worth an Event; never of a dry run. */
  readonly onStory: (chapter: Chapter) => void;
}

/** Answer this long before the caller gives up, so that the answer can be decided, sent and read (trap 18). */
const ANSWER_EARLY_MS = 2_000;

/** Of a caller that gives less time than twice that, half is taken. */
const ANSWER_EARLY_SHARE = 0.5;

/** A caller that does not say how long it waits is taken for one that waits for a hold and a read. */
const UNSAID_MS = 5_000;

/** How soon a lock is looked at again of which nothing certain is known. */
const LOOK_AGAIN_MS = 500;

/**
 * Who is sent away by a replica that goes away comes back when it is gone, and so loses one attempt to it, whatever
 * connection the API server takes. Helm makes ten more: that many of these outlast the longest drain, 300 s.
 */
const MAX_RETRY_ELSEWHERE_SECONDS = 30;

/**
 * How long a deploy that may go on waits for another one, admitted before it, to appear in storage. Of what another replica
 * admitted nothing is known here; and storage refuses the second of two only if both have the same number. So this long
 * waits also whoever has a number that was taken before: it may come beside one that was numbered before that was deleted.
 */
const ARRIVAL_MS = 1_000;

/** A client that is this late to come back will not come back. */
const LATE_MS = 60_000;

export function createGate(options: GateOptions): Gate {
  const { drivers, reader, watched, holders, clearer, restores, waiters, limits, policy } = options;
  const { autoClearIn, judge, clock, date, log, onLeave, onStory } = options;
  const seconds = limits.holdSeconds + limits.retryAfterSeconds;
  const patience = createPatience(seconds * 1000 + LATE_MS, clock.now);
  const sleepers = createSleepers(clock);
  const clearTheWay = createClearTheWay({ clearer, log });
  const seated = new Set<Visit>();
  /** When no call comes here any more; known once it is closed. */
  let goneAt = 0;

  function admit(deploy: Deploy, call: Call): Promise<Verdict> {
    const visit = newVisit(deploy, call);
    const noTime = new Error('the API server did not answer in time');
    const cancelDeadline = clock.after(visit.answerBy - visit.start, () => visit.reads.abort(noTime));
    const hangUp = () => visit.reads.abort(call.signal.reason);
    call.signal.addEventListener('abort', hangUp);
    return rounds(visit)
      .catch((error: unknown) => {
        if (call.signal.aborted) log.info({ ...describe(deploy), ...elapsed(visit) }, 'the caller hung up');
        else log.error({ ...describe(deploy), reason: String(error) }, 'the cluster could not be read');
        throw error;
      })
      .finally(() => {
        cancelDeadline();
        call.signal.removeEventListener('abort', hangUp);
        if (!visit.isSentAway && !deploy.dryRun) waiters.leave(visit.client, deploy.release);
        if (visit.heldSince === undefined) return;
        seated.delete(visit);
        onLeave((clock.now() - visit.heldSince) / 1000);
      });
  }

  async function rounds(visit: Visit): Promise<Verdict> {
    for (;;) {
      const change = watched.nextChange(visit.deploy.release); // before the read, so that nothing is missed
      const verdict = await round(visit, change).finally(change.cancel);
      if (verdict !== undefined) return verdict;
    }
  }

  function newVisit(deploy: Deploy, call: Call): Visit {
    const start = clock.now();
    const holdMs = limits.holdSeconds * 1000;
    const patienceMs = call.timeoutMs ?? holdMs + UNSAID_MS;
    const early = Math.min(ANSWER_EARLY_MS, patienceMs * ANSWER_EARLY_SHARE);
    return {
      deploy,
      client: keyOfClient(deploy),
      call,
      start,
      answerBy: start + patienceMs - early,
      holdUntil: start + Math.max(0, Math.min(holdMs, patienceMs - ANSWER_EARLY_MS)),
      reads: new AbortController(),
      giveUpAt: undefined,
      judged: undefined,
      heldSince: undefined,
      isSentAway: false,
      isStored: false,
      rival: undefined,
      warnings: [],
      keep: undefined,
    };
  }

  /** Decides once, and waits once if that is the decision; undefined means: look again. */
  async function round(visit: Visit, change: Change): Promise<Verdict | undefined> {
    const sight = await look(visit);
    switch (sight.kind) {
      case 'deny':
        if (visit.rival && !visit.deploy.dryRun) onStory(refusedForRival(visit.rival, visit.deploy));
        return refuse(visit, sight.denial);
      case 'allow':
        // What was read may be older than what has happened since.
        return change.hasHappened() ? undefined : enter(visit, change.happened);
      case 'clear':
        if (sight.lock.revision.uid !== visit.keep) return clear(visit, sight, change.happened);
        return hold(visit, sight, change.happened, Number.POSITIVE_INFINITY);
      case 'hold':
        return hold(visit, sight, change.happened, lookAgainAt(sight));
      case 'blind':
        return hold(visit, sight.judged, change.happened, clock.now() + LOOK_AGAIN_MS);
    }
  }

  /** No write tells that a lock expires; and the watch is of pending revisions, so the end of an uninstall is not seen. */
  function lookAgainAt({ lock, judgement: { staleInSeconds } }: JudgedLock): number {
    if (!isPending(lock.revision.status)) return clock.now() + LOOK_AGAIN_MS;
    return staleInSeconds === 0 ? Number.POSITIVE_INFINITY : clock.now() + staleInSeconds * 1000;
  }

  /** Ends a stale lock, and looks again: the next decision rests on a read, not on what was done here. */
  async function clear(
    visit: Visit,
    judged: JudgedLock,
    change: Promise<void>,
  ): Promise<Verdict | undefined> {
    const { deploy, reads, warnings } = visit;
    const { lock, judgement } = judged;
    if (deploy.dryRun) return allow({ ...visit, warnings: [wouldClear(lock, judgement)] });
    const attempt = await clearTheWay(deploy, judged, reads.signal);
    if (attempt.kind === 'cleared') warnings.push(attempt.warning);
    if (attempt.kind === 'stays') visit.keep = lock.revision.uid;
    if (attempt.kind === 'live') return hold(visit, judged, change, clock.now() + LOOK_AGAIN_MS);
    return undefined;
  }

  /** Allows, once no deploy of the release is on its way that was admitted before. */
  async function enter(visit: Visit, change: Promise<void>): Promise<Verdict | undefined> {
    const { deploy, call, start, answerBy, isStored } = visit;
    if (deploy.dryRun) return allow(visit);
    const isLate = !isStored && watched.mayExist(deploy.release, deploy.revision);
    const arrival = isLate ? Number.POSITIVE_INFINITY : holders.onTheWayUntil(deploy.release);
    // Half of a short time, so that there is some left to look again.
    const until = Math.min(arrival ?? 0, start + Math.min(ARRIVAL_MS, (answerBy - start) / 2));
    if (until <= clock.now()) return allow(visit);
    await sleepers.sleep(change, until, call.signal);
    return undefined;
  }

  /** A read that fails while a lock is known is no reason to give up the wait, nor to let the deploy pass. */
  async function look(visit: Visit): Promise<Decision | { kind: 'blind'; judged: JudgedLock }> {
    const { deploy, judged } = visit;
    try {
      const facts = await read(visit);
      // Only a stale lock can be cleared, and few deploys meet one.
      const mayClear = facts.below !== undefined && isStale(judge(facts.below));
      const autoClear = mayClear
        ? await autoClearIn(deploy.release.namespace, visit.reads.signal)
        : policy.autoClear;
      return decide(deploy, facts, { ...policy, autoClear }, date(), judge);
    } catch (error) {
      if (judged === undefined || visit.call.signal.aborted) throw error;
      log.warn(
        { ...describe(deploy), reason: String(error) },
        'the lock could not be read again, still waiting',
      );
      return { kind: 'blind', judged };
    }
  }

  async function read(visit: Visit): Promise<ClusterFacts> {
    const { deploy, reads, keep } = visit;
    // Of a lock that was found to be none, only the whole history tells why.
    const isWorthAll = keep !== undefined || watched.mayExist(deploy.release, deploy.revision);
    const { release, revision } = deploy;
    const { rival, below } = isWorthAll
      ? neighboursOf(await reader.all(release, reads.signal), revision)
      : await reader.neighbours(release, revision, reads.signal);
    visit.isStored = rival?.uid === deploy.uid;
    visit.rival = toLock(rival);
    return { rival: visit.rival, below: toLock(below) };
  }

  function toLock(revision: Revision | undefined): Lock | undefined {
    return revision && holders.lockOf(revision);
  }

  /** Waits until the lock changes, or until it is time to look again or to answer. */
  async function hold(
    visit: Visit,
    judged: JudgedLock,
    change: Promise<void>,
    lookAgainAt: number,
  ): Promise<Verdict | undefined> {
    const { deploy, call, holdUntil } = visit;
    if (deploy.dryRun) return refuse(visit, { code: 409, message: wouldWait(judged, date()) });
    visit.judged = judged;

    visit.giveUpAt ??= beginWait(visit, judged.lock) + limits.maxWaitSeconds * 1000;
    const { giveUpAt } = visit;
    const answerAt = Math.min(holdUntil, giveUpAt);
    const noSeat = visit.heldSince === undefined && seated.size >= limits.maxHeld;
    if (sleepers.isClosed() || noSeat || answerAt <= clock.now())
      return sendAway(visit, judged, clock.now() >= giveUpAt);
    if (visit.heldSince === undefined) {
      visit.heldSince = clock.now();
      seated.add(visit);
      waiters.hold(visit.client, deploy.release);
      call.onHeld?.();
      const waiting = waiters.waiting(deploy.release);
      log.info({ ...describe(deploy), ...describeLock(judged.lock), waiting, held: seated.size }, 'held');
    }
    const awakening = await sleepers.sleep(change, Math.min(answerAt, lookAgainAt), call.signal);
    // Whoever comes back will look again; whoever is told to give up deserves a last look now.
    const timeToGo = awakening === 'timeout' && lookAgainAt >= answerAt && answerAt < giveUpAt;
    return awakening === 'closed' || timeToGo ? sendAway(visit, judged, false) : undefined;
  }

  /** Since when the client waits, over all its calls; told once, however often it comes back. */
  function beginWait({ deploy, client, start }: Visit, lock: Lock): number {
    const first = patience.wait(client, start);
    if (first === start) onStory(heldBy(lock, deploy));
    return first;
  }

  function sendAway(visit: Visit, { lock }: JudgedLock, forGood: boolean): Verdict {
    const now = date();
    const judged = { lock, judgement: judge(lock) };
    if (forGood) {
      patience.end(visit.client);
      onStory(refusedAfter(limits.maxWaitSeconds, lock, visit.deploy));
      return refuse(visit, { code: 409, message: waitedTooLong(judged, limits.maxWaitSeconds, now) });
    }
    const retryAfterSeconds = sleepers.isClosed() ? secondsUntilGone() : limits.retryAfterSeconds;
    visit.isSentAway = true;
    waiters.sendAway(visit.client, visit.deploy.release, retryAfterSeconds * 1000);
    return refuse(visit, { code: 429, message: locked(judged, now), retryAfterSeconds });
  }

  function secondsUntilGone(): number {
    const left = Math.max(0, goneAt - clock.now()) / 1000;
    return Math.min(Math.ceil(left) + 1, MAX_RETRY_ELSEWHERE_SECONDS);
  }

  function refuse(visit: Visit, denial: Denial): Verdict {
    const { message, ...status } = denial;
    log.info({ ...describe(visit.deploy), ...elapsed(visit), ...status, reason: message }, 'refused');
    return { allowed: false, denial };
  }

  function allow(visit: Visit): Verdict {
    const { deploy } = visit;
    // Nobody knows the uid of a record before it is stored. Afterwards anybody may, and could send a review of it.
    if (!deploy.dryRun && !visit.isStored) holders.admitted(deploy);
    const waitedSince = deploy.dryRun ? undefined : patience.end(visit.client);
    if (waitedSince === undefined) {
      log.debug({ ...describe(deploy), ...elapsed(visit) }, 'admitted');
    } else {
      const waitedMs = Math.round(clock.now() - waitedSince);
      log.info({ ...describe(deploy), ...elapsed(visit), waitedMs }, 'admitted after a wait');
      onStory(admittedAfter(waitedMs / 1000, deploy));
    }
    return { allowed: true, warnings: visit.warnings };
  }

  function elapsed({ start }: Visit): { elapsedMs: number } {
    return { elapsedMs: Math.round(clock.now() - start) };
  }

  return {
    async review(review, call) {
      const screening = screen(review, drivers);
      switch (screening.kind) {
        case 'allow':
          return { allowed: true, warnings: screening.warnings };
        case 'deny':
          log.info({ record: review.name, namespace: review.namespace, ...screening.denial }, 'refused');
          return { allowed: false, denial: screening.denial };
        case 'restore':
          return restores.review(screening.restore, call);
        case 'deploy':
          return admit(screening.deploy, call);
      }
    },
    held: () => seated.size,
    waiting: waiters.waiting,
    close(lingersMs = 0) {
      goneAt = clock.now() + lingersMs;
      sleepers.close();
      waiters.close();
    },
  };
}

/** One call in the gate. */
interface Visit {
  readonly deploy: Deploy;
  readonly client: ClientKey;
  readonly call: Call;
  readonly start: number;
  /** When the call is no longer worth holding; never after `answerBy`. */
  readonly holdUntil: number;
  readonly answerBy: number;
  /** Aborted at `answerBy`, and when the caller hangs up. */
  readonly reads: AbortController;
  /** When the client has waited long enough, over all its calls; known once it had to wait. */
  giveUpAt: number | undefined;
  /** The lock that it was last seen waiting for. */
  judged: JudgedLock | undefined;
  /** Since when it counts among the held calls. */
  heldSince: number | undefined;
  /** Whether its client was told to come back. */
  isSentAway: boolean;
  /** Whether the record that is to be created is there already. */
  isStored: boolean;
  /** What was last seen stored at its number or above. */
  rival: Lock | undefined;
  /** For the client, with the final answer. */
  readonly warnings: string[];
  /** The uid of a stale lock that could not be cleared, or was found to be none. */
  keep: string | undefined;
}
