/** The verdict on each lock of the cluster, for those who only count: a few seconds old, and read for all at once. */
import { LRUCache } from 'lru-cache';
import type { Judgement, Lock } from '../gate/lock.ts';

export type Census = () => Promise<readonly Judgement['verdict'][]>;

export interface CensusOptions {
  readonly list: (signal: AbortSignal) => Promise<readonly Lock[]>;
  readonly judge: (lock: Lock) => Judgement;
  /** Milliseconds, never going back. */
  readonly now: () => number;
}

/** Each answer costs a list for every namespace with a pending revision; who asks more often learns nothing new. */
const MAX_AGE_MS = 10_000;

/** A scrape is not held up by an API server that does not answer; the other metrics are worth having then. */
const LIST_MS = 2_000;

export function createCensus({ list, judge, now }: CensusOptions): Census {
  const counted = new LRUCache<'all', readonly Judgement['verdict'][]>({
    max: 1,
    ttl: MAX_AGE_MS,
    ttlResolution: 0,
    perf: { now },
    fetchMethod: async () => (await list(AbortSignal.timeout(LIST_MS))).map((lock) => judge(lock).verdict),
  });
  return () => counted.forceFetch('all');
}
