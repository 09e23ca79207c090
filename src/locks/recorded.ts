/** The ReleaseLocks of the cluster, as the watch tells them. */
import type { Lock } from '../gate/lock.ts';
import type { Revision } from '../helm/release.ts';
import { RELEASE_LOCKS, type ReleaseLock } from '../kubernetes/release-locks.ts';
import type { ListWatchOptions } from '../kubernetes/watch.ts';

export interface RecordedLocks {
  /** By namespace and name. */
  readonly entries: ReadonlyMap<string, ReleaseLock>;
  /** What is recorded of this very revision. */
  recordOf(revision: Revision): Pick<Lock, 'holder'> | undefined;
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
    recordOf({ release, uid }) {
      const { spec } = entries.get(entryKey(release)) ?? {};
      if (spec?.recordUID !== uid) return undefined;
      const { holder } = spec;
      return { holder: holder && { user: holder.user, pod: holder.pod } };
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

export function entryKey({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return `${namespace}/${name}`;
}
