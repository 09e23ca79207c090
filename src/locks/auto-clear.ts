/** Which locks of a namespace are cleared with nobody asking: its own annotation decides before `LOCKKEEPER_AUTO_CLEAR`. */
import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import { AUTO_CLEAR, type AutoClear } from '../gate/decision.ts';

/** On a Namespace: `off`, `dead-holder` or `expired`. */
export const AUTO_CLEAR_ANNOTATION = 'lockkeeper.dev/auto-clear';

export interface AutoClearOptions {
  /** Where a namespace does not say. */
  readonly fallback: AutoClear;
  /** The annotations of a namespace, read live. */
  readonly readAnnotations: (
    namespace: string,
    signal: AbortSignal,
  ) => Promise<Readonly<Record<string, string>>>;
  /** Milliseconds, never going back. */
  readonly now: () => number;
  readonly log: Logger;
}

/** A stale lock is looked at again and again; a person who annotates a namespace waits no longer than this. */
const REMEMBERED_MS = 5_000;

const MAX_REMEMBERED = 1_000;

/** What cannot be read, or says something else, counts as `off`: a lock that is left is better than one that is ended. */
export function createAutoClear({ fallback, readAnnotations, now, log }: AutoClearOptions) {
  const known = new LRUCache<string, AutoClear>({
    max: MAX_REMEMBERED,
    ttl: REMEMBERED_MS,
    ttlResolution: 0,
    perf: { now },
  });
  const problems = new LRUCache<string, string>({ max: MAX_REMEMBERED });

  function report(namespace: string, reason: string): AutoClear {
    if (problems.get(namespace) !== reason) {
      log.warn({ namespace, reason }, 'no lock of this namespace is cleared by itself');
    }
    problems.set(namespace, reason);
    return 'off';
  }

  async function read(namespace: string, signal: AbortSignal): Promise<AutoClear> {
    try {
      const stated = (await readAnnotations(namespace, signal))[AUTO_CLEAR_ANNOTATION];
      if (stated === undefined) return fallback;
      const found = AUTO_CLEAR.find((value) => value === stated);
      const wrong = `its annotation ${AUTO_CLEAR_ANNOTATION} is ${JSON.stringify(stated)}, but must be one of ${AUTO_CLEAR.join(', ')}`;
      return found ?? report(namespace, wrong);
    } catch (error) {
      signal.throwIfAborted();
      return report(namespace, String(error));
    }
  }

  return async (namespace: string, signal: AbortSignal): Promise<AutoClear> => {
    const remembered = known.get(namespace);
    if (remembered !== undefined) return remembered;
    const found = await read(namespace, signal);
    known.set(namespace, found);
    return found;
  };
}
