/**
 * What people read when the gate says no. Every refusal says which revision holds the lock, its status, for
 * how long and who made it, what was not changed, and the exact next command.
 */
import { helmCommand } from '../helm/command.ts';
import { type Driver, isPending, recordName } from '../helm/release.ts';
import { isStale } from './doors.ts';
import type { Client, Judgement, Lock } from './lock.ts';
import { ALLOW_DELETE, FORCE, isMarked } from './marks.ts';
import { FORCE_RIGHT } from './rights.ts';

/** Rule 2. */
export function malformed(name: string, problem: string): string {
  return `${JSON.stringify(name)} is not a Helm release record that can be deployed: ${problem}. Nothing was changed.`;
}

/** Rule 1, for a record in a driver that this installation does not watch. */
export function ungated(driver: Driver): string {
  return `lockkeeper does not guard releases kept in ${driver}: add ${driver} to LOCKKEEPER_DRIVERS`;
}

/** Rule 3: another client took this number, or went past it. It may have finished since. */
export function lostTheRace(rival: Lock, revision: number, now: number): string {
  const pending = isPending(rival.revision.status);
  return [
    `release ${named(rival)}: another deploy was first.`,
    `Yours was to be revision ${revision}, and there is revision ${described(rival, now)} already.`,
    'Nothing was changed by yours.',
    pending
      ? 'When the other has ended, run your command again.'
      : 'If yours is still wanted, run your command again.',
    `To see what the other did: ${historyCommand(rival)}`,
  ].join(' ');
}

/**
 * The client is to come back by itself. Helm prints this only once it has no attempts left (it sends a request 11 times), so
 * the text must be true for both readers: a log and a person.
 */
export function locked({ lock, judgement }: JudgedLock, now: number): string {
  return [
    lockedBy(lock, now),
    'Helm tries again by itself. If Helm prints this, it has given up: run your command again.',
    wayOut(lock, judgement),
  ].join(' ');
}

/** Rule 7, at the end of `waitedSeconds`. */
export function waitedTooLong({ lock, judgement }: JudgedLock, waitedSeconds: number, now: number): string {
  return [
    lockedBy(lock, now),
    `Yours waited for ${duration(waitedSeconds)}, which is as long as lockkeeper lets a deploy wait.`,
    wayOut(lock, judgement),
  ].join(' ');
}

/** Rule 7 for a dry run, which must not wait. */
export function wouldWait({ lock, judgement }: JudgedLock, now: number): string {
  return [
    lockedBy(lock, now),
    'This was a dry run: a real deploy would wait for it now.',
    wayOut(lock, judgement),
  ].join(' ');
}

/** Rule 5: what a deploy reads that got past a stale lock. */
export function clearedOnTheWay(lock: Lock, { reason }: Judgement): string {
  const { number, status } = lock.revision;
  return `lockkeeper marked revision ${number} of ${named(lock)} as failed, which was ${status}: ${reason}`;
}

/** Rule 5 for a dry run, which changes nothing. */
export function wouldClear(lock: Lock, { reason }: Judgement): string {
  const { number, status } = lock.revision;
  return `lockkeeper would mark revision ${number} of ${named(lock)} as failed, which is ${status}: ${reason}`;
}

/** The guard: the record of a live lock is to be deleted. */
export function guarded({ lock, judgement }: JudgedLock, now: number): string {
  return [
    `release ${named(lock)}: revision ${described(lock, now)} is being deployed.`,
    'Without its record another deploy could run beside it, so the record was kept.',
    wayOut(lock, judgement),
  ].join(' ');
}

export interface JudgedLock {
  readonly lock: Lock;
  readonly judgement: Judgement;
}

export function lockedBy(lock: Lock, now: number): string {
  return `release ${named(lock)} is locked by revision ${described(lock, now)}. Nothing was changed.`;
}

/** The record of a lock, as kubectl is told of it: `secret sh.helm.release.v1.api.v6 -n prod`. */
export function recordOf({ revision: { release, number } }: Lock): string {
  const kind = release.driver === 'secrets' ? 'secret' : 'configmap';
  return `${kind} ${recordName(release.name, number)} -n ${release.namespace}`;
}

export function wayOut(lock: Lock, { verdict, reason }: Judgement): string {
  const { see, mark, end } = commandsFor(lock);
  // The command comes last, and ends the text: what is copied to the end works.
  if (isStale({ verdict })) return `It is stale (${reason}). To see the lock: ${see}. End it with: ${end}`;
  if (verdict === 'ending') return `Just wait: ${reason}. To see the lock: ${see}`;
  return `${waitOrAsk(lock, reason)} To see the lock: ${see}. ${mark}`;
}

/** What to do about a lock that is live, before anything else. */
export function waitOrAsk({ holder }: Lock, reason: string): string {
  const whom = holder === undefined ? 'its holder is unknown, and it' : 'or ask its holder: it';
  return `Wait for it, ${whom} counts as live (${reason}).`;
}

/** How to end a live lock, as a sentence. One command at a time: the answer to the mark names the next. */
export function endLive(lock: Lock): string {
  return commandsFor(lock).mark;
}

/** Ends a lock that is stale, or marked. */
export function clearCommand(lock: Lock): string {
  return commandsFor(lock).end;
}

/** How to look at a lock, to mark it as one that may be ended although it is live, and to end it. */
function commandsFor(lock: Lock): { see: string; mark: string; end: string } {
  const ifDead = 'If you know that its holder is dead,';
  const record = recordOf(lock);
  if (!lock.isListed) {
    const end = `kubectl delete ${record}`;
    const mark = isMarked(lock.revision.annotations ?? {}, ALLOW_DELETE)
      ? `Its record is marked as one that may be deleted. ${ifDead} end it with: ${end}`
      : `${ifDead} mark its record, which may then be deleted: kubectl annotate ${record} ${ALLOW_DELETE}=true`;
    return { see: historyCommand(lock), mark, end };
  }
  const { name, namespace } = lock.revision.release;
  const listed = `rlock ${name} -n ${namespace}`;
  return {
    see: `kubectl get ${listed}`,
    mark: `${ifDead} mark the lock, which may then be ended. That takes ${FORCE_RIGHT}: kubectl annotate ${listed} ${FORCE}=true`,
    end: `kubectl delete ${listed}`,
  };
}

function historyCommand({ revision: { release } }: Lock): string {
  return helmCommand(release, `history ${release.name}`);
}

export function named({ revision: { release } }: Lock): string {
  return `${release.namespace}/${release.name}`;
}

export function described({ revision, holder }: Lock, now: number): string {
  const age = duration((now - revision.createdAt) / 1000);
  return `${revision.number} (${revision.status}, ${age}, ${who(holder)})`;
}

/** `alice`, or `system:serviceaccount:ci:runner in pod ci/runner-7f9c`. */
export function who(client: Client | undefined): string {
  if (client === undefined) return 'holder unknown';
  return client.pod === undefined
    ? client.user
    : `${client.user} in pod ${client.pod.namespace}/${client.pod.name}`;
}

/** `42s`, `3m12s`, `2h5m` or `3d4h`, as kubectl writes ages; never negative, whatever the clocks say. */
export function duration(seconds: number): string {
  const total = Math.max(0, Math.floor(seconds));
  const parts = [
    [Math.floor(total / 86_400), 'd'],
    [Math.floor(total / 3600) % 24, 'h'],
    [Math.floor(total / 60) % 60, 'm'],
    [total % 60, 's'],
  ] as const;
  const first = parts.findIndex(([count]) => count > 0);
  if (first === -1) return '0s';
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join('');
}
