/**
 * What must never be seen in the log, one function for each rule. Each is pure: a history in, violations out. Where the log
 * leaves open what came first, no rule is broken.
 */
import { isPending } from '../../src/helm/release.ts';
import {
  endOf,
  type History,
  historyOf,
  isClearBetween,
  isSurelyPending,
  keyOf,
  type StoredRecord,
  stateBefore,
  statesDuring,
  type Version,
} from './history.ts';
import { isForced, isSurelyDead, isSurelyLive, mayBeDead, mayBeExpired, mayBeFault } from './judgement.ts';
import type { Entry } from './log.ts';
import { changedBeyondClearing, descriptionOf } from './payload.ts';

export interface Violation {
  readonly rule: string;
  /** Of the record that it was seen at. */
  readonly record: string;
  readonly words: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** Whom the manifests make Lockkeeper. */
export const LOCKKEEPER = 'system:serviceaccount:lockkeeper:lockkeeper';

/** A lock whose holder is dead is gone by then: 11 s for its token, 3 s until it is looked at, and a machine that is busy. */
export const BOUND_MS = 45_000;

const RULES: readonly ((history: History) => Violation[])[] = [
  onePendingAtATime,
  whatHasEndedStaysEnded,
  clearedForAReason,
  nothingMangled,
  nothingLost,
  refusedForAReason,
  everyLockEnds,
];

/** @param entries in the order of the log */
export function check(entries: readonly Entry[]): Violation[] {
  const history = historyOf(entries);
  return RULES.flatMap((rule) => rule(history));
}

/** At the moment at which a pending revision was stored, no other one of its release was the lock. */
function onePendingAtATime({ maybeRecords, records }: History): Violation[] {
  const releases = Map.groupBy(maybeRecords, keyOf);
  return records.flatMap((record) => {
    const [first] = record.versions as [Version];
    if (!isPending(first.status) || first.entry !== record.creation) return [];
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
      .filter(({ other }) => !isOwnRollback(record, other))
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

/** `--atomic` rolls back what its own pod left pending. */
function isOwnRollback(record: StoredRecord, other: StoredRecord): boolean {
  const { podUid } = record.creation;
  const isRollback = record.versions[0]?.status === 'pending-rollback';
  return isRollback && podUid !== undefined && podUid === other.creation.podUid;
}

/** Whoever lost its lock does not write it back, and nobody else makes a revision begin again. */
function whatHasEndedStaysEnded({ records }: History): Violation[] {
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

function transitions(records: readonly StoredRecord[]) {
  return records.flatMap((record) =>
    record.versions
      .slice(1)
      .map((is, index) => ({ record, was: record.versions[index] as Version, is }))
      .filter(({ was, is }) => isClearBetween(record, was, is.entry)),
  );
}

function clearingsOf(records: readonly StoredRecord[]) {
  return transitions(records).filter(({ is }) => is.entry.user === LOCKKEEPER);
}

/** Lockkeeper ends a lock only if its holder is dead, or has been silent and somebody asks, or somebody forces it. */
function clearedForAReason(history: History): Violation[] {
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
    if (!byItself && mayBeExpired(history, was, entry)) return [];
    const holder = record.creation;
    const words = `it was ${was.status} and live, of ${holder.user} in pod ${holder.podUid ?? 'none'}`;
    return [violation('a live lock was cleared', record, entry, words)];
  });
}

/** A clear changes the status and the description, and no other byte. */
function nothingMangled({ records }: History): Violation[] {
  const clearings = clearingsOf(records).filter(({ was }) => isPending(was.status));
  return clearings.flatMap(({ record, was, is }) => {
    const changes = changedBeyondClearing(record.driver, was, is);
    return changes.map((words) => violation('a record was mangled', record, is.entry, words));
  });
}

/** Whoever deletes the record of a live lock is refused, as long as Lockkeeper can be asked. */
function nothingLost(history: History): Violation[] {
  const { records, maybeRecords } = history;
  return records.flatMap((record) => {
    const { gone } = record;
    if (gone === undefined || gone.user === LOCKKEEPER || mayBeFault(history, gone)) return [];
    const isLock = isSurelyPending(record, gone) && isNewest(maybeRecords, record, gone);
    if (!isLock || !isSurelyLive(history, record, gone)) return [];
    return [violation('the record of a live lock was lost', record, gone, `deleted by ${gone.user}`)];
  });
}

/** Whether nothing can have been above it. */
function isNewest(records: readonly StoredRecord[], record: StoredRecord, span: Entry): boolean {
  return records
    .filter((other) => keyOf(other) === keyOf(record) && other.revision > record.revision)
    .every((other) => statesDuring(other, span).length === 0);
}

const REFUSED = /admission webhook "(gate|guard)\.lockkeeper\.dev" denied the request/;
const FENCED = /ValidatingAdmissionPolicy 'lockkeeper-fence'/;
const UNREACHABLE = /failed calling webhook "(gate|releaselocks)\.lockkeeper\.dev"/;

function refusedForAReason(history: History): Violation[] {
  return history.entries.flatMap((entry) => {
    const why = whyRefusedInVain(history, entry);
    return why === undefined
      ? []
      : [{ rule: 'refused without a reason', record: entry.name, words: why, at: entry.askedAt }];
  });
}

/** Undefined if it was not refused, or there was a reason at that time. */
function whyRefusedInVain(history: History, entry: Entry): string | undefined {
  if (UNREACHABLE.test(entry.message) && !mayBeFault(history, entry)) return entry.message;
  if (FENCED.test(entry.message)) {
    const states = ofName(history, entry).flatMap((record) => statesDuring(record, entry));
    return states.some(({ status }) => status === 'deployed' || ENDED.includes(status))
      ? undefined
      : entry.message;
  }
  const [, who] = REFUSED.exec(entry.message) ?? [];
  if (who === 'gate') return mayBeLocked(history, entry) ? undefined : entry.message;
  if (who === 'guard') return mayBeGuarded(history, entry) ? undefined : entry.message;
  return undefined;
}

function ofName({ maybeRecords }: History, { resource, name }: Entry): StoredRecord[] {
  return maybeRecords.filter((record) => record.driver === resource && record.name === name);
}

/** Whether some revision below the new one may have been pending, or one from its number on stored. */
function mayBeLocked({ maybeRecords }: History, entry: Entry): boolean {
  const { name = '', version } = entry.asked?.metadata?.labels ?? {};
  const revision = Number(version);
  const others = maybeRecords.filter((record) => keyOf(record) === `${entry.resource}/${name}`);
  return others.some((other) => {
    const states = statesDuring(other, entry);
    return other.revision >= revision ? states.length > 0 : states.some(({ status }) => isPending(status));
  });
}

function mayBeGuarded(history: History, entry: Entry): boolean {
  return ofName(history, entry).some(
    (record) =>
      statesDuring(record, entry).some(({ status }) => isPending(status)) &&
      !isSurelyDead(history, record, entry),
  );
}

/** At the end of a run no lock is left, and none outlived its dead holder for long. */
function everyLockEnds({ records, maybeRecords, announcements, podsGone }: History): Violation[] {
  const calm = announcements.find(({ told }) => told.what === 'calm')?.entry;
  const end = announcements.find(({ told }) => told.what === 'end')?.entry;
  if (calm === undefined || end === undefined) return [];
  return records.flatMap((record) => {
    const death = podsGone.get(record.creation.podUid ?? '');
    const last = statesDuring(record, end).at(-1);
    const isLock = isSurelyPending(record, end) && isNewest(maybeRecords, record, end);
    if (isLock) return [violation('every lock ends', record, end, `it is ${last?.status} in the end`)];
    const ended = endOf(record);
    if (death === undefined || ended === undefined) return [];
    const took = ended.askedAt - Math.max(death.answeredAt, calm.answeredAt);
    if (took <= BOUND_MS) return [];
    return [violation('every lock ends', record, ended, `${took / 1000} s after its holder's death`)];
  });
}

function violation(
  rule: string,
  record: StoredRecord,
  { askedAt, answeredAt }: Entry,
  words: string,
): Violation {
  return { rule, record: describe(record), words, at: (askedAt + answeredAt) / 2 };
}

function describe({ driver, name, uid }: StoredRecord): string {
  return `${driver}/${name} (${uid})`;
}
