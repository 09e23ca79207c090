/**
 * Who holds a lock: the client whose review named the record that was then stored.
 *
 * A review can be forged, but the uid of a record that is yet to be stored cannot be guessed. So the gate reads the cluster
 * before it admits, and a claim counts for one record of one release alone: a review about any other release, or with the uid
 * of a record that is stored already, names nobody. A replica that did not see the review reads the holder from the
 * ReleaseLock.
 */
import { LRUCache } from 'lru-cache';
import type { Client, Death, Holder, Lock, Pod } from '../gate/lock.ts';
import type { KnownHolders, RecordIdentity } from '../gate/ports.ts';
import { type Revision, releaseKey } from '../helm/release.ts';
import type { SilentSince } from './silence.ts';

export interface Holders extends KnownHolders {
  /** This record is stored. */
  appeared(record: RecordIdentity): void;
  /** The client whose review named this record, at this replica; undefined until its pod was looked at. */
  claimOf(record: RecordIdentity): Holder | undefined;
  /** Whether a client has claimed this record here, and its pod is still being looked at. */
  isBeingRead(record: RecordIdentity): boolean;
}

/** So many holders are remembered. A flood of forged reviews pushes some out: their locks then have an unknown holder. */
const MAX_HOLDERS = 10_000;

/** How long an admitted record has to be stored and seen; both together take some milliseconds. */
const ON_THE_WAY_MS = 1_000;

/** What the metadata of a pod say of the holder in it. */
export type PodFacts = Pick<Holder, 'podKind' | 'neverAutoClear'>;

export interface HoldersOptions {
  /** What the ReleaseLock of this record says, if there is one. */
  readonly recordOf: (record: RecordIdentity) => Pick<Lock, 'holder'> | undefined;
  /** Reads what kind of pod this is. A pod that cannot be read counts as a gateway pod. */
  readonly describePod: (pod: Pod) => Promise<PodFacts>;
  /** More is known of a holder. */
  readonly onDescribed: () => void;
  /** The proof that a pod has ended, if there is one. */
  readonly deathOf: (pod: Pod) => Death | undefined;
  /** Since when nobody has written to a record, in milliseconds by `now`. */
  readonly silentSince: SilentSince;
  /** Milliseconds, never going back. */
  readonly now: () => number;
}

interface Claim {
  holder: Holder;
  isBeingRead: boolean;
}

export function createHolders(options: HoldersOptions): Holders {
  const { recordOf, describePod, onDescribed, deathOf, silentSince, now } = options;
  const claims = new LRUCache<string, Claim>({ max: MAX_HOLDERS });
  const onTheWay = new LRUCache<string, { uid: string; until: number }>({ max: MAX_HOLDERS });

  /** No answer waits for this. */
  async function describe(claim: Claim, pod: Pod): Promise<void> {
    try {
      claim.holder = { ...claim.holder, ...(await describePod(pod)) };
    } catch {
      // Without its metadata it counts as a gateway pod: nothing is concluded from its end.
    }
    claim.isBeingRead = false;
    onDescribed();
  }

  function holderOf(record: RecordIdentity): Holder | undefined {
    const claimed = claims.get(keyOf(record))?.holder;
    const recorded = recordOf(record)?.holder;
    if (claimed === undefined || recorded === undefined) return recorded ?? claimed;
    return isSameClaim(claimed, recorded) ? recorded : undefined;
  }

  return {
    admitted({ release, revision: number, uid, client }) {
      const key = keyOf({ release, number, uid });
      if (claims.has(key)) return;
      const claim: Claim = { holder: client, isBeingRead: client.pod !== undefined };
      claims.set(key, claim);
      onTheWay.set(releaseKey(release), { uid, until: now() + ON_THE_WAY_MS });
      if (client.pod !== undefined) void describe(claim, client.pod);
    },
    appeared({ release, uid }) {
      const key = releaseKey(release);
      if (onTheWay.get(key)?.uid === uid) onTheWay.delete(key);
    },
    holderOf,
    lockOf(revision: Revision) {
      // The client that made a revision need not be the one that uninstalls it, and may have ended long ago.
      const holder = revision.status === 'uninstalling' ? undefined : holderOf(revision);
      const death = holder?.pod && deathOf(holder.pod);
      const isListed = recordOf(revision) !== undefined;
      return {
        revision,
        holder,
        silentSince: silentSince(revision),
        ...(death && { death }),
        ...(isListed && { isListed: true }),
      };
    },
    claimOf(record) {
      const claim = claims.get(keyOf(record));
      return claim?.isBeingRead === false ? claim.holder : undefined;
    },
    isBeingRead: (record) => claims.get(keyOf(record))?.isBeingRead ?? false,
    onTheWayUntil(release) {
      const arrival = onTheWay.get(releaseKey(release));
      return arrival !== undefined && now() < arrival.until ? arrival.until : undefined;
    },
  };
}

function keyOf({ release, number, uid }: RecordIdentity): string {
  return `${releaseKey(release)}/${number} ${uid}`;
}

function isSameClaim(one: Client, other: Client): boolean {
  return one.user === other.user && one.pod?.uid === other.pod?.uid;
}
