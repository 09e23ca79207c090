/**
 * Who holds a lock: the client whose review named the uid that the pending record then really has.
 *
 * A review can be forged, but the uid of a record that is yet to be stored cannot be guessed: so a claim counts
 * only if it was made before a record with that uid was seen, and the first claim stays. (While the watch is
 * late, a stored record counts as yet to come; a forger can then put a wrong name into words, and no more.)
 */
import { LRUCache } from 'lru-cache';
import type { Client } from '../gate/lock.ts';
import { type Release, releaseKey } from '../helm/release.ts';

export interface Admission {
  readonly release: Release;
  readonly uid: string;
  readonly client: Client;
}

export interface Holders {
  /** A record was allowed to be created; it may or may not appear. */
  admitted(admission: Admission): void;
  /** A record with this uid is stored. */
  appeared(uid: string): void;
  /** The client that created the record with this uid, if this replica admitted it. */
  of(uid: string): Client | undefined;
  /**
   * Until when (milliseconds since 1970) a record of this release may still be on its way to storage: one
   * that was admitted a moment ago and has not appeared. Undefined if none is.
   */
  onTheWayUntil(release: Release): number | undefined;
}

/** So many names are remembered; a forged flood pushes out names, which only costs words. */
const MAX_HOLDERS = 10_000;

/** How long an admitted record has to be stored and seen; both together take some milliseconds. */
const ON_THE_WAY_MS = 1_000;

export function createHolders(isStored: (uid: string) => boolean, now: () => number): Holders {
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
    of: (uid) => admissions.get(uid)?.client,
    onTheWayUntil(release) {
      const arrival = onTheWay.get(releaseKey(release));
      return arrival !== undefined && now() < arrival.until ? arrival.until : undefined;
    },
  };
}
