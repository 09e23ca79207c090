/**
 * The locks of the cluster as last known, at no cost: for those who look often, and act only after a look of their own.
 *
 * The watch tells of pending revisions, and the newest of a release is its lock. Whether a revision that a list found is
 * the newest, the watch cannot tell: one that is not pending may be above it. So that is read once, for all at once; again
 * after each list, because anything may have happened before it; and now and then.
 */
import type { Clock } from '../clock.ts';
import type { Lock } from '../gate/lock.ts';
import type { KnownHolders } from '../gate/ports.ts';
import { type Driver, type Release, releaseKey } from '../helm/release.ts';
import { startReconciler } from '../reconciler.ts';
import type { Part } from './find.ts';
import type { Candidate, Registry } from './registry.ts';

export interface CurrentLocks {
  /** As the watches told last; those that are not sure yet are left out. */
  locks(): readonly Lock[];
  /** Whether it is known of every pending revision whether it is a lock: what is not among the locks is none. */
  isComplete(): boolean;
  /** Pending revisions have changed. */
  wake(): void;
  stop(): Promise<void>;
}

export interface CurrentLocksOptions {
  readonly drivers: readonly Driver[];
  readonly registry: Pick<Registry, 'newestPending' | 'isComplete' | 'lists'>;
  readonly holders: Pick<KnownHolders, 'lockOf'>;
  /** The newest revision of each of these releases, read live. */
  readonly readNewest: (releases: readonly Release[], signal: AbortSignal) => AsyncIterable<Part>;
  /** The locks may have changed. */
  readonly onChange: () => void;
  readonly onError: (error: unknown) => void;
  /** How long it rests after each look, which is at all locks: {@link startReconciler}. */
  readonly restMs?: () => number;
  readonly clock: Clock;
  readonly random: () => number;
}

/** What was deleted above a pending revision, nobody tells. */
const RECHECK_MS = 300_000;

/** Whether a pending revision was its release's newest, and what that rests on. */
interface Opinion extends Pick<Candidate, 'uncovered'> {
  readonly isNewest: boolean;
  /** How many lists the registry had taken by then. */
  readonly lists: number;
  /** By the clock of waits. */
  readonly at: number;
}

export function createCurrentLocks(options: CurrentLocksOptions): CurrentLocks {
  const { drivers, registry, holders, readNewest, onChange, clock } = options;
  const opinions = new Map<string, Opinion>(); // by the uid of the record

  /** What was seen to be created as the newest is so; of the others, what was read counts until it is read again. */
  function candidates(): readonly Candidate[] {
    const all = registry.newestPending();
    const uncovered = new Map(all.map((candidate) => [candidate.revision.uid, candidate.uncovered]));
    for (const [uid, opinion] of opinions) if (uncovered.get(uid) !== opinion.uncovered) opinions.delete(uid);
    for (const candidate of all) if (candidate.seenCreated) note(candidate, true, registry.lists());
    return all;
  }

  function note({ revision, uncovered }: Candidate, isNewest: boolean, lists: number): void {
    opinions.set(revision.uid, { isNewest, lists, at: clock.now(), uncovered });
  }

  function isDue({ revision, seenCreated }: Candidate): boolean {
    if (seenCreated) return false;
    const opinion = opinions.get(revision.uid);
    return opinion?.lists !== registry.lists() || clock.now() - opinion.at >= RECHECK_MS;
  }

  async function verify(signal: AbortSignal): Promise<number> {
    const due = candidates().filter(isDue);
    if (due.length === 0) return RECHECK_MS;
    const lists = registry.lists();
    const asked = new Map(due.map((candidate) => [releaseKey(candidate.revision.release), candidate]));
    const errors: unknown[] = [];
    for await (const part of readNewest(
      due.map(({ revision }) => revision.release),
      signal,
    )) {
      if ('error' in part) {
        errors.push(part.error);
        continue;
      }
      const uids = new Set(part.newest.map(({ uid }) => uid));
      for (const release of part.releases) {
        const candidate = asked.get(releaseKey(release)) as Candidate;
        note(candidate, uids.has(candidate.revision.uid), lists);
      }
      onChange();
    }
    if (errors.length > 0) throw errors[0]; // to be read again
    return RECHECK_MS;
  }

  const reconciler = startReconciler({ ...options, reconcile: verify });
  return {
    locks: () =>
      candidates()
        .filter(({ revision }) => opinions.get(revision.uid)?.isNewest)
        .map(({ revision }) => holders.lockOf(revision)),
    isComplete: () =>
      registry.isComplete(drivers) && candidates().every(({ revision }) => opinions.has(revision.uid)),
    wake: reconciler.wake,
    stop: reconciler.stop,
  };
}
