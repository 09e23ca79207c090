/**
 * Which cluster a test runs on. A suite that asks here, and keeps to the `Cluster` interface, runs on both:
 * `npm test` takes the embedded one, `npm run test:e2e` the real one.
 */
import tap, { type Test } from 'tap';
import type { Cluster } from './cluster.ts';
import {
  type ControlPlane,
  type StartedControlPlane,
  startControlPlane,
  useControlPlane,
} from './control-plane/cluster.ts';
import { type EmbeddedClusterOptions, startEmbeddedCluster } from './embedded/cluster.ts';

/** Whether `npm run test:e2e` asked for the real one. */
export const REAL = process.env.LOCKKEEPER_TEST_CLUSTER === 'control-plane';

/** A cluster as new, which ends with the test. */
export async function startCluster(t: Test, options?: EmbeddedClusterOptions): Promise<Cluster> {
  if (REAL) return emptyControlPlane(t);
  const cluster = await startEmbeddedCluster(options);
  t.teardown(() => cluster.stop());
  return cluster;
}

/** Those that a run has started for all its files: as many as it runs at once, in JSON. */
const SHARED = process.env.LOCKKEEPER_TEST_CONTROL_PLANES;

let cluster: Promise<ControlPlane> | undefined;

/**
 * A real cluster takes seconds to start, so the tests of one file share one, one after the other, and each leaves it
 * as it found it. Tests that run at the same time must not ask for it both.
 */
export async function emptyControlPlane(t: Test): Promise<ControlPlane> {
  cluster ??= SHARED === undefined ? untilTheEnd(startControlPlane()) : untilTheEnd(shared(SHARED));
  const ready = await cluster;
  t.teardown(() => ready.empty());
  return ready;
}

let own: Promise<StartedControlPlane> | undefined;

/** One whose audit log tells of nobody but the tests of this file, and which nobody else misses while it restarts. */
export async function ownControlPlane(t: Test): Promise<StartedControlPlane> {
  own ??= untilTheEnd(startControlPlane());
  cluster = own;
  await emptyControlPlane(t);
  return own;
}

async function shared(running: string): Promise<ControlPlane> {
  // tap numbers the files that it runs at once from 0.
  const found = await useControlPlane(JSON.parse(running)[Number(process.env.TAP_JOB_ID)]);
  // A file that was killed may have left something.
  await found.empty();
  return found;
}

function untilTheEnd<Plane extends ControlPlane>(starting: Promise<Plane>): Promise<Plane> {
  tap.teardown(async () => (await starting).stop());
  return starting;
}
