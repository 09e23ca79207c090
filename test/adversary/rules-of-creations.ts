/** What must hold when a record comes into being: it passes no live lock of its release. */
import { isPending } from '../../src/helm/release.ts';
import {
  type History,
  keyOf,
  type StoredRecord,
  stateBefore,
  statesDuring,
  type Version,
} from './history.ts';
import { isSameJobPod } from './holders.ts';
import { isSurelyLive, mayBeBrokenOff } from './judgement.ts';
import { describe, newestBefore, type Violation, violation } from './violation.ts';

/** At the moment at which a pending revision was stored, no other one of its release was the lock. */
export function onePendingAtATime(history: History): Violation[] {
  const { maybeRecords, records } = history;
  const releases = Map.groupBy(maybeRecords, keyOf);
  return creations(records).flatMap(({ record, first }) => {
    if (!isPending(first.status)) return [];
    const others = (releases.get(keyOf(record)) ?? []).filter((other) => other !== record);
    const below = others.filter(
      (other) => other.revision < record.revision && statesDuring(other, first.entry).length > 0,
    );
    const newest = Math.max(...below.map(({ revision }) => revision));
    const before = others
      .filter((other) => records.includes(other))
      .flatMap((other) => {
        const state = stateBefore(other, first);
        return state ? [{ other, state }] : [];
      });
    return before
      .filter(({ other }) => other.revision > record.revision || other.revision === newest)
      .filter(({ state }) => isPending(state.status))
      .filter(({ other }) => !isOwnRollback(history, record, other))
      .map(({ other, state }) =>
        violation(
          'one pending revision at a time',
          record,
          first.entry,
          `${describe(other)} was ${state.status}`,
        ),
      );
  });
}

/** `--atomic` rolls back what its own job pod left pending. Behind a gateway the next client may be another job. */
function isOwnRollback({ pods }: History, record: StoredRecord, other: StoredRecord): boolean {
  const isRollback = record.versions[0]?.status === 'pending-rollback';
  return isRollback && isSameJobPod(pods, other.creation, record.creation);
}

/** A restore or a migration writes no newer record beside a live deploy, nor beside an uninstall that is at work. */
export function nothingMadeBesideALock(history: History): Violation[] {
  return creations(history.records).flatMap(({ record, first }) => {
    const before = isPending(first.status) ? undefined : newestBefore(history, record, first);
    if (before === undefined || before.record.revision >= record.revision) return [];
    const { record: other, state } = before;
    const isLock = isPending(state.status) && isSurelyLive(history, other, state, first.entry);
    if (!isLock && !isAtWork(history, state, first)) return [];
    const words = `it was made ${first.status} while ${describe(other)} was ${state.status}`;
    return [violation('nothing is made beside a lock', record, first.entry, words)];
  });
}

/** A deploy waits until an uninstall has ended. */
export function noDeployBesideAnUninstall(history: History): Violation[] {
  return creations(history.records).flatMap(({ record, first }) => {
    const before = isPending(first.status) ? newestBefore(history, record, first) : undefined;
    if (before === undefined || !isAtWork(history, before.state, first)) return [];
    if (isSameJobPod(history.pods, before.state.entry, record.creation)) return [];
    const words = `${describe(before.record)} was being uninstalled by ${before.state.entry.user}`;
    return [violation('no deploy begins beside an uninstall', record, first.entry, words)];
  });
}

function isAtWork(history: History, state: Version, { entry }: Version): boolean {
  return state.status === 'uninstalling' && !mayBeBrokenOff(history, state, entry);
}

function creations(records: readonly StoredRecord[]) {
  return records
    .map((record) => ({ record, first: record.versions[0] as Version }))
    .filter(({ record, first }) => first.entry === record.creation);
}
