/** What the verdict on a lock means for the people who wait for it. */

/** A judgement of Lockkeeper, or of this command line. Its verdict may be a word that only a newer Lockkeeper knows. */
export interface Opinion {
  readonly verdict: string;
  readonly reason: string;
  /** When a live lock is stale, if nothing is written; 0 if that is not known. */
  readonly staleInSeconds: number;
}

/**
 * `at-work`: the deploy may be going on. `ending`: it is over, and Lockkeeper clears its lock within seconds. `stale`: it is
 * over, and somebody has to clear its lock. `unknown`: the verdict is no word of this version.
 */
export type Outlook = 'at-work' | 'ending' | 'stale' | 'unknown';

const OUTLOOKS: ReadonlyMap<string, Outlook> = new Map([
  ['live', 'at-work'],
  ['ending', 'ending'],
  ['dead-holder', 'stale'],
  ['expired', 'stale'],
]);

export function outlookOf({ verdict }: Pick<Opinion, 'verdict'>): Outlook {
  return OUTLOOKS.get(verdict) ?? 'unknown';
}
