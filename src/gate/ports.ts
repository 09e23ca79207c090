/** What the gate needs of the rest, and is given as arguments. */
import type { Release, Revision } from '../helm/release.ts';
import type { Deploy } from './decision.ts';
import type { Client } from './lock.ts';

/** Live reads of the cluster. They reject when it cannot be read. */
export interface Reader {
  /** All revisions, newest first. */
  all(release: Release, signal: AbortSignal): Promise<readonly Revision[]>;
  /** The newest revision with a lower number, or undefined. */
  newestBelow(release: Release, number: number, signal: AbortSignal): Promise<Revision | undefined>;
}

/** What the gate asks of the watch's view: when to look again, never whether to admit. */
export interface Watched {
  /** Whether this revision or a later one may be stored already. */
  mayExist(release: Release, revision: number): boolean;
  nextChange(release: Release): Change;
  /** How many calls wait for a change of this release. */
  waiting(release: Release): number;
}

export interface Change {
  readonly happened: Promise<void>;
  hasHappened(): boolean;
  cancel(): void;
}

export interface KnownHolders {
  admitted(deploy: Deploy): void;
  of(uid: string): Client | undefined;
  onTheWayUntil(release: Release): number | undefined;
}
