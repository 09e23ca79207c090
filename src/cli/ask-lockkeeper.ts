/** Has Lockkeeper clear a lock: who deletes a ReleaseLock asks for that, and Lockkeeper judges the lock before it is gone. */
import type { Lock } from '../gate/lock.ts';
import { helmCommand } from '../helm/command.ts';
import { nextCommands } from '../helm/next.ts';
import type { Cluster } from './cluster.ts';
import { deleteReleaseLock, type Preconditions, type ReleaseLock } from './release-locks.ts';
import { unlessRefused } from './view.ts';

/**
 * Resolves with the Helm commands that work now; with undefined if nothing came of it, since no Lockkeeper is at work: the
 * ReleaseLock is gone, and its revision is pending still.
 * @throws KubernetesError if it was refused
 */
export async function askLockkeeper(
  { requests, reader }: Pick<Cluster, 'requests' | 'reader'>,
  { revision: { release, uid, status } }: Lock,
  releaseLock: ReleaseLock,
  preconditions: Preconditions,
  signal: AbortSignal,
): Promise<readonly string[] | undefined> {
  await deleteReleaseLock(requests, releaseLock, preconditions, signal);
  const read = await unlessRefused(reader.all(release, signal));
  // Without the right to see records, the answer of Lockkeeper is all there is.
  if ('refusal' in read) return [helmCommand(release, `upgrade ${release.name} CHART`)];
  const [newest] = read.found;
  const isStill = newest?.uid === uid && newest.status === status;
  return isStill ? undefined : nextCommands(release, read.found);
}
