/** Those that are compared, taking turns: a slice of one, a slice of the next, and again, each time in another order. */
import { type Summary, summarize } from './statistics.ts';

/** One question and its answer, over the connection of a lane. Resolves with the milliseconds that it took. */
export type Ask = (lane: number) => Promise<number>;

export interface Runner {
  /** What has to be made for so many questions, while no clock runs. */
  prepare?(count: number): void;
  readonly ask: Ask;
}

export interface RaceOptions {
  readonly rounds: number;
  /** In each round, of all lanes together. */
  readonly asks: number;
  /** So many ask at once, each one question after the other. */
  readonly lanes: number;
}

/** What one runner did in all rounds. */
export interface Lap extends Summary {
  readonly perSecond: number;
  /** The median of each round. */
  readonly medians: readonly number[];
}

/** The first round is not counted: it is for connections, and for compilers. */
export async function race<Name extends string>(
  runners: Readonly<Record<Name, Runner>>,
  { rounds, asks, lanes }: RaceOptions,
): Promise<Record<Name, Lap>> {
  const names = Object.keys(runners) as Name[];
  const seen = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, Slice[]>;
  for (let round = 0; round <= rounds; round += 1) {
    for (const name of turned(names, round)) {
      const slice = await run(runners[name], asks, lanes);
      if (round > 0) seen[name].push(slice);
    }
  }
  return Object.fromEntries(names.map((name) => [name, lapOf(seen[name])])) as Record<Name, Lap>;
}

interface Slice {
  readonly samples: readonly number[];
  readonly seconds: number;
}

async function run({ prepare, ask }: Runner, asks: number, lanes: number): Promise<Slice> {
  prepare?.(asks);
  const samples: number[] = [];
  let begun = 0;
  const from = performance.now();
  const lane = async (number: number) => {
    while (begun < asks) {
      begun += 1;
      samples.push(await ask(number));
    }
  };
  await Promise.all(Array.from({ length: lanes }, (_, number) => lane(number)));
  return { samples, seconds: (performance.now() - from) / 1000 };
}

function lapOf(slices: readonly Slice[]): Lap {
  const samples = slices.flatMap((slice) => slice.samples);
  const seconds = slices.reduce((sum, slice) => sum + slice.seconds, 0);
  return {
    ...summarize(samples),
    perSecond: samples.length / seconds,
    medians: slices.map((slice) => summarize(slice.samples).p50),
  };
}

/** Whoever comes first in one round comes last in the next. */
function turned<T>(items: readonly T[], by: number): T[] {
  const at = by % items.length;
  return [...items.slice(at), ...items.slice(0, at)];
}
