/** The ReleaseLock of a record, read live where the watch has told of none: it may be late, or silent. */
import type { Logger } from 'pino';
import type { ReadRecorded } from '../gate/ports.ts';
import { findReleaseLock, type ReleaseLockStore } from '../kubernetes/release-locks.ts';
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
      const found = await findReleaseLock(store, record.release, signal);
      if (found) recorded.learn(found);
    } catch (error) {
      signal.throwIfAborted();
      log.warn({ namespace, release: name, reason: String(error) }, 'the ReleaseLock cannot be read');
    }
  };
}
