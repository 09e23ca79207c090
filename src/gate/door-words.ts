/** What people read when a write of a record would end a lock, or pass it. The command to type comes last. */
import { helmCommand } from '../helm/command.ts';
import { isPending, type Revision, recordName } from '../helm/release.ts';
import type { RecordUpdate } from './screen-update.ts';
import { type JudgedLock, lockedBy, wayOut } from './words.ts';

/** Somebody other than the holder would end a live lock by a write. */
export function endRefused({ lock, judgement }: JudgedLock, update: Effect, now: number): string {
  return [
    lockedBy(lock, now),
    `While it is live, only its holder may ${effectOf(update)}.`,
    wayOut(lock, judgement),
  ].join(' ');
}

type Effect = Pick<RecordUpdate, 'after' | 'isVisible'>;

/** What a write would do to a record, in words that follow `to` or `may`. */
export function effectOf({ after, isVisible }: Effect): string {
  // Helm finds a record by its labels `owner` and `name`, whatever its status is.
  if (!isVisible && isPending(after)) return 'hide it from Helm';
  return after === '' ? 'take its status away' : `make it ${after}`;
}

/** A record would come into being beside a live lock, with a status that no deploy begins with. */
export function restoreRefused({ lock, judgement }: JudgedLock, status: string, now: number): string {
  return [
    lockedBy(lock, now),
    `A record that is ${status || 'without a status'} from its start, as a restore or a migration writes it, has to come when the release is free.`,
    wayOut(lock, judgement),
  ].join(' ');
}

/** The label would say that the revision has ended, and the release in the record says that it is pending. */
export function falseLabel(
  { release, revision, after, before }: RecordUpdate,
  payloadStatus: string,
  isListed: boolean,
): string {
  const { namespace, name } = release;
  const record = recordName(name, revision);
  const kind = release.driver === 'secrets' ? 'secret' : 'configmap';
  const claim = after === '' ? 'would not be there' : `would say ${after}`;
  const clear = isListed
    ? `kubectl delete rlock ${name} -n ${namespace}`
    : `kubectl delete ${kind} ${record} -n ${namespace}`;
  return [
    `The label status of ${record} ${claim}, but the release in it is ${payloadStatus}. Nothing was changed: it stays ${before}.`,
    'Helm reads the release and not the label, so the release would stay locked.',
    `To clear the lock: ${clear}`,
  ].join(' ');
}

/** An uninstall waits for a deploy. Helm goes on by itself. */
export function uninstallWaits({ lock, judgement }: JudgedLock, now: number): string {
  return [
    lockedBy(lock, now),
    'The uninstall waits for it, and Helm tries again.',
    wayOut(lock, judgement),
  ].join(' ');
}

/** @param newest what was deployed while the uninstall waited */
export function uninstallTooLate({ release, revision }: RecordUpdate, newest: Revision): string {
  const { namespace, name } = release;
  return [
    `release ${namespace}/${name}: this uninstall began at revision ${revision}, and revision ${newest.number} (${newest.status}) is newer.`,
    'The record was not changed.',
    `To uninstall what is there now: ${helmCommand(release, `uninstall ${name}`)}`,
  ].join(' ');
}
