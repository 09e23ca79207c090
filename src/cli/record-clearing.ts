/** Clears a lock on Helm's record itself, with the rights of whoever asks: for clusters without Lockkeeper, and for `run`. */
import type { ClearOutcome, ClearRequest } from '../gate/clearing.ts';
import type { Judgement, Lock } from '../gate/lock.ts';
import { DRIVERS } from '../helm/release.ts';
import type { Cluster } from './cluster.ts';
import { createRecordFinder } from './view.ts';

export async function clearRecord(
  { requests, reader, connection }: Cluster,
  request: ClearRequest,
  judgeLock: (lock: Lock) => Judgement,
  signal: AbortSignal,
): Promise<ClearOutcome> {
  const [{ pino }, { createClearer }, { createRecordStore }, { createEventRecorder }] = await Promise.all([
    import('pino'),
    import('../locks/clear.ts'),
    import('../kubernetes/records.ts'),
    import('../kubernetes/events.ts'),
  ]);
  const records = createRecordStore(requests);
  const clearer = createClearer({
    finder: { find: createRecordFinder({ reader, drivers: DRIVERS, records }).findInPayload },
    reader,
    records,
    events: createEventRecorder(requests, connection.date),
    oneAtATime: (work) => work(),
    judgeLock,
    now: connection.date,
    log: pino({ level: 'silent' }),
    onCleared: () => {},
  });
  return clearer.clear(request, signal);
}
