/** Locks in the words of the command line. */
import type { Lock } from '../gate/lock.ts';
import { duration, who } from '../gate/words.ts';
import { toJson } from '../http/lock-answers.ts';
import type { LockJson } from '../http/schemas.ts';
import type { Sighting } from './sightings.ts';
import { table } from './table.ts';

/** The Lock of the REST contract. */
export function lockJson({ lock, judgement, waiting }: Sighting): LockJson {
  return toJson(lock, judgement, waiting);
}

/** @param now milliseconds since 1970, by the API server's clock */
export function lockTable(sightings: readonly Sighting[], allNamespaces: boolean, now: number): string {
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

/** `release prod/api is locked by revision 6 (pending-upgrade, 42s, alice)` */
export function lockedBy({ revision, holder }: Lock, now: number): string {
  const { release, number, status, createdAt } = revision;
  const age = duration((now - createdAt) / 1000);
  return `release ${release.namespace}/${release.name} is locked by revision ${number} (${status}, ${age}, ${who(holder)})`;
}

/** The same, with what may be done about it. */
export function lockedAndWhatNow({ lock, judgement }: Sighting, now: number): string {
  const { namespace, name } = lock.revision.release;
  const why = judgement.reason ? `: ${judgement.reason}` : '';
  const way =
    judgement.verdict === 'live'
      ? ''
      : `. It is stale; to clear it: lockkeeper clear ${name} -n ${namespace}`;
  return `${lockedBy(lock, now)}, ${judgement.verdict}${why}${way}`;
}
