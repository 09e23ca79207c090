/** The ReleaseLock of a record, read live where the watch has told of none: it may be late, or silent. */
import type { Logger } from 'pino';
import type { ReadRecorded } from '../gate/ports.ts';
import { RELEASE_LOCKS, type ReleaseLockStore } from '../kubernetes/release-locks.ts';
import type { RecordedLocks } from './recorded.ts';

export interface RecordedReaderOptions {
  readonly store: Pick<ReleaseLockStore, 'list'>;
  readonly recorded: Pick<RecordedLocks, 'recordOf' | 'learn'>;
  readonly log: Logger;
}

/** Without an answer the holder stays unknown. */
export function createRecordedReader({ store, recorded, log }: RecordedReaderOptions): ReadRecorded {
  return async (record, signal) => {
    if (recorded.recordOf(record) !== undefined) return;
    const { namespace, name } = record.release;
    try {
      // A list of one: the right to list is needed in any case.
      const selection = { namespace, fieldSelector: `metadata.name=${name}` };
      const { items } = await store.list(RELEASE_LOCKS, selection, signal);
      for (const item of items) recorded.learn(item);
    } catch (error) {
      signal.throwIfAborted();
      log.warn({ namespace, release: name, reason: String(error) }, 'the ReleaseLock cannot be read');
    }
  };
}
