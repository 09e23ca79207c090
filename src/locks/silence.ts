/**
 * Since when nobody has written to a record, by a clock that never goes back.
 *
 * A record carries the time of its last write, as some API server stamped it. How long ago that was is worked out once, when the
 * write is first seen, and from the earliest of all clocks that are known: a clock that is ahead makes no live lock old. From then
 * on the silence grows by our own clock alone, and no answer moves it.
 */
import { LRUCache } from 'lru-cache';
import type { Revision } from '../helm/release.ts';

export interface SilenceOptions {
  /** Milliseconds, never going back. */
  readonly now: () => number;
  /** Milliseconds since 1970, by the clock that is furthest behind. */
  readonly earliestDate: () => number;
}

/** In milliseconds by `now`. */
export type SilentSince = (revision: Revision) => number;

/** Writes remembered. Of one that is pushed out, the silence is worked out again from its date. */
const MAX_REMEMBERED = 20_000;

export function createSilence({ now, earliestDate }: SilenceOptions): SilentSince {
  const firstSeen = new LRUCache<string, number>({ max: MAX_REMEMBERED });
  return ({ uid, lastWriteAt }) => {
    const key = `${uid} ${lastWriteAt}`;
    const known = firstSeen.get(key);
    if (known !== undefined) return known;
    // A record that carries no time is not old.
    const passed = lastWriteAt === 0 ? 0 : Math.max(0, earliestDate() - lastWriteAt);
    const since = now() - passed;
    firstSeen.set(key, since);
    return since;
  };
}
