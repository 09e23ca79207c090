/** How long the reads for one answer may take. */
import type { Call } from './hold.ts';

/** Of the time that the caller gives, the rest is for the answer to arrive. */
const SHARE_FOR_READS = 0.6;

/** A caller that does not say how long it waits. */
const UNSAID_MS = 5_000;

/** Aborted when the caller has hung up, or when the reads leave no time for the answer. */
export function readSignal({
  signal,
  timeoutMs = UNSAID_MS,
}: Pick<Call, 'signal' | 'timeoutMs'>): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(timeoutMs * SHARE_FOR_READS)]);
}
