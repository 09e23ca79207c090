/**
 * Writes what happens at the locks as Events, on the record and on its ReleaseLock. No answer waits for it, or fails by it.
 */
import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import type { Chapter } from '../gate/story.ts';
import type { EventRecorder, EventSubject } from '../kubernetes/events.ts';
import { recordSubject, toEvent } from './lock-events.ts';
import type { SubjectFor } from './recorded.ts';

export interface Storyteller {
  tell(chapter: Chapter): void;
  /** ReleaseLocks have changed. */
  wake(): void;
  /** Drops what has not been told. */
  stop(): Promise<void>;
}

export interface StorytellerOptions {
  readonly events: EventRecorder;
  readonly subjectFor: SubjectFor;
  /** Milliseconds, never going back. */
  readonly now: () => number;
  readonly log: Logger;
}

/** What is not told by then is not worth the memory. */
const MAX_UNTOLD = 200;

const EVENT_MS = 2_000;

/** The API server asks again when it is refused, and programs try again at once: for so long the same is told once. */
const SAME_MS = 10_000;

const MAX_TOLD = 1_000;

/** A lock that has just begun has its ReleaseLock in milliseconds, or in seconds if the replica that let it in is gone. */
const ENTRY_MS = 5_000;

/** One Event, about one object. */
interface Task {
  readonly subject: EventSubject;
  readonly chapter: Chapter;
}

export function createStoryteller({ events, subjectFor, now, log }: StorytellerOptions): Storyteller {
  const untold: Task[] = [];
  /** What is to be told of ReleaseLocks that are not there yet, and until when. */
  let early: { readonly chapter: Chapter; readonly until: number }[] = [];
  const told = new LRUCache<string, true>({ max: MAX_TOLD, ttl: SAME_MS });
  const stopping = new AbortController();
  let telling: Promise<void> | undefined;
  let dropped = false;

  async function tellAll(): Promise<void> {
    for (let task = untold.shift(); task !== undefined; task = untold.shift()) await write(task);
    dropped = false;
    telling = undefined;
  }

  async function write({ subject, chapter }: Task): Promise<void> {
    const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(EVENT_MS)]);
    try {
      await events.record(subject, toEvent(chapter), signal);
    } catch (error) {
      if (stopping.signal.aborted) return;
      log.warn({ ...subject, event: chapter.reason, reason: String(error) }, 'no Event could be recorded');
    }
  }

  function add(task: Task): void {
    if (untold.length >= MAX_UNTOLD) {
      if (!dropped) log.warn({ untold: untold.length }, 'too many Events at once: some are not recorded');
      dropped = true;
      return;
    }
    untold.push(task);
    telling ??= tellAll();
  }

  function addForEntry(chapter: Chapter, until: number): void {
    const subject = subjectFor(chapter.record);
    if (subject !== undefined) add({ subject, chapter });
    else if (now() < until && early.length < MAX_UNTOLD) early.push({ chapter, until });
  }

  return {
    tell(chapter) {
      const key = JSON.stringify(chapter);
      if (stopping.signal.aborted || told.has(key)) return;
      told.set(key, true);
      add({ subject: recordSubject(chapter.record), chapter });
      addForEntry(chapter, now() + ENTRY_MS);
    },
    wake() {
      const waiting = early;
      early = [];
      if (stopping.signal.aborted) return;
      for (const { chapter, until } of waiting) addForEntry(chapter, until);
    },
    async stop() {
      stopping.abort();
      untold.length = 0;
      await telling;
    },
  };
}
