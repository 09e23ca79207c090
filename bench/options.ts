/** The words after `npm run bench --`. */
import { parseArgs } from 'node:util';

export const MEASUREMENTS = ['admission', 'wake-up', 'start', 'cost', 'memory', 'peer'] as const;

export type MeasurementName = (typeof MEASUREMENTS)[number];

export interface Options {
  /** In the order in which they are run. */
  readonly chosen: readonly MeasurementName[];
  readonly full: boolean;
  readonly write: boolean;
  readonly check: boolean;
  readonly help: boolean;
}

/** The options, or in words what is wrong with them. */
export function readOptions(args: readonly string[]): Options | string {
  const flag = { type: 'boolean', default: false } as const;
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { full: flag, write: flag, check: flag, help: flag },
    });
    const unknown = positionals.filter((name) => !MEASUREMENTS.some((known) => known === name));
    if (unknown.length > 0) return `there is no ${unknown.join(', ')}: there are ${MEASUREMENTS.join(', ')}`;
    if (values.write && positionals.length > 0) return '--write is for a run of all of them';
    if (values.check && (values.write || values.full || positionals.length > 0)) return '--check goes alone';
    const chosen = MEASUREMENTS.filter((name) => positionals.length === 0 || positionals.includes(name));
    return { ...values, chosen };
  } catch (error) {
    return (error as Error).message;
  }
}
