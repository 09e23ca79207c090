/**
 * The life of each record, as the log tells it. Writes that succeeded are in the order of their resourceVersions, which is
 * that of the storage. What has none (a deletion, a refusal) happened somewhere between its request and its answer, and
 * every question about it is answered in favour of whoever was asked: “may it have been so?”. So it is with a write whose
 * client went away, or whose API server: it was answered with an error, and may have been stored all the same.
 */
import { type Driver, isPending, parseRecordName } from '../../src/helm/release.ts';
import { type LoggedPod, type Naming, namingsIn, podsIn, uidOf } from './holders.ts';
import { type Entry, type LoggedObject, type Told, toldBy } from './log.ts';

/** One state of a record, from a write to the next. */
export interface Version {
  readonly resourceVersion: number;
  /** As its label says. Empty if it says none, or if Helm does not find the record by its labels. */
  readonly status: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly data: Readonly<Record<string, string>>;
  readonly entry: Entry;
}

export interface StoredRecord {
  readonly uid: string;
  readonly name: string;
  readonly driver: Driver;
  readonly release: string;
  readonly revision: number;
  /** From its creation on; one at least. */
  readonly versions: Version[];
  /** Who made it: the first version, unless the creation is one of the `unclear`. */
  creation: Entry;
  /** Its deletion. */
  gone?: Entry;
  /** Writes and deletions of its name that may have been done, but for creations. */
  readonly unclear: readonly Entry[];
}

export interface Announcement {
  readonly told: Told;
  readonly entry: Entry;
}

export interface History {
  readonly entries: readonly Entry[];
  readonly records: readonly StoredRecord[];
  /** Those, and what may have been stored by a creation that nothing certain is known of. */
  readonly maybeRecords: readonly StoredRecord[];
  readonly announcements: readonly Announcement[];
  /** By their uids. */
  readonly pods: ReadonlyMap<string, LoggedPod>;
  /** By the uid of the record: what ReleaseLocks say of its holder, in the order of the log. */
  readonly named: ReadonlyMap<string, readonly Naming[]>;
}

const OK = 300;

/** @param entries in the order of the log */
export function historyOf(entries: readonly Entry[]): History {
  const records = new Map<string, StoredRecord>();
  const written = entries.filter((entry) => entry.code < OK);
  const unclear = entries.filter(isUnclear);
  for (const entry of written.filter(isWrite).sort(byVersion)) write(records, entry, unclear);
  for (const entry of written) {
    const uid = entry.verb === 'delete' ? uidOf(entry) : undefined;
    const record = uid === undefined ? undefined : records.get(uid);
    if (record !== undefined) record.gone ??= entry;
  }
  const announcements = written.flatMap((entry) => {
    const told = toldBy(entry);
    return told ? [{ told, entry }] : [];
  });
  const phantoms = unclear.flatMap((entry) => phantomOf(entry, written));
  return {
    entries,
    records: [...records.values()],
    maybeRecords: [...records.values(), ...phantoms],
    announcements,
    pods: podsIn(written),
    named: namingsIn(written),
  };
}

/** Whether it may have been done, although its answer was an error. No webhook refuses what is stored. */
function isUnclear({ code, message, resource }: Entry): boolean {
  const isRecord = resource === 'secrets' || resource === 'configmaps';
  return isRecord && (code === 0 || code >= 500) && !message.includes('failed calling webhook');
}

/** What this creation may have stored, until something certain is known of its name. */
function phantomOf(entry: Entry, written: readonly Entry[]): StoredRecord[] {
  const { verb, resource, name, asked, answeredAt } = entry;
  const parsed = parseRecordName(name);
  if (verb !== 'create' || parsed === undefined) return [];
  const gone = written.find((other) => isSameName(other, entry) && other.askedAt >= answeredAt);
  const versions = [versionFrom(entry, asked)];
  const driver = resource as Driver;
  return [
    { uid: '', name, driver, ...parsed, versions, creation: entry, unclear: [], ...(gone && { gone }) },
  ];
}

function isSameName(one: Pick<Entry, 'resource' | 'name'>, other: Pick<Entry, 'resource' | 'name'>): boolean {
  return one.resource === other.resource && one.name === other.name;
}

function isWrite({ verb, resource }: Entry): boolean {
  return verb !== 'delete' && (resource === 'secrets' || resource === 'configmaps');
}

function byVersion(one: Entry, other: Entry): number {
  return versionOf(one) - versionOf(other);
}

