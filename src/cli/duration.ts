/** Durations as Go reads them, because kubectl and Helm take no others: `90s`, `10m`, `1h30m`, `1.5h`, `0`. */

const SECONDS = { ms: 0.001, s: 1, m: 60, h: 3600 } as const;

/** In seconds; undefined for what is no duration, or a negative one. */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0;
  if (!/^((\d+\.?\d*|\.\d+)(ms|s|m|h))+$/.test(text)) return undefined;
  const parts = text.matchAll(/([\d.]+)(ms|s|m|h)/g);
  return [...parts].reduce(
    (sum, [, count, unit]) => sum + Number(count) * SECONDS[unit as keyof typeof SECONDS],
    0,
  );
}
