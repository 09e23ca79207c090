/** Locks in the words of the command line. */
import type { Judgement, Lock } from '../gate/lock.ts';
import { duration, who } from '../gate/words.ts';
import { toJson } from '../http/lock-answers.ts';
import type { LockJson } from '../http/schemas.ts';
import { outlookOf } from './outlook.ts';
import type { Sighting } from './sightings.ts';
import { table } from './table.ts';

/** The Lock of the REST contract. */
export function lockJson({ lock, judgement, waiting }: Sighting): LockJson {
  return toJson(lock, judgement as Judgement, waiting);
}

/** @param now milliseconds since 1970, by the API server's clock */
export function lockTable(
  sightings: readonly Sighting[],
  allNamespaces: boolean,
  now: number,
): readonly string[] {
  const header = ['RELEASE', 'REVISION', 'STATUS', 'HOLDER', 'POD', 'AGE', 'VERDICT', 'WAITING'];
  const rows = sightings.map(({ lock: { revision, holder }, judgement, waiting, releaseLock }) => [
    ...(allNamespaces ? [revision.release.namespace] : []),
    revision.release.name,
    String(revision.number),
    revision.status,
    holder?.user ?? '<unknown>',
    holder?.pod?.name ?? '<none>',
    duration((now - revision.createdAt) / 1000),
    judgement.verdict,
    releaseLock ? String(waiting) : '<unknown>',
  ]);
  return table([[...(allNamespaces ? ['NAMESPACE'] : []), ...header], ...rows]);
}

/** `prod/api` */
export function named({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return `${namespace}/${name}`;
}

/** `revision 6 (pending-upgrade, 42s, alice)` */
export function revisionOf({ revision, holder }: Lock, now: number): string {
  const { number, status, createdAt } = revision;
  return `revision ${number} (${status}, ${duration((now - createdAt) / 1000)}, ${who(holder)})`;
}

/** `release prod/api is locked by revision 6 (pending-upgrade, 42s, alice)` */
export function lockedBy(lock: Lock, now: number): string {
  return `release ${named(lock.revision.release)} is locked by ${revisionOf(lock, now)}`;
}

/** The same, with the verdict and what it rests on. */
export function judged({ lock, judgement: { verdict, reason } }: Sighting, now: number): string {
  return `${lockedBy(lock, now)}, ${verdict}${reason ? `: ${reason}` : ''}`;
}

/** Whether to wait, to ask somebody, or to end it: one of these. A command comes last, so that what is copied works. */
export function whatNow({ lock, judgement }: Sighting): string {
  switch (outlookOf(judgement)) {
    case 'at-work':
      return lock.holder === undefined
        ? 'Its deploy may be at work: wait for it'
        : `Its deploy may be at work: wait for it, or ask ${who(lock.holder)}`;
    case 'ending':
      return 'Wait: it ends by itself';
    case 'unknown':
      return 'Wait: this version of lockkeeper does not know that verdict';
    case 'stale':
      return `It is stale. To clear it: ${clearCommand(lock)}`;
  }
}

export function judgedAndWhatNow(sighting: Sighting, now: number): string {
  return `${judged(sighting, now)}. ${whatNow(sighting)}`;
}

export function clearCommand({ revision: { release } }: Lock, flags = ''): string {
  return `lockkeeper clear ${release.name} -n ${release.namespace}${flags && ` ${flags}`}`;
}
