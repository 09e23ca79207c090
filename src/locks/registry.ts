/**
 * The pending revisions of the cluster, as one watch tells them. Its size is the number of deploys in flight.
 *
 * It wakes whoever waits for a release and says what is worth a second look. Nothing is ever admitted on its
 * word: a watch may be late or cut.
 */
import { type Driver, type Release, type Revision, releaseKey } from '../helm/release.ts';

export interface Registry {
  /** Takes what a list found in place of all that was known of a driver. Wakes every waiter of that driver. */
  replace(driver: Driver, revisions: readonly Revision[]): void;
  /** A revision is pending; waiters are woken when it is a new one. */
  put(revision: Revision): void;
  /** A revision is pending no more, or gone; waiters are woken. */
  remove(revision: Revision): void;
  /** Whether a revision was last seen pending. */
  isPending(release: Release, revision: number): boolean;
  /** Whether the record with this uid was last seen pending. */
  hasRecord(uid: string): boolean;
  /** Resolves at the next change of this release's pending revisions. Call `cancel` when done with it. */
  nextChange(release: Release): Change;
  /** Whether each of the drivers had its first list. */
  isComplete(drivers: readonly Driver[]): boolean;
}

export interface Change {
  readonly happened: Promise<void>;
  cancel(): void;
}

/** @param onAppeared called with the uid of each pending record when it is first seen */
export function createRegistry(onAppeared: (uid: string) => void): Registry {
  const pending = new Map<string, Map<number, Revision>>();
  const uids = new Set<string>();
  const waiters = new Map<string, Set<() => void>>();
  const listed = new Set<Driver>();

  function wake(key: string): void {
    const waiting = waiters.get(key);
    waiters.delete(key);
    for (const resolve of waiting ?? []) resolve();
  }

  function add(key: string, revision: Revision): void {
    const revisions = pending.get(key) ?? new Map<number, Revision>();
    pending.set(key, revisions.set(revision.number, revision));
    uids.add(revision.uid);
    onAppeared(revision.uid);
  }

  function forget(driver: Driver): void {
    for (const [key, revisions] of pending) {
      if (!key.startsWith(`${driver}/`)) continue;
      for (const { uid } of revisions.values()) uids.delete(uid);
      pending.delete(key);
    }
  }

  return {
    replace(driver, revisions) {
      forget(driver);
      for (const revision of revisions) add(releaseKey(revision.release), revision);
      listed.add(driver);
      for (const key of waiters.keys()) if (key.startsWith(`${driver}/`)) wake(key);
    },
    put(revision) {
      if (uids.has(revision.uid)) return;
      const key = releaseKey(revision.release);
      add(key, revision);
      wake(key);
    },
    remove(revision) {
      const key = releaseKey(revision.release);
      const revisions = pending.get(key);
      uids.delete(revision.uid);
      revisions?.delete(revision.number);
      if (revisions?.size === 0) pending.delete(key);
      wake(key);
    },
    isPending: (release, revision) => pending.get(releaseKey(release))?.has(revision) ?? false,
    hasRecord: (uid) => uids.has(uid),
    nextChange(release) {
      const key = releaseKey(release);
      const { promise, resolve } = Promise.withResolvers<void>();
      const waiting = waiters.get(key) ?? new Set();
      waiters.set(key, waiting.add(resolve));
      return {
        happened: promise,
        cancel: () => {
          waiting.delete(resolve);
          if (waiting.size === 0 && waiters.get(key) === waiting) waiters.delete(key);
        },
      };
    },
    isComplete: (drivers) => drivers.every((driver) => listed.has(driver)),
  };
}
