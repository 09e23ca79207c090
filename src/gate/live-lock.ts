/** Whether one record is the lock of its release now, read live. */
import type { Logger } from 'pino';
import { isPending } from '../helm/release.ts';
import type { Judgement, Lock } from './lock.ts';
import type { KnownHolders, Reader, ReadRecorded, RecordIdentity } from './ports.ts';
import type { JudgedLock } from './words.ts';

export interface LockReaderOptions {
  readonly reader: Pick<Reader, 'all' | 'at'>;
  readonly holders: Pick<KnownHolders, 'holderOf' | 'lockOf'>;
  readonly readRecorded: ReadRecorded;
  readonly judge: (lock: Lock) => Judgement;
  readonly log: Logger;
}

/**
 * The lock that this record is; undefined if it is none any more, or another record has its name.
 * @throws if the cluster cannot be read
 */
export type ReadLock = (record: RecordIdentity, signal: AbortSignal) => Promise<JudgedLock | undefined>;

export function createLockReader(options: LockReaderOptions): ReadLock {
  const { reader, holders, readRecorded, judge, log } = options;

  /**
   * Helm numbers by one, so one read by name tells, which takes the API server no time. Only a gap in the history
   * hides a newer revision from it; the list that would find that may take too long where Secrets are many.
   */
  async function isShadowed({ release, number }: RecordIdentity, signal: AbortSignal): Promise<boolean> {
    if ((await reader.at(release, number + 1, signal)) !== undefined) return true;
    return reader.all(release, signal).then(
      (all) => all.some((other) => other.number > number),
      (error: unknown) => {
        log.warn(
          { release: release.name, reason: String(error) },
          'no list; the lock is taken for the newest',
        );
        return false;
      },
    );
  }

  return async (record, signal) => {
    const stored = await reader.at(record.release, record.number, signal);
    if (stored?.uid !== record.uid || !isPending(stored.status)) return undefined;
    if (await isShadowed(record, signal)) return undefined;
    if (holders.holderOf(stored) === undefined) await readRecorded(stored, signal);
    const lock = holders.lockOf(stored);
    return { lock, judgement: judge(lock) };
  };
}
