/**
 * The pending revisions of the cluster, as one watch tells them. Its size is the number of deploys in flight.
 *
 * It wakes whoever waits for a release and says what is worth a second look. Nothing is ever admitted on its
 * word: a watch may be late or cut.
 */
import { LRUCache } from 'lru-cache';
import type { Watched } from '../gate/ports.ts';
import { type Driver, type Release, type Revision, releaseKey } from '../helm/release.ts';

export interface Registry extends Watched {
  /** Takes what a list found in place of all that was known of a driver. Wakes every waiter of that driver. */
  replace(driver: Driver, revisions: readonly Revision[]): void;
  /** A revision is pending; waiters are woken when it is a new one. */
  put(revision: Revision): void;
  /** A revision is pending no more, or gone; waiters are woken. */
  remove(revision: Revision): void;
  /** Whether the record with this uid was last seen pending. */
  hasRecord(uid: string): boolean;
  /** The releases that have a pending revision, which may be shadowed: each once. */
  suspects(): readonly Release[];
  /** Whether each of the drivers had its first list. */
  isComplete(drivers: readonly Driver[]): boolean;
}

/** Releases whose newest revision is remembered; forgetting one costs the loser of a race some words. */
const MAX_REMEMBERED = 10_000;

/** @param onAppeared called with the uid of each pending record when it is first seen */
export function createRegistry(onAppeared: (uid: string) => void): Registry {
  const pending = new Map<string, Revision>(); // by uid
  const newestSeen = new LRUCache<string, number>({ max: MAX_REMEMBERED });
  const waiters = new Set<{ readonly release: Release; readonly resolve: () => void }>();
  const listed = new Set<Driver>();

  function add(revision: Revision): void {
    const key = releaseKey(revision.release);
    newestSeen.set(key, Math.max(revision.number, newestSeen.get(key) ?? 0));
    pending.set(revision.uid, revision);
    onAppeared(revision.uid);
  }

  function wake(concerns: (release: Release) => boolean): void {
    for (const waiter of waiters) {
      if (!concerns(waiter.release)) continue;
      waiters.delete(waiter);
      waiter.resolve();
    }
  }

  return {
    replace(driver, revisions) {
      for (const { release, uid } of pending.values()) if (release.driver === driver) pending.delete(uid);
      for (const revision of revisions) add(revision);
      listed.add(driver);
      wake((release) => release.driver === driver);
    },
    put(revision) {
      if (pending.has(revision.uid)) return;
      add(revision);
      wake(isSame(revision.release));
    },
    remove(revision) {
      pending.delete(revision.uid);
      wake(isSame(revision.release));
    },
    hasRecord: (uid) => pending.has(uid),
    mayExist: (release, revision) => revision <= (newestSeen.get(releaseKey(release)) ?? 0),
    nextChange(release) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const waiter = { release, resolve };
      waiters.add(waiter);
      return {
        happened: promise,
        hasHappened: () => !waiters.has(waiter),
        cancel: () => waiters.delete(waiter),
      };
    },
    waiting: (release) => [...waiters].map((waiter) => waiter.release).filter(isSame(release)).length,
    suspects: () => [
      ...new Map([...pending.values()].map(({ release }) => [releaseKey(release), release])).values(),
    ],
    isComplete: (drivers) => drivers.every((driver) => listed.has(driver)),
  };
}

function isSame(release: Release): (other: Release) => boolean {
  const key = releaseKey(release);
  return (other) => releaseKey(other) === key;
}
