/** What people read when they delete or write a ReleaseLock. */
import { isStale } from './doors.ts';
import type { Judgement, Lock } from './lock.ts';
import { FORCE } from './marks.ts';
import { endLive, type JudgedLock, lockedBy, recordOf, waitOrAsk } from './words.ts';

interface Name {
  readonly namespace: string;
  readonly name: string;
}

/** Only Lockkeeper says who holds a lock. */
export function notYours({ namespace, name }: Name): string {
  return [
    `ReleaseLock ${namespace}/${name} was not written: only lockkeeper records who holds a lock.`,
    'Anybody may change its labels and annotations.',
    `To clear the lock: kubectl delete rlock ${name} -n ${namespace}`,
  ].join(' ');
}

/** The lock is live. */
export function keptAlive({ lock, judgement }: JudgedLock, now: number): string {
  const { verdict, reason } = judgement;
  if (verdict === 'ending') return `${lockedBy(lock, now)} Just wait: ${reason}.`;
  return [lockedBy(lock, now), waitOrAsk(lock, reason), endLive({ ...lock, isListed: true })].join(' ');
}

/** The answer to the mark. */
export function markedToEnd({ namespace, name }: Name): string {
  return `the lock of release ${namespace}/${name} is marked, and may be ended now, even if it is live: kubectl delete rlock ${name} -n ${namespace}`;
}

/** What is deleted told of a revision that locks nothing any more. @param lock of now */
export function anotherLock({ revision: { release, number, status } }: Lock): string {
  const { namespace, name } = release;
  return `release ${namespace}/${name} is locked by revision ${number} (${status}) now, which was left alone`;
}

/** The lock is live, and marked, but not by this object as it is stored. */
export function markGone({ namespace, name }: Name): string {
  return `the lock of release ${namespace}/${name} is live, and its ReleaseLock is not annotated with ${FORCE}. Nothing was changed.`;
}

/** Somebody else was first. @param became what became of the lock */
export function lostTo({ revision: { release } }: Lock, became: string): string {
  const { namespace, name } = release;
  return [
    `the lock of release ${namespace}/${name} was not cleared: ${became}. Nothing was lost.`,
    `To see what there is now: kubectl get rlock ${name} -n ${namespace}`,
  ].join(' ');
}

/** The record cannot be edited. @param why in words */
export function notCleared(lock: Lock, why: string): string {
  const { namespace, name } = lock.revision.release;
  return [
    `the lock of release ${namespace}/${name} was not cleared: ${why}.`,
    `To end it all the same, delete its record: kubectl delete ${recordOf(lock)}`,
  ].join(' ');
}

/** What whoever cleared a lock reads beside kubectl's own words. @param next the Helm commands that work now */
export function clearedByHand(
  { revision: { release, number, status } }: Lock,
  judgement: Judgement,
  next: readonly string[],
): readonly string[] {
  const { namespace, name } = release;
  const { reason } = judgement;
  const how = isStale(judgement) ? '' : 'by force ';
  return [
    `lockkeeper marked revision ${number} of ${namespace}/${name} ${how}as failed, which was ${status}: ${reason}`,
    `what works now: ${next[0]}`,
  ];
}
