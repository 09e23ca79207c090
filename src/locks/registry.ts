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
  /** A revision is pending, or was written to while it is; waiters are woken when it is a new one. */
  put(revision: Revision): void;
  /** A revision is pending no more, or gone; waiters are woken. */
  remove(revision: Revision): void;
  /** The releases that have a pending revision, which may be shadowed: each once. */
  suspects(): readonly Release[];
  /** The newest pending revision of each release. */
  newestPending(): readonly Candidate[];
  /** Whether each of the drivers had its first list. */
  isComplete(drivers: readonly Driver[]): boolean;
  /** How many lists it has taken. */
  lists(): number;
  /** How many wait for the next change of this release. */
  waiting(release: Release): number;
}

/** A pending revision that may be a lock. */
export interface Candidate {
  readonly revision: Revision;
  /** Whether it was seen to be created, as the newest. One that a list found may be shadowed by what is not pending. */
  readonly seenCreated: boolean;
  /**
   * Another number each time that the newest pending revision above it ends: that may be gone, or still be there and shadow it. What
   * was known of it before tells nothing now. 0 for one that never had any above it.
   */
  readonly uncovered: number;
}

/** Releases whose newest revision is remembered; forgetting one costs the loser of a race some words. */
const MAX_REMEMBERED = 10_000;

export interface RegistryListeners {
  /** Told of each pending record, also of those that were seen before. */
  readonly onAppeared: (revision: Revision) => void;
  /** Something has changed. */
  readonly onChange: () => void;
}

export function createRegistry({ onAppeared, onChange }: RegistryListeners): Registry {
  const pending = new Map<string, Revision>(); // by uid
  const newestSeen = new LRUCache<string, number>({ max: MAX_REMEMBERED });
  const newest = new Map<string, Candidate>(); // by release
  const counts = new Map<string, number>(); // of pending revisions, by release
  const waiters = new Set<{ readonly release: Release; readonly resolve: () => void }>();
  const listed = new Set<Driver>();
  let lists = 0;
  let uncoverings = 0;

  function add(revision: Revision, seenCreated: boolean, uncovered = 0): void {
    const key = releaseKey(revision.release);
    newestSeen.set(key, Math.max(revision.number, newestSeen.get(key) ?? 0));
    if (!pending.has(revision.uid)) counts.set(key, (counts.get(key) ?? 0) + 1);
    pending.set(revision.uid, revision);
    const isAbove = revision.number > (newest.get(key)?.revision.number ?? 0);
    if (seenCreated || isAbove) newest.set(key, { revision, seenCreated, uncovered });
    onAppeared(revision);
  }

  function drop({ uid, release }: Revision): void {
    const key = releaseKey(release);
    const left = (counts.get(key) ?? 0) - Number(pending.delete(uid));
    counts.set(key, left);
    if (left > 0) {
      if (newest.get(key)?.revision.uid === uid) uncover(key);
      return;
    }
    // Most releases have no pending revision for weeks.
    counts.delete(key);
    newest.delete(key);
  }

  function uncover(key: string): void {
    const below = [...pending.values()].filter(({ release }) => releaseKey(release) === key);
    const revision = below.reduce((one, other) => (other.number > one.number ? other : one));
    uncoverings += 1;
    newest.set(key, { revision, seenCreated: false, uncovered: uncoverings });
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
      const before = [...pending.values()].filter(({ release }) => release.driver === driver);
      const known = new Map([...newest.values()].map(({ revision, uncovered }) => [revision.uid, uncovered]));
      for (const revision of before) drop(revision);
      for (const revision of revisions) add(revision, false, known.get(revision.uid));
      listed.add(driver);
      lists += 1;
      wake((release) => release.driver === driver);
      onChange();
    },
    put(revision) {
      if (pending.has(revision.uid)) pending.set(revision.uid, revision);
      else {
        add(revision, true);
        wake(isSame(revision.release));
      }
      onChange();
    },
    remove(revision) {
      drop(revision);
      wake(isSame(revision.release));
      onChange();
    },
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
    newestPending: () =>
      [...newest.values()].map((candidate) => ({
        ...candidate,
        revision: pending.get(candidate.revision.uid) as Revision, // as it was last written
      })),
    isComplete: (drivers) => drivers.every((driver) => listed.has(driver)),
    lists: () => lists,
  };
}

function isSame(release: Release): (other: Release) => boolean {
  const key = releaseKey(release);
  return (other) => releaseKey(other) === key;
}
