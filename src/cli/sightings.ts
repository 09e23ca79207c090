/**
 * What is known of locks from two sides. Helm's records tell which releases are locked, also while Lockkeeper is away;
 * ReleaseLocks add who holds them, what Lockkeeper makes of it, and who waits. Whoever may not read one has the other.
 */
import type { Judgement, Lock } from '../gate/lock.ts';
import type { Driver } from '../helm/release.ts';
import type { Opinion } from './outlook.ts';
import { lockIn, type ReleaseLock } from './release-locks.ts';

export interface Sighting {
  readonly lock: Lock;
  readonly judgement: Opinion;
  readonly waiting: number;
  /** Undefined if there is none, or none that may be read. */
  readonly releaseLock: ReleaseLock | undefined;
}

export interface Sources {
  /** The locks that the records of these drivers tell. */
  readonly locks: readonly Lock[];
  /** The drivers whose records could be read. */
  readonly drivers: readonly Driver[];
  readonly releaseLocks: readonly ReleaseLock[];
}

/** By namespace and name. @param judge without Lockkeeper, by the age of the record alone */
export function combine(
  { locks, drivers, releaseLocks }: Sources,
  judge: (lock: Lock) => Judgement,
): readonly Sighting[] {
  const byRecord = new Map(releaseLocks.map((one) => [one.spec.recordUID, one]));
  // One whose record could be read and is no lock any more is about to go.
  const unseen = releaseLocks.filter(({ spec }) => !drivers.includes(spec.driver)).map(lockIn);
  return [...locks, ...unseen].toSorted(byName).map((lock) => {
    const releaseLock = byRecord.get(lock.revision.uid);
    const known = releaseLock ? { ...lock, holder: lockIn(releaseLock).holder } : lock;
    return {
      lock: known,
      judgement: judgementOf(releaseLock) ?? judge(known),
      waiting: releaseLock?.status?.waiting ?? 0,
      releaseLock,
    };
  });
}

function judgementOf(releaseLock: ReleaseLock | undefined): Opinion | undefined {
  const { verdict, reason = '' } = releaseLock?.status ?? {};
  // When a live one will be stale is Lockkeeper's business, and said in its reason.
  return verdict ? { verdict, reason, staleInSeconds: 0 } : undefined;
}

function byName({ revision: { release: a } }: Lock, { revision: { release: b } }: Lock): number {
  return keyOf(a) < keyOf(b) ? -1 : 1;
}

function keyOf({ namespace, name, driver }: Lock['revision']['release']): string {
  return [namespace, name, driver].join(' ');
}