function versionOf({ answer }: Entry): number {
  return Number(answer?.metadata?.resourceVersion ?? 0);
}

function write(records: Map<string, StoredRecord>, entry: Entry, unclear: readonly Entry[]): void {
  const { metadata = {} } = entry.answer ?? {};
  const name = metadata.name ?? entry.name;
  const parsed = parseRecordName(name);
  const { uid } = metadata;
  if (parsed === undefined || uid === undefined) return;
  const version = versionFrom(entry, entry.answer);
  const known = records.get(uid);
  if (known !== undefined) {
    // A write that changes nothing is answered with the version that is there.
    if (known.versions.at(-1)?.resourceVersion !== version.resourceVersion) known.versions.push(version);
    return;
  }
  const driver = entry.resource as Driver;
  const ofName = unclear.filter((other) => isSameName(other, { resource: driver, name }));
  const creation =
    entry.verb === 'create'
      ? entry
      : ofName.findLast(({ verb, askedAt }) => verb === 'create' && askedAt <= entry.askedAt);
  records.set(uid, {
    uid,
    name,
    driver,
    ...parsed,
    versions: [version],
    creation: creation ?? entry,
    unclear: ofName.filter(({ verb }) => verb !== 'create'),
  });
}

function versionFrom(entry: Entry, object: LoggedObject | undefined): Version {
  const { metadata = {}, data = {} } = object ?? {};
  const { labels = {}, name = entry.name } = metadata;
  const isVisible = labels.owner === 'helm' && labels.name === parseRecordName(name)?.release;
  return {
    resourceVersion: Number(metadata.resourceVersion ?? 0),
    status: isVisible ? (labels.status ?? '') : '',
    labels,
    data,
    entry,
  };
}

export function keyOf({ driver, release }: Pick<StoredRecord, 'driver' | 'release'>): string {
  return `${driver}/${release}`;
}

/** The state in which it certainly was just before a write of this version; undefined if it was not there, or may be gone. */
export function stateBefore(record: StoredRecord, { resourceVersion, entry }: Version): Version | undefined {
  // The deletion may have been stored as soon as it was asked for.
  if (record.gone !== undefined && record.gone.askedAt <= entry.answeredAt) return undefined;
  const before = record.versions.findLast((version) => version.resourceVersion < resourceVersion);
  return before !== undefined && isClearBetween(record, before, entry) ? before : undefined;
}

/** Whether nothing may have changed it after this version, and before this span has ended. */
export function isClearBetween({ unclear }: StoredRecord, { entry }: Version, { answeredAt }: Span): boolean {
  return unclear.every((other) => other.answeredAt <= entry.askedAt || other.askedAt > answeredAt);
}

/** A time in which something happened. */
export type Span = Pick<Entry, 'askedAt' | 'answeredAt'>;

/** All states in which it may have been at some moment of this span. */
export function statesDuring(record: StoredRecord, { askedAt, answeredAt }: Span): Version[] {
  const { versions, gone } = record;
  if (gone !== undefined && gone.answeredAt < askedAt) return [];
  const certain = versions.filter((version, index) => {
    const next = versions[index + 1];
    const hasBegun = version.entry.askedAt <= answeredAt;
    return hasBegun && (next === undefined || next.entry.answeredAt >= askedAt);
  });
  return [...unclearStates(record, { askedAt, answeredAt }), ...certain];
}

/** Those that it may have come to by writes of which nobody knows whether they were done. */
function unclearStates({ unclear, versions }: StoredRecord, { askedAt, answeredAt }: Span): Version[] {
  const writes = unclear.filter(({ verb, ...other }) => {
    const next = versions.find(({ entry }) => entry.askedAt >= other.answeredAt);
    const isOver = next !== undefined && next.entry.answeredAt < askedAt;
    return verb !== 'delete' && other.askedAt <= answeredAt && !isOver;
  });
  return writes.map((entry) => versionFrom(entry, entry.asked));
}

/** Whether it was there, and pending, at every moment of this span, whatever is not known of it. */
export function isSurelyPending(record: StoredRecord, span: Span): boolean {
  const states = statesDuring(record, span);
  const last = states.at(-1);
  const isThere = last !== undefined && isClearBetween(record, last, span);
  return isThere && states.every(({ status }) => isPending(status));
}

/** When its lock ended; undefined if it has not. A record that a newer one shadows is no lock. */
export function endOf(record: StoredRecord): Entry | undefined {
  return record.versions.find(({ status }) => !isPending(status))?.entry ?? record.gone;
}
