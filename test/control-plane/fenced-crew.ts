/** A real cluster as an installation leaves it: with Lockkeeper, the fence, and the webhook that is asked before the fence. */
import type { Test } from 'tap';
import type { Config } from '../../src/config.ts';
import type { Cluster } from '../clusters/cluster.ts';
import { lockkeeperOn } from '../e2e/world.ts';
import type { Front } from '../support/front.ts';
import type { Lockkeeper } from '../support/lockkeeper.ts';
import { type Crew, crew, putUpFence, putUpObserver } from './crew.ts';

export interface FencedCrew extends Crew {
  readonly lockkeeper: Lockkeeper<Cluster>;
  /** Between the API server and Lockkeeper. */
  readonly front: Front;
}

/** Ends with the test. */
export async function fencedCrew(t: Test, config: Partial<Config> = {}): Promise<FencedCrew> {
  const c = await crew(t);
  const lockkeeper = await lockkeeperOn(t, c.cluster, { config });
  await putUpFence(c.admin);
  await putUpObserver(c.admin, lockkeeper.front);
  return { ...c, lockkeeper, front: lockkeeper.front };
}
