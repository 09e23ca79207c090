/** Whether the holder of a lock may still be at work: what may be cleared, and what must be left alone. */
import type { Judgement, Lock } from './lock.ts';
import { duration } from './words.ts';

/**
 * The API server refuses the token of a pod that is gone, but goes on for 10 s to take one that it has taken before:
 * its authenticator caches what it found (kube-apiserver 1.37, tokenSuccessCacheTTL). After that, a holder that lost its
 * pod cannot write any more. One second is for clocks that count in whole ones.
 */
const TOKEN_CACHED_SECONDS = 11;

/**
 * A holder whose pod has ended is dead. One that has not written for so long is taken for dead. Helm writes its record
 * when it creates it, at the start of each hook and at the end; never while it waits for pods (trap 13).
 * @param now milliseconds since 1970, by the clock that stamps the records
 */
export function judge(lock: Lock, staleAfterSeconds: number, now: number): Judgement {
  return judgeHolder(lock, now) ?? judgeSilence(lock, staleAfterSeconds, now);
}

/** Undefined as long as nothing is known of its end. */
function judgeHolder({ holder, death }: Lock, now: number): Judgement | undefined {
  if (holder?.pod === undefined || death === undefined) return undefined;
  const ended = `its holder, pod ${holder.pod.namespace}/${holder.pod.name}, ${death.how}`;
  const left = Math.ceil(TOKEN_CACHED_SECONDS - (now - death.provenAt) / 1000);
  // A clock that was put back must not make it wait for longer than that.
  const staleInSeconds = Math.min(TOKEN_CACHED_SECONDS, Math.max(0, left));
  if (staleInSeconds === 0) return { verdict: 'dead-holder', reason: ended, staleInSeconds };
  const reason = `${ended}; in ${duration(staleInSeconds)} its token is good for nothing any more`;
  return { verdict: 'live', reason, staleInSeconds };
}

function judgeSilence({ revision }: Lock, staleAfterSeconds: number, now: number): Judgement {
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
