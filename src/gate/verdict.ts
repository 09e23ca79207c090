/** Whether the holder of a lock may still be at work: what may be cleared, and what must be left alone. */
import type { Judgement, Lock } from './lock.ts';
import { jobPodOf } from './pod-kind.ts';
import { duration } from './words.ts';

/** Each in whole seconds. */
export interface StaleLimits {
  /** How long a holder may be silent that has no pod, a gateway pod, or is unknown. */
  readonly staleAfterSeconds: number;
  /** How long a holder may be silent whose job pod is running. */
  readonly staleAfterRunningSeconds: number;
  /** How long a job pod must have ended before its lock is stale. */
  readonly deathGraceSeconds: number;
}

/**
 * A holder whose job pod has ended is dead, after a grace: the API server goes on for 10 s to take a token that it has taken
 * before. The end of a gateway pod says nothing of the deploy. A holder that has been silent for too long is taken for dead:
 * Helm writes its record when it creates it, at the start of each hook and at the end, and never while it waits for pods.
 * @param now milliseconds, by the clock of the lock's own times
 */
export function judge(lock: Lock, limits: StaleLimits, now: number): Judgement {
  return judgeDeath(lock, limits, now) ?? judgeSilence(lock, limits, now);
}

/** Undefined while nothing is known of its end. */
function judgeDeath({ holder, death }: Lock, limits: StaleLimits, now: number): Judgement | undefined {
  const pod = jobPodOf(holder);
  if (pod === undefined || death === undefined) return undefined;
  const { deathGraceSeconds } = limits;
  const ended = `its holder, pod ${pod.namespace}/${pod.name}, ${death.how}`;
  const left = Math.ceil(deathGraceSeconds - (now - death.provenAt) / 1000);
  const staleInSeconds = Math.min(deathGraceSeconds, Math.max(0, left));
  if (staleInSeconds === 0) return { verdict: 'dead-holder', reason: ended, staleInSeconds };
  return {
    verdict: 'ending',
    reason: `${ended}; it is stale in ${duration(staleInSeconds)}`,
    staleInSeconds,
  };
}

function judgeSilence(lock: Lock, limits: StaleLimits, now: number): Judgement {
  const { revision } = lock;
  const limit = silenceLimit(lock, limits);
  const silence = secondsOfSilence(lock, now);
  const staleInSeconds = Math.max(0, limit - silence);
  if (staleInSeconds === 0) {
    const reason = `no sign of life for ${duration(silence)}, and ${duration(limit)} are enough`;
    return { verdict: 'expired', reason, staleInSeconds };
  }
  const last = revision.lastWriteAt > revision.createdAt ? 'last written' : 'created';
  const reason = `${last} ${duration(silence)} ago, stale in ${duration(staleInSeconds)} unless it is written again`;
  return { verdict: 'live', reason, staleInSeconds };
}

/** For those who know nothing of pods: silence alone decides. */
export function silenceOnly(staleAfterSeconds: number): StaleLimits {
  return { staleAfterSeconds, staleAfterRunningSeconds: staleAfterSeconds, deathGraceSeconds: 0 };
}

/** How long, in seconds, the holder of a lock may be silent. */
export function silenceLimit({ holder }: Lock, limits: StaleLimits): number {
  return jobPodOf(holder) === undefined ? limits.staleAfterSeconds : limits.staleAfterRunningSeconds;
}

/** Whole seconds, as the API server stamps them; none of a record that carries no time, or comes from a clock ahead. */
function secondsOfSilence({ revision, silentSince }: Lock, now: number): number {
  const since = silentSince ?? (revision.lastWriteAt || now);
  return Math.max(0, Math.floor((now - since) / 1000));
}
