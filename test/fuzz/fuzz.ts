/** Many attempts at once, each with a seed; a failing one is shrunk and told in a way that can be replayed. */
import fc from 'fast-check';
import { type Attempt, attempts, make } from './attempts.ts';
import type { World } from './world.ts';

export interface FuzzOptions {
  readonly runs: number;
  readonly seed: number;
  /** Of a failure that is to be seen again; then there is one lane. */
  readonly path?: string;
  readonly onProgress?: (made: number) => void;
}

export interface FuzzResult {
  /** How often each kind of answer was seen. */
  readonly seen: ReadonlyMap<string, number>;
  readonly made: number;
  /** Each in words, with the seed and the path that show it again. */
  readonly failures: readonly string[];
}

/** Attempts under way at once. */
const LANES = 8;

/** Where each attempt hangs, the smallest one that does is not worth the wait. */
const SHRINK_MS = 20_000;

export async function fuzz(world: World, options: FuzzOptions): Promise<FuzzResult> {
  const { runs, seed, path, onProgress = () => {} } = options;
  const lanes = path === undefined ? Math.min(LANES, runs) : 1;
  const seen = new Map<string, number>();
  let made = 0;

  async function runLane(lane: number): Promise<string | undefined> {
    let problem: string | undefined;
    let shrinkUntil = Number.POSITIVE_INFINITY;
    const property = fc.asyncProperty(attempts, async (attempt) => {
      if (performance.now() > shrinkUntil) return;
      const outcome = await make(attempt, world, lane);
      made += 1;
      seen.set(outcome.seen, (seen.get(outcome.seen) ?? 0) + 1);
      onProgress(made);
      if (outcome.problem === undefined) return;
      problem = outcome.problem;
      shrinkUntil = Math.min(shrinkUntil, performance.now() + SHRINK_MS);
      throw new Error(outcome.problem);
    });
    const result = await fc.check(property, {
      seed: seed + lane,
      numRuns: Math.ceil(runs / lanes),
      ...(path !== undefined && { path }),
    });
    return result.failed ? describe(result, problem) : undefined;
  }

  const found = await Promise.all(Array.from({ length: lanes }, (_, lane) => runLane(lane)));
  const failures = found.filter((failure) => failure !== undefined);
  return { seen, made, failures: [...failures, ...world.deceits().slice(0, SHOWN_DECEITS)] };
}

/** One of them tells what is wrong. */
const SHOWN_DECEITS = 10;

/** A record of a megabyte says no more by being shown. */
const SHOWN = 2_000;

function describe(
  { seed, counterexamplePath, counterexample, numShrinks }: fc.RunDetails<[Attempt]>,
  problem: string | undefined,
): string {
  const shown = JSON.stringify(counterexample?.[0]).slice(0, SHOWN);
  const again = `npm run fuzz -- --seed ${seed} --path ${counterexamplePath}`;
  return `${problem}, after ${numShrinks} shrinks: ${shown}\n  again: ${again}`;
}
