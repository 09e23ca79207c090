/** What the rules share: how a violation is told, and which revision of a release was its lock. */
import {
  type History,
  isClearBetween,
  keyOf,
  type Span,
  type StoredRecord,
  stateBefore,
  statesDuring,
  type Version,
} from './history.ts';
import type { Entry } from './log.ts';

export interface Violation {
  readonly rule: string;
  /** Of the record that it was seen at. */
  readonly record: string;
  readonly words: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** The service account that the manifests give to Lockkeeper. */
export const LOCKKEEPER = 'system:serviceaccount:lockkeeper:lockkeeper';

export function violation(
  rule: string,
  record: StoredRecord,
  { askedAt, answeredAt }: Entry,
  words: string,
): Violation {
  return { rule, record: describe(record), words, at: (askedAt + answeredAt) / 2 };
}

export function describe({ driver, name, uid }: StoredRecord): string {
  return `${driver}/${name} (${uid})`;
}

export interface Transition {
  readonly record: StoredRecord;
  readonly was: Version;
  readonly is: Version;
}

/** Each write that certainly came next after another one of its record. */
export function transitions(records: readonly StoredRecord[]): Transition[] {
  return records.flatMap((record) =>
    record.versions
      .slice(1)
      .map((is, index) => ({ record, was: record.versions[index] as Version, is }))
      .filter(({ was, is }) => isClearBetween(record, was, is.entry)),
  );
}

/** Whether nothing can have been above it, but for one that is just being made. */
export function isNewest(
  { maybeRecords }: Pick<History, 'maybeRecords'>,
  record: StoredRecord,
  span: Span,
  made?: StoredRecord,
): boolean {
  return maybeRecords
    .filter((other) => keyOf(other) === keyOf(record) && other.revision > record.revision)
    .every((other) => other === made || statesDuring(other, span).length === 0);
}

/** A record in the state that it certainly had at some moment. */
export interface Standing {
  readonly record: StoredRecord;
  readonly state: Version;
}

/** The newest revision of its release just before this write of a record; undefined if that is not certain. */
export function newestBefore(history: History, written: StoredRecord, write: Version): Standing | undefined {
  const made = written.versions[0] === write ? written : undefined;
  return history.records
    .filter((record) => record !== made && keyOf(record) === keyOf(written))
    .flatMap((record) => {
      const state = stateBefore(record, write);
      return state === undefined ? [] : [{ record, state }];
    })
    .find(({ record }) => isNewest(history, record, write.entry, made));
}
