/** Whether the holder of a lock may still be at work: what may be cleared, and what must be left alone. */
import type { Judgement, Lock } from './lock.ts';
import { duration } from './words.ts';

/**
 * A holder that has not written for so long is taken for dead. Helm writes its record when it creates it, at
 * the start of each hook and at the end; never while it waits for pods (trap 13).
 * @param now milliseconds since 1970, by the clock that stamps the records
 */
export function judge({ revision }: Lock, staleAfterSeconds: number, now: number): Judgement {
  const { createdAt, lastWriteAt } = revision;
  // Whole seconds, as the API server stamps them; none if its clock is ahead of ours.
  // Of a record that carries no time, nothing is known: it is not old.
  const silence = lastWriteAt === 0 ? 0 : Math.max(0, Math.floor((now - lastWriteAt) / 1000));
  const staleInSeconds = Math.max(0, staleAfterSeconds - silence);
  if (staleInSeconds === 0) {
    const reason = `no sign of life for ${duration(silence)}, and ${duration(staleAfterSeconds)} are enough`;
    return { verdict: 'expired', reason, staleInSeconds };
  }
  const last = lastWriteAt > createdAt ? 'last written' : 'created';
  const reason = `${last} ${duration(silence)} ago, stale in ${duration(staleInSeconds)} unless it is written again`;
  return { verdict: 'live', reason, staleInSeconds };
}
