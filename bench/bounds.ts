/** The bounds of `--check`: ratios only, and generous, so that only a change of Lockkeeper can break one. */

export interface Bound {
  readonly what: string;
  readonly atMost: number;
}

export interface Judged extends Bound {
  readonly ratio: number;
  readonly holds: boolean;
}

/**
 * Compares the best round of each: whatever else a machine does can only make a round slower, and of many short ones some are
 * undisturbed. (The best of the rounds’ ratios would be that in which the other side was disturbed the most.)
 */
export function judgeBound(bound: Bound, ours: readonly number[], others: readonly number[]): Judged {
  const ratio = Math.min(...ours) / Math.min(...others);
  // Of nothing that was seen, this is NaN, which is no reason to be content.
  return { ...bound, ratio, holds: ratio <= bound.atMost };
}

export function words({ what, atMost, ratio, holds }: Judged): string {
  return `${holds ? 'ok' : 'NOT OK'}: ${what}: ${ratio.toFixed(2)} ×, at most ${atMost.toFixed(2)} ×`;
}
