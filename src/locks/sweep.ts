/**
 * Clears, with nobody asking, what `LOCKKEEPER_AUTO_CLEAR` says may be cleared. Every replica does: a clear acts on exactly
 * the record that was judged, so the second one to come finds nothing to do.
 */
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import { LOCKKEEPER } from '../gate/clear-the-way.ts';
import type { Clearer, ClearOutcome } from '../gate/clearing.ts';
import { type AutoClear, autoClearOf, maySweep } from '../gate/decision.ts';
import { isStale } from '../gate/doors.ts';
import type { Judgement, Lock } from '../gate/lock.ts';
import { describeLock } from '../gate/log-fields.ts';
import type { JudgedLock } from '../gate/words.ts';
import { startReconciler } from '../reconciler.ts';

export interface Sweep {
  /** Locks have changed, or what is known of their holders. */
  wake(): void;
  stop(): Promise<void>;
}

export interface SweepOptions {
  /** As last known; each is read again before anything is done. */
  readonly locks: () => readonly Lock[];
  readonly judge: (lock: Lock) => Judgement;
  /** What may be cleared in this namespace with nobody asking for it. */
  readonly autoClearIn: (namespace: string, signal: AbortSignal) => Promise<AutoClear>;
  readonly clearer: Clearer;
  /** How long it rests after each look, which is at all locks: {@link startReconciler}. */
  readonly restMs?: () => number;
  readonly clock: Pick<Clock, 'after' | 'now'>;
  /** A number from 0 up to 1, for the jitter. */
  readonly random: () => number;
  readonly log: Logger;
}

/** Replicas see the same at the same time; the first to clear it has done it for all. */
const JITTER_MS = 1_000;

/** When the same record is tried again, whatever came of it: the watch has told of it by then. */
const AGAIN_MS = 10_000;

/** Each request has its own, shorter limits. */
const CLEAR_MS = 60_000;

/** Clears at once: people's requests go over the same two connections. */
const AT_ONCE = 2;

/** So many are cleared before the others are judged anew. */
const A_ROUND = 100;

export function startSweep(options: SweepOptions): Sweep {
  const { locks, judge, autoClearIn, clearer, clock, random, log } = options;
  /** When each record that may be cleared is to be, by its uid and by the clock of waits. */
  const due = new Map<string, number>();
  /** Records that cannot be cleared as they are: resourceVersion by uid. */
  const hopeless = new Map<string, string>();

  async function reconcile(signal: AbortSignal): Promise<number> {
    const now = clock.now();
    const judged = locks().map((lock) => ({ lock, judgement: judge(lock) }));
    const stale = judged.filter(({ lock, judgement }) => isStale(judgement) && hasHope(lock));
    const sweepable = await allowed(stale, signal);
    forgetAllBut(judged.map(({ lock }) => lock.revision.uid));
    for (const { lock } of sweepable) {
      const { uid } = lock.revision;
      if (!due.has(uid)) due.set(uid, now + random() * JITTER_MS);
    }
    const ready = sweepable.filter(({ lock }) => dueAt(lock) <= now).map(({ lock }) => lock);
    await clearAll(ready.slice(0, A_ROUND), signal);
    if (ready.length > A_ROUND) return 0;
    const ripe = judged.filter(({ judgement }) => judgement.staleInSeconds > 0);
    const times = [
      ...sweepable.map(({ lock }) => dueAt(lock) - clock.now()),
      ...ripe.map(({ judgement }) => judgement.staleInSeconds * 1000),
    ];
    return Math.max(0, Math.min(Number.POSITIVE_INFINITY, ...times));
  }

  async function allowed(stale: readonly JudgedLock[], signal: AbortSignal): Promise<readonly JudgedLock[]> {
    const namespaces = new Set(stale.map(({ lock }) => lock.revision.release.namespace));
    const policies = new Map<string, AutoClear>();
    for (const namespace of namespaces) policies.set(namespace, await autoClearIn(namespace, signal));
    return stale.filter(({ lock, judgement }) => {
      const autoClear = policies.get(lock.revision.release.namespace) as AutoClear;
      return maySweep(judgement, autoClearOf(lock, { autoClear }));
    });
  }

  function dueAt({ revision }: Lock): number {
    return due.get(revision.uid) as number;
  }

  function hasHope({ revision: { uid, resourceVersion } }: Lock): boolean {
    return hopeless.get(uid) !== resourceVersion;
  }

  function forgetAllBut(uids: readonly string[]): void {
    const known = new Set(uids);
    for (const map of [due, hopeless]) for (const uid of map.keys()) if (!known.has(uid)) map.delete(uid);
  }

  async function clearAll(ready: readonly Lock[], signal: AbortSignal): Promise<void> {
    const left = [...ready];
    async function work(): Promise<void> {
      for (let lock = left.shift(); lock && !signal.aborted; lock = left.shift()) await clear(lock, signal);
    }
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  async function clear(lock: Lock, stopping: AbortSignal): Promise<void> {
    const { release, number, uid } = lock.revision;
    due.set(uid, clock.now() + AGAIN_MS);
    const signal = AbortSignal.any([stopping, AbortSignal.timeout(CLEAR_MS)]);
    try {
      const outcome = await clearer.clear(
        {
          target: release,
          revision: number,
          uid,
          strategy: 'mark-failed',
          force: false,
          trigger: 'sweep',
          by: LOCKKEEPER,
        },
        signal,
      );
      note(lock, outcome);
    } catch (error) {
      if (!stopping.aborted) warn(lock, String(error));
    }
  }

  /** If somebody else was first, the watch tells what has become of it. */
  function note(lock: Lock, outcome: ClearOutcome): void {
    // API servers date their answers in whole seconds: by the next answer it may be up to a second earlier again.
    if (outcome.kind === 'live') {
      const againMs = Math.max(1, outcome.judgement.staleInSeconds) * 1000;
      due.set(lock.revision.uid, clock.now() + Math.min(againMs, AGAIN_MS));
    }
    if (outcome.kind !== 'unreadable') return;
    hopeless.set(lock.revision.uid, lock.revision.resourceVersion);
    warn(lock, outcome.words);
  }

  function warn(lock: Lock, reason: string): void {
    const { namespace, name } = lock.revision.release;
    log.warn(
      { namespace, release: name, ...describeLock(lock), reason },
      'a stale lock could not be cleared',
    );
  }

  const reconciler = startReconciler({
    reconcile,
    onError: (error) => log.error({ err: error }, 'stale locks cannot be swept'),
    ...(options.restMs && { restMs: options.restMs }),
    clock,
    random,
  });
  return { wake: reconciler.wake, stop: reconciler.stop };
}
