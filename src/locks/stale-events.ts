/**
 * Says as an Event that a lock is stale, from the moment it is, whether anybody waits for it or not: `kubectl get events` then
 * tells that a release is stuck. Every replica does; the first one to come has done it for all.
 */
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import { isStale } from '../gate/doors.ts';
import type { Judgement, Lock } from '../gate/lock.ts';
import { becameStale } from '../gate/story.ts';
import type { JudgedLock } from '../gate/words.ts';
import type { EventRecorder, EventSubject, EventText } from '../kubernetes/events.ts';
import { startReconciler } from '../reconciler.ts';
import { recordSubject, toEvent } from './lock-events.ts';
import type { SubjectFor } from './recorded.ts';

export interface StaleEvents {
  /** Locks have changed, or what is known of them, or their ReleaseLocks. */
  wake(): void;
  stop(): Promise<void>;
}

export interface StaleEventsOptions {
  /** As last known. */
  readonly locks: () => readonly Lock[];
  readonly judge: (lock: Lock) => Judgement;
  readonly subjectFor: SubjectFor;
  readonly events: EventRecorder;
  /** How long it rests after each look, which is at all locks: {@link startReconciler}. */
  readonly restMs?: () => number;
  readonly clock: Pick<Clock, 'after'>;
  readonly random: () => number;
  readonly log: Logger;
}

/** Each Event; somebody's webhook may hold it up. */
const EVENT_MS = 2_000;

/** So many Events are recorded before the locks are judged anew; people's requests go over the same two connections. */
const A_ROUND = 20;

const BETWEEN_ROUNDS_MS = 1_000;

/** One Event that is to be recorded about one object. */
interface Task {
  /** The same for the same object, verdict and last sign of life. */
  readonly key: string;
  readonly subject: EventSubject;
  readonly text: EventText;
}

export function startStaleEvents(options: StaleEventsOptions): StaleEvents {
  const { locks, judge, subjectFor, events, clock, random, log } = options;
  /** The keys of what was recorded, or cannot be. */
  let told = new Set<string>();

  function tasksFor({ lock, judgement }: JudgedLock): Task[] {
    const chapter = becameStale(lock, judgement);
    // A lock that shows a sign of life, and is stale again afterwards, is told of again.
    const once = `${judgement.verdict} ${lock.revision.lastWriteAt}`;
    const subjects = [recordSubject(chapter.record), subjectFor(chapter.record)];
    return subjects
      .filter((subject) => subject !== undefined)
      .map((subject) => ({ key: `${subject.uid} ${once}`, subject, text: { ...toEvent(chapter), once } }));
  }

  async function reconcile(signal: AbortSignal): Promise<number> {
    const judged = locks().map((lock) => ({ lock, judgement: judge(lock) }));
    const tasks = judged.filter(({ judgement }) => isStale(judgement)).flatMap(tasksFor);
    told = new Set(tasks.map(({ key }) => key).filter((key) => told.has(key)));
    const due = tasks.filter(({ key }) => !told.has(key));
    const errors: unknown[] = [];
    for (const task of due.slice(0, A_ROUND)) {
      if (signal.aborted) break;
      await record(task, signal).catch((error: unknown) => errors.push(error));
    }
    if (errors.length > 0) throw errors[0];
    if (due.length > A_ROUND) return BETWEEN_ROUNDS_MS;
    const live = judged.filter(({ judgement }) => !isStale(judgement) && judgement.staleInSeconds > 0);
    return Math.min(
      Number.POSITIVE_INFINITY,
      ...live.map(({ judgement }) => judgement.staleInSeconds * 1000),
    );
  }

  async function record({ key, subject, text }: Task, stopping: AbortSignal): Promise<void> {
    const signal = AbortSignal.any([stopping, AbortSignal.timeout(EVENT_MS)]);
    try {
      await events.record(subject, text, signal);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      // It would be refused again: the namespace is being deleted, or a quota or a policy forbids it.
      log.warn({ ...subject, event: text.reason, reason: String(error) }, 'no Event could be recorded');
    }
    told.add(key);
  }

  const reconciler = startReconciler({
    reconcile,
    onError: (error) => log.warn({ reason: String(error) }, 'it could not be told that locks are stale'),
    ...(options.restMs && { restMs: options.restMs }),
    clock,
    random,
  });
  return { wake: reconciler.wake, stop: reconciler.stop };
}

/** The API server said no, and not “later”. */
function isRefusal(error: unknown): boolean {
  const { status } = error as { status?: unknown };
  return typeof status === 'number' && status >= 400 && status < 500 && status !== 429;
}
