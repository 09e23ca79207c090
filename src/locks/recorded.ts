/** The ReleaseLocks of the cluster, as the watch tells them. */
import { LRUCache } from 'lru-cache';
import type { Holder, Lock, Pod } from '../gate/lock.ts';
import type { RecordIdentity } from '../gate/ports.ts';
import { parseRecordName } from '../helm/release.ts';
import type { EventSubject } from '../kubernetes/events.ts';
import { RELEASE_LOCKS, type ReleaseLock, type ReleaseLockSpec } from '../kubernetes/release-locks.ts';
import type { ListWatchOptions } from '../kubernetes/watch.ts';
import { printable, replaceUnsafe } from '../printable.ts';

export interface RecordedLocks {
  /** By namespace and name. */
  readonly entries: ReadonlyMap<string, ReleaseLock>;
  /** What is recorded of this very record. */
  recordOf(record: RecordIdentity): Pick<Lock, 'holder'> | undefined;
  /** A live read has found this one. What the watch tells goes before it. */
  learn(entry: ReleaseLock): void;
  /** The ReleaseLock that tells of this record, or did so a moment ago, as Events are told of it. */
  readonly subjectFor: SubjectFor;
  /** Whether all that are stored are known. */
  isComplete(): boolean;
  /** What keeps them current. */
  readonly follow: Pick<
    ListWatchOptions<typeof RELEASE_LOCKS, ReleaseLock>,
    'resource' | 'onList' | 'onEvent' | 'onMissing'
  >;
}

/** @param record the Secret or ConfigMap of a revision */
export type SubjectFor = (record: Omit<EventSubject, 'kind'>) => EventSubject | undefined;

/** A lock that was cleared is told of when its ReleaseLock may be gone. */
const MAX_GONE = 1_000;

/** So many records are remembered that a live read told of. */
const MAX_LEARNED = 1_000;

/** @param onChange told of the key of the one that has changed, or of none after a list */
export function createRecordedLocks(onChange: (key?: string) => void): RecordedLocks {
  const entries = new Map<string, ReleaseLock>();
  /** By the uid of the record. */
  const gone = new LRUCache<string, EventSubject>({ max: MAX_GONE });
  /** By the key of the entry. */
  const learned = new LRUCache<string, ReleaseLock>({ max: MAX_LEARNED });
  let isComplete = false;

  function specOf(record: RecordIdentity): ReleaseLockSpec | undefined {
    const key = entryKey(record.release);
    const known = [entries.get(key), learned.get(key)];
    return known.find((entry) => entry?.spec && tellsOf(entry.spec, record))?.spec;
  }

  return {
    entries,
    recordOf(record) {
      const spec = specOf(record);
      return spec && { holder: spec.holder && holderIn(spec.holder) };
    },
    learn: (entry) => void learned.set(entryKey(entry.metadata), entry),
    subjectFor({ namespace, name, uid }) {
      const release = parseRecordName(name)?.release ?? '';
      const entry = entries.get(entryKey({ namespace, name: release }));
      return entry?.spec?.recordUID === uid ? toSubject(entry) : gone.get(uid);
    },
    isComplete: () => isComplete,
    follow: {
      resource: RELEASE_LOCKS,
      onList(items) {
        entries.clear();
        for (const item of items) entries.set(entryKey(item.metadata), item);
        isComplete = true;
        onChange();
      },
      onEvent(type, item) {
        const key = entryKey(item.metadata);
        const { recordUID } = item.spec ?? {};
        if (type !== 'DELETED') entries.set(key, item);
        else {
          entries.delete(key);
          if (recordUID !== undefined) gone.set(recordUID, toSubject(item));
        }
        onChange(key);
      },
      onMissing() {
        entries.clear();
        isComplete = false;
      },
    },
  };
}

function tellsOf(spec: ReleaseLockSpec, { release, number, uid }: RecordIdentity): boolean {
  return spec.recordUID === uid && spec.revision === number && spec.driver === release.driver;
}

function toSubject({ metadata: { namespace, name, uid } }: ReleaseLock): EventSubject {
  return { kind: 'ReleaseLock', namespace, name, uid };
}

/**
 * A ReleaseLock of an older Lockkeeper does not tell the kind of the pod, and may have a user name that is unsafe to show: Lockkeeper
 * 0.1 wrote names as they came.
 */
function holderIn({ user, canonicalArn, pod, podKind, neverAutoClear }: RecordedHolder): Holder {
  return {
    user: safe(user),
    ...(canonicalArn !== undefined && { canonicalArn: safe(canonicalArn) }),
    pod: pod && isPod(pod) ? pod : undefined,
    ...(podKind !== undefined && { podKind }),
    ...(neverAutoClear === true && { neverAutoClear }),
  };
}

/** Names that are safe already are what they should be. */
function safe(name: string): string {
  return replaceUnsafe(name, printable);
}

const POD_NAME = /^[a-z0-9.-]{1,253}$/;
const POD_UID = /^[A-Za-z0-9-]{1,128}$/;

/** What Kubernetes does not allow as a name names no pod. */
function isPod({ namespace, name, uid }: Pod): boolean {
  return POD_NAME.test(namespace) && POD_NAME.test(name) && POD_UID.test(uid);
}

type RecordedHolder = NonNullable<ReleaseLockSpec['holder']>;

export function entryKey({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return `${namespace}/${name}`;
}
