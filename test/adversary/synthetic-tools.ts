/**
 * Does to Helm's records what tools other than Helm do, which know nothing of a deploy that is under way:
 *
 * - Flux's helm-controller makes a pending revision failed, whatever it is, and upgrades (internal/reconcile/unlock.go);
 * - helm-mapkubeapis makes the newest revision superseded, and creates the next one as deployed (pkg/v3/release.go);
 * - a restore of a backup creates what the backup has, whatever is there.
 */
import { isPending } from '../../src/helm/release.ts';
import type { Revision, Storage } from './helm-storage.ts';

/** @throws what the API server answers, as helm-controller stops then */
export async function reconcile(storage: Storage, revisions: readonly Revision[]): Promise<void> {
  const newest = revisions.at(-1);
  if (newest !== undefined && isPending(newest.status)) await storage.put({ ...newest, status: 'failed' });
}

/** @param isStrict whether it stops when the first of its two writes is refused, as helm-mapkubeapis does */
export async function migrate(
  storage: Storage,
  revisions: readonly Revision[],
  isStrict: boolean,
): Promise<string> {
  const newest = revisions.at(-1);
  if (newest === undefined) return 'release: not found';
  const marking = storage.put({ ...newest, status: 'superseded' });
  if (isStrict) await marking;
  else await marking.catch(() => {});
  return restore(storage, revisions);
}

export async function restore(storage: Storage, revisions: readonly Revision[]): Promise<string> {
  await storage.create({ number: (revisions.at(-1)?.number ?? 0) + 1, status: 'deployed' });
  return 'restored';
}
