/**
 * Reviews of the write with which `helm uninstall` begins: it waits until no deploy of the release is live.
 *
 * Helm 3 and 4 log a refusal of that write, and delete everything all the same (pkg/action/uninstall.go). What holds them is the
 * wait alone. So while a deploy is live the answer is 429, which Helm's client takes as often as ten times, with longer and
 * longer pauses, almost 14 minutes in all by default. A deploy that is live for longer than that loses to the uninstall.
 */
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import { isPending } from '../helm/release.ts';
import type { Denial, Verdict } from './admission-review.ts';
import { uninstallTooLate, uninstallWaits } from './door-words.ts';
import { passageOf } from './doors.ts';
import type { Call } from './hold.ts';
import type { Judgement, Lock } from './lock.ts';
import { describeLock } from './log-fields.ts';
import { type ClientKey, createPatience, keyOfClient } from './patience.ts';
import type { Change, KnownHolders, Reader, Watched } from './ports.ts';
import { relationOf } from './same-client.ts';
import type { RecordUpdate } from './screen-update.ts';
import { createSleepers } from './sleepers.ts';
import { type Chapter, uninstallHeldBy, uninstallRefusedFor } from './story.ts';
import type { Waiters } from './waiters.ts';
import { type JudgedLock, who } from './words.ts';

export interface UninstallHandler {
  /** @throws if the cluster cannot be read, or the caller hung up */
  review(update: RecordUpdate, call: Call): Promise<Verdict>;
  /** How many calls are held. */
  held(): number;
  /** Sends every held call away now, and holds none from now on. */
  close(): void;
}

export interface UninstallHandlerOptions {
  readonly reader: Pick<Reader, 'all'>;
  readonly watched: Pick<Watched, 'nextChange'>;
  readonly holders: Pick<KnownHolders, 'lockOf' | 'onTheWayUntil'>;
  readonly judge: (lock: Lock) => Judgement;
  readonly limits: { readonly holdSeconds: number; readonly retryAfterSeconds: number };
  /** Whether one more call may be held. */
  readonly hasRoom: () => boolean;
  /** Counts the clients that wait. */
  readonly waiters: Pick<Waiters, 'hold' | 'sendAway' | 'leave'>;
  readonly clock: Clock;
  /** Milliseconds since 1970, by the clock that stamps the records. */
  readonly date: () => number;
  readonly log: Logger;
  /** Told of what is worth an Event; never of a dry run. Helm itself prints nothing of a wait or a refusal. */
  readonly onStory: (chapter: Chapter) => void;
}

/** Answer this long before the caller gives up, so that the answer can be decided, sent and read. */
const ANSWER_EARLY_MS = 2_000;

/** A caller that does not say how long it waits. */
const UNSAID_MS = 5_000;

/** Each pause is this share of the time waited so far, and at least `retryAfterSeconds`. Eleven calls wait almost 14 minutes by default. */
const PAUSE_SHARE = 0.4;

/** A client that has not come back for so long will not come back: the longest pause is some five minutes. */
const IDLE_MS = 600_000;

/**
 * How long an uninstall that may go on lets deploys go first. The end of a lock wakes deploys as well, here and at other
 * replicas, and nobody sees what the others admit until it is stored. The same as a deploy waits for another one in hold.ts.
 */
const YIELD_MS = 1_000;

/** What was found: go on, wait, or it is too late. */
type Finding =
  | { readonly kind: 'answer'; readonly verdict: Verdict }
  | { readonly kind: 'wait'; readonly judged: JudgedLock };

const ALLOWED: Verdict = { allowed: true, warnings: [] };

