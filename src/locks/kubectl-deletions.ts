/**
 * Which ReleaseLocks kubectl may be deleting at this moment. Deleting one clears its lock first, by a webhook: it must be there
 * still when the API server goes on to delete it, or kubectl says that it is not found (seen: in three of four tries). Only a
 * stale lock is cleared so, or one that is marked. All other locks ended by themselves, and nobody waits for their ReleaseLocks.
 */
import { isStale, STALE } from '../gate/doors.ts';
import { FORCE, isMarked } from '../gate/marks.ts';
import type { JudgedLock } from '../gate/words.ts';
import type { ReleaseLock } from '../kubernetes/release-locks.ts';

export interface KubectlDeletions {
  /** What is known of the locks now. */
  note(locks: Iterable<JudgedLock>): void;
  /** How long the ReleaseLock of a lock that has ended is left alone, in milliseconds. */
  graceFor(entry: ReleaseLock): number;
}

const GRACE_MS = 500;

/** @param entries all ReleaseLocks */
export function createKubectlDeletions(entries: ReadonlyMap<string, ReleaseLock>): KubectlDeletions {
  /** The records of locks that were stale when they were last seen, until their ReleaseLocks are gone. */
  const stale = new Set<string>();
  return {
    note(locks) {
      const listed = new Set([...entries.values()].map(({ spec }) => spec?.recordUID));
      for (const uid of stale) if (!listed.has(uid)) stale.delete(uid);
      for (const { lock, judgement } of locks) {
        if (isStale(judgement)) stale.add(lock.revision.uid);
        else stale.delete(lock.revision.uid);
      }
    },
    graceFor({ metadata, spec, status }) {
      const saysStale = STALE.some((verdict) => verdict === status?.verdict);
      const mayBe =
        saysStale || stale.has(spec?.recordUID ?? '') || isMarked(metadata.annotations ?? {}, FORCE);
      return mayBe ? GRACE_MS : 0;
    },
  };
}
