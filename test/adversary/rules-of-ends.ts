/** What must hold when a lock ends, in whichever way: its holder ended it, or there was a reason. */
import { isPending } from '../../src/helm/release.ts';
import { type History, isSurelyPending, type StoredRecord, type Version } from './history.ts';
import { isSameClient, isSameJobPod } from './holders.ts';
import { isForced, isSurelyLive, mayBeDead, mayBeExpired, mayBeFault, mayBeUnknown } from './judgement.ts';
import type { Entry } from './log.ts';
import { changedBeyondClearing, descriptionOf, statusIn } from './payload.ts';
import {
  describe,
  isNewest,
  LOCKKEEPER,
  newestBefore,
  type Transition,
  transitions,
  type Violation,
  violation,
} from './violation.ts';

/** A client that lost its lock does not write it back, and nobody else makes a revision begin again. */
export function whatHasEndedStaysEnded({ records }: History): Violation[] {
  return transitions(records).flatMap(({ record, was, is }) => {
    const hasEnded = ENDED.includes(was.status);
    const beginsAgain = hasEnded ? is.status === 'deployed' || isPending(is.status) : false;
    const isPendingAgain = was.status === 'deployed' && isPending(is.status);
    if (!beginsAgain && !isPendingAgain) return [];
    const words = `${was.status} became ${is.status}, written by ${is.entry.user}`;
    return [violation('what has ended stays ended', record, is.entry, words)];
  });
}

const ENDED: readonly string[] = ['failed', 'superseded', 'uninstalling', 'uninstalled'];

/**
 * Nobody but its holder ends a live lock by a write, or hides it. Only what says `deployed` throughout may come from anybody: the
 * name of a holder can change while it is at work, and no tool writes that for somebody else.
 */
export function endedByItsHolder(history: History): Violation[] {
  return endings(history).flatMap(({ record, was, is }) => {
    const { entry } = is;
    const isSuccess = is.status === 'deployed' && statusIn(record.driver, is.data) === 'deployed';
    if (isSuccess || is.status === 'uninstalling' || wasPassedOver(history, entry)) return [];
    if (isSameClient(history.pods, record.creation, entry) || mayBeUnknown(history, record, entry)) return [];
    if (!isSurelyLive(history, record, was, entry)) return [];
    const { user, podUid = 'none' } = record.creation;
    const words = `${was.status} became ${is.status || 'invisible'}, written by ${nameOf(entry)}; its holder is ${user} in pod ${podUid}`;
    return [violation('a live lock was ended by another client', record, entry, words)];
  });
}

/**
 * Two replicas may let an uninstall and a deploy go on at the same moment: neither is stored, so neither is seen, and they have no
 * name in common of which storage would refuse the second. Milliseconds; 250 were seen on two busy cores.
 */
const SAME_MOMENT_MS = 500;

/** `helm uninstall` begins when no deploy is live. One by its own client may be the end of `helm install --atomic`. */
export function uninstallsWait(history: History): Violation[] {
  const begun = transitions(history.records).filter(
    ({ was, is }) => is.status === 'uninstalling' && was.status !== 'uninstalling',
  );
  return begun.flatMap(({ record, is }) => {
    const { entry } = is;
    const before = newestBefore(history, record, is);
    if (before === undefined || !isPending(before.state.status) || wasPassedOver(history, entry)) return [];
    if (isSameJobPod(history.pods, before.record.creation, entry)) return [];
    const isOwnInstall = before.record === record && before.state.status === 'pending-install';
    if (isOwnInstall && isSameClient(history.pods, record.creation, entry)) return [];
    const isSameMoment = entry.answeredAt - before.record.creation.answeredAt < SAME_MOMENT_MS;
    if (isSameMoment && before.record !== record) return [];
    if (!isSurelyLive(history, before.record, before.state, entry)) return [];
    const words = `${nameOf(entry)} began to uninstall while ${describe(before.record)} was ${before.state.status}`;
    return [violation('an uninstall waits for a live deploy', record, entry, words)];
  });
}

