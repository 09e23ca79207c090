/** One flood, and what others saw of the replica before, meanwhile and afterwards. */
import { until } from '../support/until.ts';
import type { Flood } from './floods.ts';
import type { Flooded, Health } from './replica.ts';

export interface Measured {
  readonly name: string;
  readonly size: number;
  /** Answers, or bytes that were added, of the flood. */
  readonly steps: number;
  /** Of deploys that came from elsewhere meanwhile, in milliseconds. */
  readonly slowestDeploy: number;
  readonly before: Health;
  /** Of the answers to `/readyz` meanwhile, in milliseconds. */
  readonly slowestReady: number;
  readonly peakMiB: number;
  readonly after: Health;
}

export interface MeasureOptions {
  readonly size: number;
  /** Deploys that others make while it floods. */
  readonly deploys: number;
}

/** Files that may be open besides: connections to the API server, and those of the one who measures. */
const OTHER_FILES = 20;

/** @throws if a deploy fails meanwhile, if health is not told, or if something of the flood stays */
export async function measure(flood: Flood, replica: Flooded, options: MeasureOptions): Promise<Measured> {
  const { size, deploys } = options;
  await replica.deploy();
  const before = await replica.healthy();
  const ending = new AbortController();
  const begun = Promise.withResolvers<void>();
  let steps = 0;
  const flooding = flood.run(replica, size, ending.signal, () => {
    steps += 1;
    if (steps === size) begun.resolve();
  });
  await Promise.race([begun.promise, flooding]);

  let slowestDeploy = 0;
  let slowestReady = 0;
  let peakMiB = before.residentMiB;
  for (let count = 0; count < deploys; count += 1) {
    slowestDeploy = Math.max(slowestDeploy, await replica.deploy());
    const { residentMiB, readyMs } = await replica.healthy();
    peakMiB = Math.max(peakMiB, residentMiB);
    slowestReady = Math.max(slowestReady, readyMs);
  }
  ending.abort();
  await flooding;
  const isOver = ({ openFiles, held }: Health) => held === 0 && openFiles <= before.openFiles + OTHER_FILES;
  const after = await until(replica.healthy, isOver);
  return { name: flood.name, size, steps, slowestDeploy, slowestReady, before, peakMiB, after };
}
