/** Annotations by which people say what may be done to a lock. */
import type { Review } from './admission-review.ts';

/** On the record of a live lock, it says that the record may be deleted all the same. */
export const ALLOW_DELETE = 'lockkeeper.dev/allow-delete';

/** On the ReleaseLock of a live lock, it says that the lock may be cleared all the same, by whoever has the right. */
export const FORCE = 'lockkeeper.dev/force';

/** On the ReleaseLock of a lock that is to be cleared: why, in the words of the person who clears it. */
export const REASON = 'lockkeeper.dev/reason';

/** As people mark things: `=true`, or with nothing at all; and as they take it back. */
export function isMarked(annotations: Review['annotations'], mark: string): boolean {
  return mark in annotations && annotations[mark] !== 'false';
}
