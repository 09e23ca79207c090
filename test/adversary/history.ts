/**
 * The life of each record, as the log tells it. Writes that succeeded are in the order of their resourceVersions, which is
 * that of the storage. What has none (a deletion, a refusal) happened somewhere between its request and its answer, and
 * every question about it is answered in favour of whoever was asked: “may it have been so?”.
 */
import { type Driver, isPending, parseRecordName } from '../../src/helm/release.ts';
import { type Entry, type Told, toldBy } from './log.ts';

/** One state of a record, from a write to the next. */
export interface Version {
  readonly resourceVersion: number;
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
  /** From its creation on. */
  readonly versions: Version[];
  /** Its deletion. */
  gone?: Entry;
}

export interface Announcement {
  readonly told: Told;
  readonly entry: Entry;
}

export interface History {
  readonly entries: readonly Entry[];
  readonly records: readonly StoredRecord[];
  readonly announcements: readonly Announcement[];
  /** The deletion of each pod that is gone, by its uid. */
  readonly podsGone: ReadonlyMap<string, Entry>;
}

const OK = 300;

/** @param entries in the order of the log */
export function historyOf(entries: readonly Entry[]): History {
  const records = new Map<string, StoredRecord>();
  const podsGone = new Map<string, Entry>();
  const written = entries.filter((entry) => entry.code < OK);
  for (const entry of written.filter(isWrite).sort(byVersion)) write(records, entry);
  for (const entry of written) {
    const uid = entry.verb === 'delete' ? uidOf(entry) : undefined;
    const record = uid === undefined ? undefined : records.get(uid);
    if (record !== undefined) record.gone ??= entry;
    if (uid !== undefined && entry.resource === 'pods') podsGone.set(uid, entry);
  }
  const announcements = written.flatMap((entry) => {
    const told = toldBy(entry);
    return told ? [{ told, entry }] : [];
  });
  return { entries, records: [...records.values()], announcements, podsGone };
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

/** A Secret is answered with a Status when it is deleted, a pod with what it was. */
function uidOf({ answer }: Entry): string | undefined {
  return answer?.details?.uid ?? answer?.metadata?.uid;
}

function write(records: Map<string, StoredRecord>, entry: Entry): void {
  const { metadata = {}, data = {} } = entry.answer ?? {};
  const parsed = parseRecordName(entry.name || (metadata.name ?? ''));
  const { uid } = metadata;
  if (parsed === undefined || uid === undefined) return;
  const { labels = {} } = metadata;
  const version = { resourceVersion: versionOf(entry), status: labels.status ?? '', labels, data, entry };
  const known = records.get(uid);
  if (known !== undefined) {
    // A write that changes nothing is answered with the version that is there.
    if (known.versions.at(-1)?.resourceVersion !== version.resourceVersion) known.versions.push(version);
    return;
  }
  const name = metadata.name ?? entry.name;
  const driver = entry.resource as Driver;
  records.set(uid, { uid, name, driver, ...parsed, versions: [version] });
}

export function keyOf({ driver, release }: Pick<StoredRecord, 'driver' | 'release'>): string {
  return `${driver}/${release}`;
}

/** Who made it. */
export function holderOf({ versions }: StoredRecord): Entry {
  return (versions[0] as Version).entry;
}

/** The state in which it certainly was just before a write of this version; undefined if it was not there, or may be gone. */
export function stateBefore(record: StoredRecord, { resourceVersion, entry }: Version): Version | undefined {
  // The deletion may have been stored as soon as it was asked for.
  if (record.gone !== undefined && record.gone.askedAt <= entry.answeredAt) return undefined;
  return record.versions.findLast((version) => version.resourceVersion < resourceVersion);
}

/** A time in which something happened. */
export type Span = Pick<Entry, 'askedAt' | 'answeredAt'>;

/** All states in which it may have been at some moment of this span. */
export function statesDuring({ versions, gone }: StoredRecord, { askedAt, answeredAt }: Span): Version[] {
  if (gone !== undefined && gone.answeredAt < askedAt) return [];
  return versions.filter((version, index) => {
    const next = versions[index + 1];
    const hasBegun = version.entry.askedAt <= answeredAt;
    return hasBegun && (next === undefined || next.entry.answeredAt >= askedAt);
  });
}

/** Whether it was pending at every moment of this span in which it was there, whatever is not known of it. */
export function isSurelyPending(record: StoredRecord, span: Span): boolean {
  const states = statesDuring(record, span);
  return states.length > 0 && states.every(({ status }) => isPending(status));
}

/** When its lock ended; undefined if it has not. A record that a newer one shadows is no lock. */
export function endOf(record: StoredRecord): Entry | undefined {
  return record.versions.find(({ status }) => !isPending(status))?.entry ?? record.gone;
}