export function createUninstallHandler(options: UninstallHandlerOptions): UninstallHandler {
  const { reader, watched, holders, judge, limits, hasRoom, waiters, clock, date, log, onStory } = options;
  const patience = createPatience(IDLE_MS, clock.now);
  const sleepers = createSleepers(clock);
  let held = 0;

  async function look(update: RecordUpdate, signal: AbortSignal): Promise<Finding> {
    const [newest] = await reader.all(update.release, signal);
    if (newest !== undefined && isPending(newest.status)) {
      const lock = holders.lockOf(newest);
      const judgement = judge(lock);
      const { before, after, isVisible, isMarked } = update;
      const passage = passageOf({
        operation: 'UPDATE',
        before,
        after,
        isVisible,
        isMarked: isMarked && newest.uid === update.uid,
        payloadStatus: after,
        relation: relationOf(update.client, lock.holder),
        verdict: judgement.verdict,
      });
      return passage === 'hold' ? { kind: 'wait', judged: { lock, judgement } } : answer(ALLOWED);
    }
    if (newest === undefined || newest.number <= update.revision) return answer(ALLOWED);
    if (!update.dryRun) onStory(uninstallRefusedFor(newest, update));
    return answer(denied({ code: 409, message: uninstallTooLate(update, newest) }));
  }

  function sendAway(update: RecordUpdate, client: ClientKey, judged: JudgedLock, waitedMs: number): Verdict {
    const pause = Math.ceil((waitedMs / 1000) * PAUSE_SHARE);
    const retryAfterSeconds = Math.max(limits.retryAfterSeconds, pause);
    waiters.sendAway(client, update.release, retryAfterSeconds * 1000);
    return denied({ code: 429, message: uninstallWaits(judged, date()), retryAfterSeconds });
  }

  /** Since when the client waits, over all its calls. An Event tells of it once, however often it comes back. */
  function beginWait({ client }: RecordUpdate, key: ClientKey, start: number, lock: Lock): number {
    const first = patience.wait(key, start);
    if (first === start) onStory(uninstallHeldBy(lock, client));
    return first;
  }

  /** Looks until there is an answer, or no time is left in this call. */
  async function wait(update: RecordUpdate, answerAt: number, call: Call): Promise<Verdict> {
    const client = keyOfClient(update);
    const start = clock.now();
    let since: number | undefined;
    let freeSince: number | undefined;
    let isHeld = false;
    let isSentAway = false;
    try {
      for (;;) {
        const change = watched.nextChange(update.release); // before the read, so that nothing is missed
        const verdict = await round(change).finally(change.cancel);
        if (verdict !== undefined) return verdict;
      }
    } finally {
      if (isHeld) held -= 1;
      if (!isSentAway && !update.dryRun) waiters.leave(client, update.release);
    }

    /** Looks once, and waits once if that is the answer; undefined means: look again. */
    async function round(change: Change): Promise<Verdict | undefined> {
      const finding = await look(update, call.signal);
      if (finding.kind === 'answer') {
        freeSince ??= clock.now();
        if (finding.verdict.allowed && (await letDeploysGoFirst(freeSince, change))) return undefined;
        patience.end(client);
        return finding.verdict;
      }
      freeSince = undefined;
      return waitFor(finding.judged, change);
    }

    /** Until something changes, or sends it away. */
    async function waitFor(judged: JudgedLock, change: Change): Promise<Verdict | undefined> {
      if (update.dryRun) return denied({ code: 409, message: uninstallWaits(judged, date()) });
      since ??= beginWait(update, client, start, judged.lock);
      const isFull = !isHeld && !hasRoom();
      if (sleepers.isClosed() || isFull || clock.now() >= answerAt) {
        isSentAway = true;
        return sendAway(update, client, judged, clock.now() - since);
      }
      if (!isHeld) {
        isHeld = true;
        held += 1;
        waiters.hold(client, update.release);
        call.onHeld?.();
        log.info({ ...describe(update), ...describeLock(judged.lock) }, 'an uninstall is held');
      }
      await sleepers.sleep(change.happened, answerAt, call.signal);
      return undefined;
    }

    /** Whether it did, so that it has to be looked at again. */
    async function letDeploysGoFirst(free: number, change: Change): Promise<boolean> {
      const mayBeMet = isHeld || holders.onTheWayUntil(update.release) !== undefined;
      const until = free + YIELD_MS;
      if (!mayBeMet || update.dryRun || sleepers.isClosed() || clock.now() >= until) return false;
      await sleepers.sleep(change.happened, until, call.signal);
      return true;
    }
  }

  return {
    async review(update, call) {
      const leftMs = (call.timeoutMs ?? UNSAID_MS) - ANSWER_EARLY_MS;
      const answerAt = clock.now() + Math.max(0, Math.min(limits.holdSeconds * 1000, leftMs));
      const verdict = await wait(update, answerAt, call);
      if (!verdict.allowed) {
        const { code, message: reason } = verdict.denial;
        log.info({ ...describe(update), code, reason }, 'an uninstall was refused');
      }
      return verdict;
    },
    held: () => held,
    close: sleepers.close,
  };
}

function denied(denial: Denial): Verdict {
  return { allowed: false, denial };
}

function answer(verdict: Verdict): Finding {
  return { kind: 'answer', verdict };
}

function describe({ release, revision, before, client }: RecordUpdate): object {
  const { namespace, name, driver } = release;
  return { namespace, release: name, driver, revision, before, client: who(client) };
}
