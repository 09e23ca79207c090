/** What time it is in the cluster: a test makes a record old by turning this clock, without sleeping. */

export interface ClusterClock {
  /** Milliseconds since 1970: the machine's time, plus whatever was advanced. */
  now(): number;
  /** From now on this many milliseconds later. Timers do not fire earlier: nothing waits by this clock. */
  advance(ms: number): void;
}

export function createClock(): ClusterClock {
  let advanced = 0;
  return {
    now: () => Date.now() + advanced,
    advance(ms) {
      advanced += ms;
    },
  };
}

/** RFC 3339 in whole seconds, as Go prints times of the API. */
export function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
