/** The ReleaseLocks of the cluster, as the watch tells them. */
import type { Holder, Lock, Pod } from '../gate/lock.ts';
import type { RecordIdentity } from '../gate/ports.ts';
import { RELEASE_LOCKS, type ReleaseLock, type ReleaseLockSpec } from '../kubernetes/release-locks.ts';
import type { ListWatchOptions } from '../kubernetes/watch.ts';
import { printable, replaceUnsafe } from '../printable.ts';

export interface RecordedLocks {
  /** By namespace and name. */
  readonly entries: ReadonlyMap<string, ReleaseLock>;
  /** What is recorded of this very record. */
  recordOf(record: RecordIdentity): Pick<Lock, 'holder'> | undefined;
  /** Whether all that are stored are known. */
  isComplete(): boolean;
  /** What keeps them current. */
  readonly follow: Pick<
    ListWatchOptions<typeof RELEASE_LOCKS, ReleaseLock>,
    'resource' | 'onList' | 'onEvent' | 'onMissing'
  >;
}

/** @param onChange told of the key of the one that has changed, or of none after a list */
export function createRecordedLocks(onChange: (key?: string) => void): RecordedLocks {
  const entries = new Map<string, ReleaseLock>();
  let isComplete = false;
  return {
    entries,
    recordOf({ release, number, uid }) {
      const { spec } = entries.get(entryKey(release)) ?? {};
      const isAboutIt = spec?.recordUID === uid && spec.revision === number && spec.driver === release.driver;
      return isAboutIt ? { holder: spec.holder && holderIn(spec.holder) } : undefined;
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
        if (type === 'DELETED') entries.delete(key);
        else entries.set(key, item);
        onChange(key);
      },
      onMissing() {
        entries.clear();
        isComplete = false;
      },
    },
  };
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
