/** What happens at a lock, in words for whoever looks at it later: `kubectl get events` beside the record. */
import { type Driver, isPending, type Release, type Revision, recordName } from '../helm/release.ts';
import type { Deploy } from './decision.ts';
import type { Client, Judgement, Lock } from './lock.ts';
import { clearCommand, duration, who } from './words.ts';

export interface Chapter {
  /** One word, in CamelCase, as machines filter by it. */
  readonly reason: 'Held' | 'Admitted' | 'Refused' | 'Fenced' | 'Ended' | 'Stale';
  /** The record that it is told of. */
  readonly record: {
    readonly driver: Driver;
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
  };
  readonly message: string;
}

/** A deploy began to wait. */
export function heldBy(lock: Lock, deploy: Deploy): Chapter {
  const message = `${described(deploy)} waits for revision ${lock.revision.number} (${who(lock.holder)})`;
  return { reason: 'Held', record: recordOf(lock), message };
}

/** A deploy that had waited goes on; its own record is the lock from now on. */
export function admittedAfter(waitedSeconds: number, deploy: Deploy): Chapter {
  const { release, revision, uid } = deploy;
  const message = `${described(deploy)} went on after a wait of ${duration(waitedSeconds)}`;
  return { reason: 'Admitted', record: recordAt(release, revision, uid), message };
}

/** Rule 3: told of the record that was first. */
export function refusedForRival(rival: Lock, deploy: Deploy): Chapter {
  const { number, status } = rival.revision;
  const message = `${described(deploy)} was refused: there was revision ${number} (${status}, ${who(rival.holder)}) already`;
  return { reason: 'Refused', record: recordOf(rival), message };
}

/** Rule 7, at the end of `waitedSeconds`. */
export function refusedAfter(waitedSeconds: number, lock: Lock, deploy: Deploy): Chapter {
  const message = `${described(deploy)} was refused: it waited for ${duration(waitedSeconds)}, as long as a deploy may`;
  return { reason: 'Refused', record: recordOf(lock), message };
}

/** An uninstall began to wait. */
export function uninstallHeldBy(lock: Lock, client: Client): Chapter {
  const { release, number } = lock.revision;
  const message = `the uninstall of release ${release.name}, by ${who(client)}, waits for revision ${number} (${who(lock.holder)})`;
  return { reason: 'Held', record: recordOf(lock), message };
}

/** An uninstall had read an older revision than the newest one. */
export function uninstallRefusedFor(
  { release, number, status, uid }: Revision,
  { client, revision }: { readonly client: Client; readonly revision: number },
): Chapter {
  const message = `the uninstall of release ${release.name}, by ${who(client)}, was refused: it began at revision ${revision}, and there is revision ${number} (${status}). Helm ignores that, and deletes what revision ${revision} made`;
  return { reason: 'Refused', record: recordAt(release, number, uid), message };
}

/** A guard kept it from whoever would have ended it. @param what they wanted to do, such as `delete its record` */
export function refusedToEnd(lock: Lock, client: Client, what: string): Chapter {
  const { number, status, release } = lock.revision;
  const message = `${who(client)} was refused to ${what}: revision ${number} (${status}) of release ${release.name} is live`;
  return { reason: 'Refused', record: recordOf(lock), message };
}

/** A write ended a lock, and nobody is certain that its holder asked for it. @param becomes what the record is now */
export function endedBy(
  lock: Lock,
  client: Client,
  becomes: { readonly status: string; readonly isVisible: boolean },
): Chapter {
  const { number, status, release } = lock.revision;
  const end = stateAfter(becomes);
  const holder = lock.holder === undefined ? 'its holder is unknown' : `its holder is ${who(lock.holder)}`;
  const message = `revision ${number} (${status}) of release ${release.name} was ended by ${who(client)}: ${end}; ${holder}`;
  return { reason: 'Ended', record: recordOf(lock), message };
}

/** Nobody is at work behind a lock any more, and it is still there. */
export function becameStale(lock: Lock, { reason }: Judgement): Chapter {
  const { number, status, release } = lock.revision;
  const message = `revision ${number} (${status}, ${who(lock.holder)}) of release ${release.name} is stale: ${reason}. To clear it: ${clearCommand(lock)}`;
  return { reason: 'Stale', record: recordOf(lock), message };
}

/** The fence keeps whoever lost its lock from writing its record. */
export function keptOut(
  { release, number, uid, status }: Revision,
  becomes: string,
  client: Client,
): Chapter {
  const message = `${who(client)} was kept from making revision ${number} of release ${release.name}, which is ${status}, ${becomes} again`;
  return { reason: 'Fenced', record: recordAt(release, number, uid), message };
}

function stateAfter({ status, isVisible }: { readonly status: string; readonly isVisible: boolean }): string {
  if (!isVisible && isPending(status)) return 'Helm does not find it any more';
  return status === '' ? 'it has no status now' : `it is ${status} now`;
}

function recordOf({ revision: { release, number, uid } }: Lock): Chapter['record'] {
  return recordAt(release, number, uid);
}

function recordAt({ driver, namespace, name }: Release, number: number, uid: string): Chapter['record'] {
  return { driver, namespace, name: recordName(name, number), uid };
}

function described({ release, revision, status, client }: Deploy): string {
  return `revision ${revision} (${status}) of release ${release.name}, by ${who(client)},`;
}
