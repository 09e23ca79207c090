/** What the command line of `npm run test:adversary` says. */
import { parseArgs } from 'node:util';

export interface Settings {
  readonly seed: number;
  readonly path: string | undefined;
  readonly operations: number;
  /** Part of the name of the planted bugs that are looked for; empty for all. */
  readonly bug: string;
}

/** Enough to meet each kind of operation, in about a minute. */
const OPERATIONS = 150;

const MAX_SEED = 2 ** 31;

/** @throws TypeError in words for what is no option, Error for what is no number */
export function parseSettings(args: readonly string[]): Settings & { readonly bugs: boolean } {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seed: { type: 'string' },
      path: { type: 'string' },
      operations: { type: 'string' },
      bugs: { type: 'boolean', default: false },
      bug: { type: 'string' },
    },
  });
  return {
    seed: number('--seed', values.seed) ?? Math.floor(Math.random() * MAX_SEED),
    path: values.path,
    operations: number('--operations', values.operations) ?? OPERATIONS,
    bugs: values.bugs || values.bug !== undefined,
    bug: values.bug ?? '',
  };
}

function number(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d+$/.test(text))
    throw new Error(`${option} is ${JSON.stringify(text)}, but must be a whole number`);
  return Number(text);
}

/** As the command hands them to the file that tap runs. */
export function readSettings(json = '{}'): Settings {
  return { ...parseSettings([]), ...(JSON.parse(json) as Partial<Settings>) };
}