/** No label says that a revision has ended whose payload says that it is pending: Helm reads the payload. */
export function labelsTellTheTruth(history: History): Violation[] {
  return endings(history).flatMap(({ record, was, is }) => {
    const own = statusIn(record.driver, is.data);
    const { owner, status = '' } = is.labels;
    if (owner !== 'helm' || isPending(status) || !isPending(own) || wasPassedOver(history, is.entry))
      return [];
    const words = `its label became ${status} from ${was.status}, and its payload says ${own}`;
    return [violation('a label tells the truth', record, is.entry, words)];
  });
}

/** Each write by which somebody ended the newest revision of a release, while it was pending. */
function endings(history: History): Transition[] {
  return transitions(history.records).filter(
    ({ record, was, is }) =>
      isPending(was.status) &&
      !isPending(is.status) &&
      is.entry.user !== LOCKKEEPER &&
      isNewest(history, record, is.entry),
  );
}

/** Whether the API server could not ask about this write, or deletion, and let it pass. */
function wasPassedOver(history: History, entry: Entry): boolean {
  return entry.failedOpen.length > 0 || mayBeFault(history, entry);
}

function nameOf({ user, podUid }: Entry): string {
  return podUid === undefined ? user : `${user} in pod ${podUid}`;
}

/** Lockkeeper ends a lock only if its holder is dead, or has been silent and somebody asks, or somebody forces it. */
export function clearedForAReason(history: History): Violation[] {
  const marked = clearingsOf(history.records).map(({ record, was, is }) => ({
    record,
    was,
    entry: is.entry,
    byItself: /^Cleared by lockkeeper at /.test(descriptionOf(record.driver, is.data)),
  }));
  const deleted = history.records.flatMap((record) => {
    const was = record.versions.at(-1);
    const isOurs = record.gone?.user === LOCKKEEPER && was !== undefined;
    return isOurs ? [{ record, was, entry: record.gone as Entry, byItself: false }] : [];
  });
  return [...marked, ...deleted].flatMap(({ record, was, entry, byItself }) => {
    if (!isPending(was.status)) return [violation('cleared what was no lock', record, entry, was.status)];
    if (mayBeDead(history, record, entry) || isForced(history, record, entry)) return [];
    if (!byItself && mayBeExpired(history, record, was, entry)) return [];
    const { user, podUid = 'none' } = record.creation;
    const words = `it was ${was.status} and live, of ${user} in pod ${podUid}`;
    return [violation('a live lock was cleared', record, entry, words)];
  });
}

function clearingsOf(records: readonly StoredRecord[]) {
  return transitions(records).filter(({ is }) => is.entry.user === LOCKKEEPER);
}

/** A clear changes the status and the description, and no other byte. */
export function nothingMangled({ records }: History): Violation[] {
  const clearings = clearingsOf(records).filter(({ was }) => isPending(was.status));
  return clearings.flatMap(({ record, was, is }) => {
    const changes = changedBeyondClearing(record.driver, was, is);
    return changes.map((words) => violation('a record was mangled', record, is.entry, words));
  });
}

/** Nobody but its holder deletes the record of a live lock, as long as Lockkeeper can be asked. */
export function nothingLost(history: History): Violation[] {
  return history.records.flatMap((record) => {
    const { gone } = record;
    const last = record.versions.at(-1) as Version;
    if (gone === undefined || gone.user === LOCKKEEPER || wasPassedOver(history, gone)) return [];
    const isLock = isSurelyPending(record, gone) && isNewest(history, record, gone);
    if (!isLock || !isSurelyLive(history, record, last, gone)) return [];
    if (isSameClient(history.pods, record.creation, gone)) return [];
    return [violation('the record of a live lock was lost', record, gone, `deleted by ${gone.user}`)];
  });
}
