/** Writes the story of the locks as Events, behind everybody's back: no answer waits for it, or fails by it. */
import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import type { Chapter } from '../gate/story.ts';
import type { EventRecorder } from '../kubernetes/events.ts';

export interface Storyteller {
  tell(chapter: Chapter): void;
  /** Drops what has not been told. */
  stop(): Promise<void>;
}

/** Who is not told by then is not worth the memory. */
const MAX_UNTOLD = 100;

const EVENT_MS = 2_000;

/** The API server asks again when it is refused, and programs try again at once: for so long the same is told once. */
const SAME_MS = 10_000;

const MAX_TOLD = 1_000;

const WARNINGS: readonly Chapter['reason'][] = ['Refused', 'Fenced', 'Ended'];

export function createStoryteller(events: EventRecorder, log: Logger): Storyteller {
  const untold: Chapter[] = [];
  const told = new LRUCache<string, true>({ max: MAX_TOLD, ttl: SAME_MS });
  const stopping = new AbortController();
  let telling: Promise<void> | undefined;
  let dropped = false;

  async function tellAll(): Promise<void> {
    for (let chapter = untold.shift(); chapter !== undefined; chapter = untold.shift()) await write(chapter);
    dropped = false;
    telling = undefined;
  }

  async function write({ record, reason, message }: Chapter): Promise<void> {
    const { driver, ...object } = record;
    const kind = driver === 'secrets' ? 'Secret' : 'ConfigMap';
    const type = WARNINGS.includes(reason) ? 'Warning' : 'Normal';
    const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(EVENT_MS)]);
    try {
      await events.record({ kind, ...object }, { type, reason, message }, signal);
    } catch (error) {
      if (stopping.signal.aborted) return;
      log.warn({ ...record, event: reason, reason: String(error) }, 'no Event could be recorded');
    }
  }

  return {
    tell(chapter) {
      const key = JSON.stringify(chapter);
      if (stopping.signal.aborted || told.has(key)) return;
      told.set(key, true);
      if (untold.length >= MAX_UNTOLD) {
        if (!dropped) log.warn({ untold: untold.length }, 'too many Events at once: some are not recorded');
        dropped = true;
        return;
      }
      untold.push(chapter);
      telling ??= tellAll();
    },
    async stop() {
      stopping.abort();
      untold.length = 0;
      await telling;
    },
  };
}
