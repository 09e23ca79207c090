/** What Helm itself reads as the status of a stored record, whatever its label says. */
import { readStatus } from '../helm/record.ts';
import { type Revision, recordName } from '../helm/release.ts';
import type { RecordStore } from './records.ts';

/** Undefined if this very record is not stored any more, or cannot be read for certain. */
export function createPayloadStatusReader({ read }: Pick<RecordStore, 'read'>) {
  return async ({ release, number, uid }: Revision, signal: AbortSignal): Promise<string | undefined> => {
    const { driver, namespace, name } = release;
    const record = await read(driver, namespace, recordName(name, number), signal);
    return record?.metadata.uid === uid ? readStatus(driver, record.data?.release ?? '') : undefined;
  };
}
