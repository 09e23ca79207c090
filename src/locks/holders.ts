/**
 * Who holds a lock: the client whose review named the uid that the pending record then really has.
 *
 * A review can be forged, but the uid of a record that is yet to be stored cannot be guessed: so a claim counts
 * only if it was made before a record with that uid was seen, and the first claim stays. (While the watch is
 * late, a stored record counts as yet to come; a forger can then put a wrong name into words, and no more.)
 */
import { LRUCache } from 'lru-cache';
import type { Client, Death, Pod } from '../gate/lock.ts';
import type { KnownHolders } from '../gate/ports.ts';
import { releaseKey } from '../helm/release.ts';

export interface Holders extends KnownHolders {
  /** A record with this uid is stored. */
  appeared(uid: string): void;
}

/** So many names are remembered; a forged flood pushes out names, which only costs words. */
const MAX_HOLDERS = 10_000;

/** How long an admitted record has to be stored and seen; both together take some milliseconds. */
const ON_THE_WAY_MS = 1_000;

export interface HoldersOptions {
  /** Whether the record with this uid was seen. */
  readonly isStored: (uid: string) => boolean;
  /** The proof that a pod has ended, if there is one. */
  readonly deathOf: (pod: Pod) => Death | undefined;
  /** Milliseconds, never going back. */
  readonly now: () => number;
}

export function createHolders({ isStored, deathOf, now }: HoldersOptions): Holders {
  const admissions = new LRUCache<string, { client: Client; key: string }>({ max: MAX_HOLDERS });
  const onTheWay = new LRUCache<string, { uid: string; until: number }>({ max: MAX_HOLDERS });

  return {
    admitted({ release, uid, client }) {
      if (isStored(uid) || admissions.has(uid)) return;
      const key = releaseKey(release);
      admissions.set(uid, { client, key });
      onTheWay.set(key, { uid, until: now() + ON_THE_WAY_MS });
    },
    appeared(uid) {
      const key = admissions.get(uid)?.key;
      if (key !== undefined && onTheWay.get(key)?.uid === uid) onTheWay.delete(key);
    },
    lockOf(revision) {
      const holder = admissions.get(revision.uid)?.client;
      const death = holder?.pod && deathOf(holder.pod);
      return { revision, holder, ...(death && { death }) };
    },
    onTheWayUntil(release) {
      const arrival = onTheWay.get(releaseKey(release));
      return arrival !== undefined && now() < arrival.until ? arrival.until : undefined;
    },
  };
}
