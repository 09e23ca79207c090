/**
 * Which cluster a test runs on. A suite that asks here, and keeps to the `Cluster` interface, runs on both:
 * `npm test` takes the embedded one, `npm run test:e2e` the real one.
 */
import tap, { type Test } from 'tap';
import type { Cluster } from './cluster.ts';
import { type ControlPlane, startControlPlane } from './control-plane/cluster.ts';
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

let running: Promise<ControlPlane> | undefined;

/**
 * A real cluster takes seconds to start, so the tests of one file share one, one after the other, and each leaves it
 * as it found it. Tests that run at the same time must not ask for it both.
 */
export async function emptyControlPlane(t: Test): Promise<ControlPlane> {
  if (!running) {
    running = startControlPlane();
    tap.teardown(async () => (await running)?.stop());
  }
  const cluster = await running;
  t.teardown(() => cluster.empty());
  return cluster;
}
