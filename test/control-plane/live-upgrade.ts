/** A live upgrade of Alice's, which waits in its hook, and what other clients read who meet its lock. */
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import type { HelmDriver } from '../e2e/world.ts';
import { type Crew, type Place, upToHook, works } from './crew.ts';
import { type Change, recordPath, requestFor, type Way } from './record-writes.ts';

export const DRIVERS: readonly HelmDriver[] = ['secret', 'configmap'];

/** Of Lockkeeper: a client that would have to wait is refused at once. */
export const IMPATIENT = { holdSeconds: 0, maxWaitSeconds: 0 };

const LIVE_UPGRADE = 'upgrade R CHART --set hooks={pre-upgrade},outcome=Never,message=second';

/** Resolves when revision 2 of the release is pending, and its Helm waits for the hook. */
export async function liveUpgrade(w: Crew, place: Place, release: string) {
  await works(w, place, release, 'install R CHART');
  const upgrade = await upToHook(w, place, release, LIVE_UPGRADE);
  const path = recordPath(place.driver, release, 2);
  return { ...upgrade, path, stored: await w.admin.get(path) };
}

/** The answer of the API server to a client that is refused: who holds the lock, and a command to end it. */
export function lockedBy(release: string, words: string): RegExp {
  return new RegExp(
    `^admission webhook "(updates|gate)\\.lockkeeper\\.dev" denied the request: release prod/${release} is locked by ` +
      `revision 2 \\(pending-upgrade, \\d+s, alice\\)\\. Nothing was changed\\. ${words} Wait for it, or ask its holder: .*: kubectl annotate \\S+ \\S+ -n prod \\S+=true$`,
  );
}

export interface RecordWrite {
  readonly path: string;
  /** As the writer has read it. */
  readonly stored: StoredObject;
  readonly change: Change;
  readonly way: Way;
}

/** Changes a record as this user, and returns the API server's answer. */
export async function writeAs(
  { cluster }: Crew,
  username: string,
  { path, stored, change, way }: RecordWrite,
) {
  const client = await cluster.client({ username });
  const { method, query, body, contentType } = requestFor(stored, change, way);
  const headers = { 'content-type': contentType };
  return client.request<{ message?: string }>(method, `${path}${query}`, body, { headers });
}
