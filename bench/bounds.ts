/** The bounds of `--check`: ratios only, and generous, so that only a change of Lockkeeper can break one. */

export interface Bound {
  readonly what: string;
  readonly atMost: number;
}

export interface Judged extends Bound {
  /** The best of all rounds: noise only ever makes one side slower, and rarely the same side each time. */
  readonly best: number;
  readonly holds: boolean;
}

/**
 * @param seen one ratio for each round
 */
export function judgeBound(bound: Bound, seen: readonly number[]): Judged {
  const finite = seen.filter((ratio) => Number.isFinite(ratio));
  const best = Math.min(...finite);
  // Nothing seen is no reason to be content.
  return { ...bound, best, holds: finite.length > 0 && best <= bound.atMost };
}

export function words({ what, atMost, best, holds }: Judged): string {
  return `${holds ? 'ok' : 'NOT OK'}: ${what}: ${best.toFixed(2)} ×, at most ${atMost.toFixed(2)} ×`;
}
