/** What a ReleaseLock should say of a lock, and what is to be done so that it does. */
import type { Holder, Judgement, Lock } from '../gate/lock.ts';
import type { RecordIdentity } from '../gate/ports.ts';
import { type StaleLimits, silenceLimit } from '../gate/verdict.ts';
import { duration } from '../gate/words.ts';
import { DRIVERS, recordName } from '../helm/release.ts';
import type {
  NewReleaseLock,
  ReleaseLock,
  ReleaseLockSpec,
  ReleaseLockStatus,
  ReplicaCount,
} from '../kubernetes/release-locks.ts';
import { timestamp } from '../timestamp.ts';

/** What this replica knows of a lock. */
export interface LockFacts {
  readonly lock: Lock;
  readonly judgement: Judgement;
  /** Whose review named its record, if that was at this replica. */
  readonly claim: Holder | undefined;
  /** Whether that client's pod is still being looked at: its entry is written once, and whole. */
  readonly isClaimRead: boolean;
  /** How many wait for it at this replica. */
  readonly waiting: number;
}

/** Who writes, and when. */
export interface Writer {
  readonly replica: string;
  readonly limits: StaleLimits;
  /** Milliseconds since 1970, by the clock that stamps the records. */
  readonly now: number;
}

export type Task =
  | { readonly kind: 'create'; readonly entry: NewReleaseLock; readonly status: ReleaseLockStatus }
  | { readonly kind: 'name-holder'; readonly entry: ReleaseLock }
  | { readonly kind: 'write-status'; readonly entry: ReleaseLock }
  | { readonly kind: 'remove'; readonly entry: ReleaseLock };

/** What is to be done for a release: with or without a lock, with or without an entry. Undefined if nothing is. */
export function taskFor(
  facts: LockFacts | undefined,
  entry: ReleaseLock | undefined,
  writer: Writer,
): Task | undefined {
  if (entry === undefined) {
    if (!facts?.isClaimRead) return undefined;
    return { kind: 'create', entry: newEntry(facts), status: newStatus(facts, writer) };
  }
  if (entry.metadata.deletionTimestamp !== undefined) return undefined;
  const { spec } = entry;
  if (facts === undefined || spec === undefined || !tellsOf(spec, facts.lock))
    return { kind: 'remove', entry };
  const holder = holderOf(facts.claim);
  if (holder && !spec.holder) return { kind: 'name-holder', entry: { ...entry, spec: { ...spec, holder } } };
  const status = statusFor(facts, entry.status ?? {}, writer);
  return status && { kind: 'write-status', entry: { ...entry, status } };
}

/** The record that an entry tells of; undefined if it names none. */
export function recordIn({ metadata, spec }: Task['entry']): RecordIdentity | undefined {
  const driver = DRIVERS.find((known) => known === spec?.driver);
  if (driver === undefined || spec === undefined) return undefined;
  const { namespace, name } = metadata;
  return { release: { driver, namespace, name }, number: spec.revision, uid: spec.recordUID };
}

/** Whether it is this lock that it tells of. */
export function tellsOf(spec: ReleaseLockSpec, { revision }: Lock): boolean {
  const { holder: _, since, ...rest } = specOf(revision);
  return (
    Date.parse(spec.since) === Date.parse(since) &&
    Object.entries(rest).every(([field, value]) => spec[field as keyof typeof rest] === value)
  );
}

/** In the order in which they were locked: of two drivers that have a release of one name, only the first has an entry. */
export function inOrder(one: Lock, other: Lock): number {
  const rank = ({ revision: { release } }: Lock) => DRIVERS.indexOf(release.driver);
  return one.revision.createdAt - other.revision.createdAt || rank(one) - rank(other);
}

const OBJECT_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** Helm takes no other names; but whoever writes a record by hand may. */
export function canBeEntered({ revision: { release } }: Lock): boolean {
  return release.name.length <= 63 && OBJECT_NAME.test(release.name);
}

function newEntry({ lock: { revision }, claim }: LockFacts): NewReleaseLock {
  const { release, number, uid } = revision;
  const kind = release.driver === 'secrets' ? 'Secret' : 'ConfigMap';
  const holder = holderOf(claim);
  return {
    metadata: {
      name: release.name,
      namespace: release.namespace,
      // Without Lockkeeper, Kubernetes itself deletes it with the record.
      ownerReferences: [{ apiVersion: 'v1', kind, name: recordName(release.name, number), uid }],
    },
    spec: { ...specOf(revision), ...(holder && { holder }) },
  };
}

