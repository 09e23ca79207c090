/**
 * Who holds a lock: the client whose review named the uid that the pending record then really has.
 *
 * A review can be forged, but the uid of a record that is yet to be stored cannot be guessed: so a claim counts
 * only if it was made before a record with that uid was seen, and by whoever would have seen it; and the first claim
 * stays. Who was not here then, or was at another replica, reads it from the ReleaseLock.
 */
import { LRUCache } from 'lru-cache';
import type { Client, Death, Lock, Pod } from '../gate/lock.ts';
import type { KnownHolders } from '../gate/ports.ts';
import { type Revision, releaseKey } from '../helm/release.ts';

export interface Holders extends KnownHolders {
  /** A record with this uid is stored. */
  appeared(uid: string): void;
  /** Whose review named this record, at this replica. */
  claimOf(uid: string): Client | undefined;
}

/** So many names are remembered; a forged flood pushes out names, which only costs words. */
const MAX_HOLDERS = 10_000;

/** How long an admitted record has to be stored and seen; both together take some milliseconds. */
const ON_THE_WAY_MS = 1_000;

export interface HoldersOptions {
  /** Whether the record with this uid was seen. */
  readonly isStored: (uid: string) => boolean;
  /** Whether all that are stored were seen at all. */
  readonly isComplete: () => boolean;
  /** What the ReleaseLock of this revision says, if there is one. */
  readonly recordOf: (revision: Revision) => Pick<Lock, 'holder'> | undefined;
  /** The proof that a pod has ended, if there is one. */
  readonly deathOf: (pod: Pod) => Death | undefined;
  /** Milliseconds, never going back. */
  readonly now: () => number;
}

export function createHolders(options: HoldersOptions): Holders {
  const { isStored, isComplete, recordOf, deathOf, now } = options;
  const admissions = new LRUCache<string, { client: Client | undefined; key: string }>({ max: MAX_HOLDERS });
  const onTheWay = new LRUCache<string, { uid: string; until: number }>({ max: MAX_HOLDERS });

  return {
    admitted({ release, uid, client }) {
      if (isStored(uid) || admissions.has(uid)) return;
      const key = releaseKey(release);
      admissions.set(uid, { client: isComplete() ? client : undefined, key });
      onTheWay.set(key, { uid, until: now() + ON_THE_WAY_MS });
    },
    appeared(uid) {
      const key = admissions.get(uid)?.key;
      if (key !== undefined && onTheWay.get(key)?.uid === uid) onTheWay.delete(key);
    },
    lockOf(revision) {
      const recorded = recordOf(revision);
      const holder = admissions.get(revision.uid)?.client ?? recorded?.holder;
      const death = holder?.pod && deathOf(holder.pod);
      return { revision, holder, ...(death && { death }), ...(recorded && { isListed: true }) };
    },
    claimOf: (uid) => admissions.get(uid)?.client,
    onTheWayUntil(release) {
      const arrival = onTheWay.get(releaseKey(release));
      return arrival !== undefined && now() < arrival.until ? arrival.until : undefined;
    },
  };
}
