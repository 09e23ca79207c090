/** What the gate needs of the rest, and is given as arguments. */
import type { Neighbours, Release, Revision } from '../helm/release.ts';
import type { Deploy } from './decision.ts';
import type { Holder, Lock } from './lock.ts';

/** Live reads of the cluster. They reject when it cannot be read. */
export interface Reader {
  /** All revisions, newest first. */
  all(release: Release, signal: AbortSignal): Promise<readonly Revision[]>;
  /** One revision, or undefined. */
  at(release: Release, number: number, signal: AbortSignal): Promise<Revision | undefined>;
  /**
   * What decides about a revision that is to be created, with as few requests as that takes. Of what is stored above its
   * number, it is certain to be seen only if the revision just below is gone; {@link all} sees everything.
   */
  neighbours(release: Release, number: number, signal: AbortSignal): Promise<Neighbours>;
}

/** What the gate asks of the watch's view: when to look again, never whether to admit. */
export interface Watched {
  /**
   * Whether this revision may be stored, whatever its status is now: it was seen pending, or a later one was.
   * Worth a live read, no more: the release may have been uninstalled since.
   */
  mayExist(release: Release, revision: number): boolean;
  /** The next change of this release's pending revisions. Call `cancel` when done with it. */
  nextChange(release: Release): Change;
}

export interface Change {
  readonly happened: Promise<void>;
  hasHappened(): boolean;
  cancel(): void;
}

/** One revision of one release, as one stored object. A claim or a record about any other says nothing of this one. */
export type RecordIdentity = Pick<Revision, 'release' | 'number' | 'uid'>;

/** Reads what is recorded of a record, unless that is known already. The next `lockOf` and `holderOf` go by it. */
export type ReadRecorded = (record: RecordIdentity, signal: AbortSignal) => Promise<void>;

export interface KnownHolders {
  /** A record was allowed to be created; it may or may not appear. */
  admitted(deploy: Pick<Deploy, 'release' | 'revision' | 'uid' | 'client'>): void;
  /** The client that created this record; undefined if it is unknown, or what is known of it disagrees. */
  holderOf(record: RecordIdentity): Holder | undefined;
  /** A pending revision as the lock that it is: with its holder, and whether that is dead, as far as it is known. */
  lockOf(revision: Revision): Lock;
  /**
   * Until when, by the clock of waits, a record of this release may still be on its way to storage: one that
   * was admitted a moment ago and has not appeared. Undefined if none is.
   */
  onTheWayUntil(release: Release): number | undefined;
}