function specOf({ release, number, status, uid, createdAt }: Lock['revision']): ReleaseLockSpec {
  return {
    driver: release.driver,
    revision: number,
    status,
    recordUID: uid,
    since: timestamp(createdAt),
  };
}

/** The definition takes no longer one. */
const MAX_USER_LENGTH = 1_024;

/** Undefined, too, if it cannot be written as it is. */
function holderOf(claim: Holder | undefined): ReleaseLockSpec['holder'] {
  if (!claim?.user || claim.user.length > MAX_USER_LENGTH) return undefined;
  const { user, canonicalArn, pod, podKind, neverAutoClear } = claim;
  return {
    user,
    ...(canonicalArn !== undefined && { canonicalArn }),
    ...(pod && { pod }),
    ...(podKind !== undefined && { podKind }),
    ...(neverAutoClear === true && { neverAutoClear }),
  };
}

/** Who counted is forgotten after a while: a replica that is gone takes nothing back. */
const COUNT_LIVES_MS = 90_000;

/** So that a count in use never comes near its end. */
const COUNT_AGAIN_MS = 30_000;

function newStatus(facts: LockFacts, writer: Writer): ReleaseLockStatus {
  return {
    ...judgedAs(facts, writer),
    waiting: facts.waiting,
    replicas: countsFor(facts.waiting, [], writer),
  };
}

/** What the status should be; undefined if it is good as it is. */
function statusFor(
  facts: LockFacts,
  stored: ReleaseLockStatus,
  writer: Writer,
): ReleaseLockStatus | undefined {
  const before = stored.replicas ?? [];
  const replicas = countsFor(facts.waiting, before, writer);
  const waiting = replicas.reduce((sum, count) => sum + count.waiting, 0);
  const isCounted = stored.waiting === waiting && JSON.stringify(replicas) === JSON.stringify(before);
  const judged = judgedAs(facts, writer);
  const isJudged = !isBetter(judged, stored);
  if (isCounted && isJudged) return undefined;
  return { ...stored, ...(!isJudged && judged), waiting, replicas };
}

function countsFor(
  waiting: number,
  stored: readonly ReplicaCount[],
  { replica, now }: Writer,
): readonly ReplicaCount[] {
  const isYoung = ({ at }: ReplicaCount, ms: number) => now - Date.parse(at) < ms;
  const others = stored.filter((count) => count.name !== replica && isYoung(count, COUNT_LIVES_MS));
  if (waiting === 0) return others;
  const own = stored.find(({ name }) => name === replica);
  const isGood = own?.waiting === waiting && isYoung(own, COUNT_AGAIN_MS);
  const count = isGood ? own : { name: replica, waiting, at: timestamp(now) };
  return [...others, count].toSorted((a, b) => a.name.localeCompare(b.name));
}

type Judged = Required<Pick<ReleaseLockStatus, 'verdict' | 'reason' | 'lastActivity'>>;

function judgedAs({ lock, judgement }: LockFacts, writer: Writer): Judged {
  const { verdict } = judgement;
  const { lastWriteAt } = lock.revision;
  return {
    verdict,
    reason: steadyReason(lock, judgement, writer),
    lastActivity: timestamp(lastWriteAt),
  };
}

/** With times of day, and not with seconds that run: it is written when something happens, and is read at any time. */
function steadyReason(lock: Lock, judgement: Judgement, { limits, now }: Writer): string {
  const { createdAt, lastWriteAt } = lock.revision;
  const limit = silenceLimit(lock, limits);
  switch (judgement.verdict) {
    case 'dead-holder':
      return judgement.reason;
    case 'ending': {
      const [ended = ''] = judgement.reason.split(';');
      return `${ended}; it is stale at ${timestamp(now + judgement.staleInSeconds * 1000)}`;
    }
    case 'expired':
      return `no sign of life since ${timestamp(lastWriteAt)}, and ${duration(limit)} are enough`;
    case 'live': {
      const last = lastWriteAt > createdAt ? 'last written' : 'created';
      const staleAt = timestamp(lastWriteAt + limit * 1000);
      return `${last} at ${timestamp(lastWriteAt)}, stale at ${staleAt} unless it is written again`;
    }
  }
}

/** A verdict gives way to one that rests on more; replicas that do not agree yet would go on correcting each other. */
const BY_WEIGHT = ['live', 'ending', 'expired', 'dead-holder'];

function isBetter(judged: Judged, stored: ReleaseLockStatus): boolean {
  const later = Date.parse(judged.lastActivity) - (Date.parse(stored.lastActivity ?? '') || 0);
  if (later !== 0) return later > 0;
  return BY_WEIGHT.indexOf(judged.verdict) > BY_WEIGHT.indexOf(String(stored.verdict));
}
