/**
 * What a Helm release record is: one Secret or ConfigMap for each revision of a release, named
 * `sh.helm.release.v1.<release>.v<revision>`, whose labels repeat the name, the revision and the status.
 *
 * Only metadata is looked at here; the payload stays where it is.
 */

/** Where Helm keeps its records (`HELM_DRIVER=secret` or `configmap`), as the API names the resource. */
export type Driver = 'secrets' | 'configmaps';

export const DRIVERS: readonly Driver[] = ['secrets', 'configmaps'];

/** The type of every Secret that Helm 3 and 4 make for a revision; ConfigMaps have no type. */
export const RECORD_TYPE = 'helm.sh/release.v1';

const RECORD_PREFIX = 'sh.helm.release.v1.';

/** The statuses that Helm gives a revision while it works on it. */
export const PENDING_STATUSES = ['pending-install', 'pending-upgrade', 'pending-rollback'] as const;
export type PendingStatus = (typeof PENDING_STATUSES)[number];

/** Selects the records of every deploy in flight, and those that a dead client left behind. */
export const PENDING_SELECTOR = `owner=helm,status in (${PENDING_STATUSES.join(',')})`;

/** One release; two releases of one name in different drivers do not know of each other. */
export interface Release {
  readonly driver: Driver;
  readonly namespace: string;
  readonly name: string;
}

/** One revision of a release, as its metadata tells. */
export interface Revision {
  readonly release: Release;
  readonly number: number;
  /** Helm's status, such as `deployed`; the empty string when the label is missing. */
  readonly status: string;
  readonly uid: string;
  /** Of the stored object; the empty string when unknown. Two reads that agree in it saw the same bytes. */
  readonly resourceVersion: string;
  /** When the API server stored it, in milliseconds since 1970 by the API server's clock. */
  readonly createdAt: number;
  /** When its payload was last written, by the same clock; at the earliest when it was stored. */
  readonly lastWriteAt: number;
  /** Left out when there are none, as on every record that Helm alone has written. */
  readonly annotations?: Readonly<Record<string, string>>;
}

/** The part of Kubernetes' ObjectMeta that a revision is read from. */
export interface RecordMetadata {
  readonly name?: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly creationTimestamp?: string;
  readonly resourceVersion?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly managedFields?: readonly ManagedFields[];
}

/** One writer, and when it last changed what it owns, as the API server keeps it. */
export interface ManagedFields {
  readonly time?: string;
  readonly fieldsV1?: Readonly<Record<string, unknown>>;
}

export function isPending(status: string | undefined): status is PendingStatus {
  return PENDING_STATUSES.some((pending) => pending === status);
}

/** Whether a client is at work on a revision of this status, or was when it died: a deploy, or an uninstall. */
export function isUnderWay(status: string): boolean {
  return isPending(status) || status === 'uninstalling';
}

export function recordName(release: string, revision: number): string {
  return `${RECORD_PREFIX}${release}.v${revision}`;
}

/** Whether a name claims to be a record's, well-formed or not. */
export function isRecordName(name: string): boolean {
  return name.startsWith(RECORD_PREFIX);
}

/** Selects all revisions of some releases. */
export function releasesSelector(releases: readonly string[]): string {
  return releases.length === 1
    ? `owner=helm,name=${releases[0]}`
    : `owner=helm,name in (${releases.join(',')})`;
}

/** Kubernetes' limit for a label's value; a release's name is one (and Helm itself takes 53 characters at most). */
const MAX_LABEL_LENGTH = 63;

/** Whether a release of this name can be selected: a record's name alone may claim anything. */
export function isSelectable(release: string): boolean {
  return release.length <= MAX_LABEL_LENGTH && /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(release);
}

/** A text that is the same for the same release only; for maps. */
export function releaseKey(release: Release): string {
  return `${release.driver}/${release.namespace}/${release.name}`;
}

/** Helm's revision numbers: 1, 2, 3, … without sign or leading zero, at most Number.MAX_SAFE_INTEGER. */
export function parseRevisionNumber(text: string | undefined): number | undefined {
  if (text === undefined || !/^[1-9]\d*$/.test(text)) return undefined;
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : undefined;
}

/**
 * Splits a record's name on its last `.v`: a release may itself be called `app.v2`, and its first revision
 * is then kept as `sh.helm.release.v1.app.v2.v1`.
 */
export function parseRecordName(name: string): { release: string; revision: number } | undefined {
  if (!isRecordName(name)) return undefined;
  const split = name.lastIndexOf('.v');
  const release = name.slice(RECORD_PREFIX.length, split);
  const revision = parseRevisionNumber(name.slice(split + '.v'.length));
  return release === '' || revision === undefined ? undefined : { release, revision };
}

/**
 * The revision that a stored record is. Its name decides which one, as it does for Helm's own reads by
 * name; the label tells the status. Undefined when the name is no record's.
 */
export function readRevision(driver: Driver, metadata: RecordMetadata): Revision | undefined {
  const parsed = parseRecordName(metadata.name ?? '');
  if (parsed === undefined) return undefined;
  return {
    release: { driver, namespace: metadata.namespace ?? '', name: parsed.release },
    number: parsed.revision,
    status: metadata.labels?.status ?? '',
    uid: metadata.uid ?? '',
    resourceVersion: metadata.resourceVersion ?? '',
    createdAt: timeOf(metadata.creationTimestamp),
    lastWriteAt: Math.max(timeOf(metadata.creationTimestamp), ...payloadWrites(metadata)),
    ...(metadata.annotations && { annotations: metadata.annotations }),
  };
}

/** What is stored around the number of a revision that is to be created. */
export interface Neighbours {
  /** At this number, or the newest above it. */
  readonly rival: Revision | undefined;
  /** The newest with a lower number. */
  readonly below: Revision | undefined;
}

/** @param all the whole history, newest first */
export function neighboursOf(all: readonly Revision[], number: number): Neighbours {
  const [newest] = all;
  const rival = newest && newest.number >= number ? newest : undefined;
  return { rival, below: all.find((revision) => revision.number < number) };
}

/** Helm writes whole records; who only labels or annotates one does not own its data, and is no sign of Helm. */
function payloadWrites({ managedFields = [] }: RecordMetadata): number[] {
  return managedFields.filter(({ fieldsV1 = {} }) => 'f:data' in fieldsV1).map(({ time }) => timeOf(time));
}

/** Milliseconds since 1970; 0 for what is no time. */
function timeOf(text: string | undefined): number {
  return Date.parse(text ?? '') || 0;
}
