/** What a command that waits does about a lock that is in its way. */
import { outlookOf } from './outlook.ts';
import { isForced, type ReleaseLock } from './release-locks.ts';
import { forceRight, rightInWords } from './rights.ts';
import type { Sighting } from './sightings.ts';
import type { Presence } from './view.ts';
import { clearCommand, named } from './words.ts';

export type Way =
  /** It ends by itself, or is none of our business. */
  | { readonly kind: 'wait' }
  /** It is stale, and nobody but a person clears it; why, in words. */
  | { readonly kind: 'leave'; readonly why: string }
  /** Lockkeeper judges, and clears it. */
  | { readonly kind: 'ask-lockkeeper'; readonly releaseLock: ReleaseLock }
  /** There is no Lockkeeper. */
  | { readonly kind: 'edit-record' };

/**
 * The verdict says whether it is worth to try. Whether the lock is cleared is decided once more: by Lockkeeper, or on the very
 * version of the record that is edited.
 */
export function wayToClear(sighting: Sighting, lockkeeper: Presence): Way {
  const { lock, judgement, releaseLock } = sighting;
  if (outlookOf(judgement) !== 'stale') return { kind: 'wait' };
  if (lock.holder?.neverAutoClear)
    return leave(sighting, 'this installation lets nobody but a person clear it');
  if (releaseLock !== undefined) {
    return isForced(releaseLock)
      ? leave(sighting, 'somebody has marked it, and is about to clear it by force')
      : { kind: 'ask-lockkeeper', releaseLock };
  }
  switch (lockkeeper) {
    case 'absent':
      return { kind: 'edit-record' };
    case 'there':
      return { kind: 'wait' }; // Lockkeeper has not judged it
    case 'hidden': {
      const { namespace } = lock.revision.release;
      const right = { ...forceRight(namespace), verb: 'list', resource: 'releaselocks' };
      return leave(sighting, `whether Lockkeeper says so cannot be seen without ${rightInWords(right)}`);
    }
  }
}

function leave({ lock }: Sighting, why: string): Way {
  const what = `the lock of release ${named(lock.revision.release)} is stale, and is left alone: ${why}`;
  return { kind: 'leave', why: `${what}. To clear it: ${clearCommand(lock)}` };
}
