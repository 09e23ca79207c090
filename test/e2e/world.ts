/** What the stories share: Lockkeeper on a cluster, and people who call Helm and kubectl there. */
import type { Test } from 'tap';
import { type Lockkeeper, type LockkeeperOptions, startLockkeeper } from '../support/lockkeeper.ts';
import { type HelmVersion, helmBinary } from '../tools/binaries.ts';
import { helmEnvironment, type RunningProgram, type RunResult, start } from '../tools/run.ts';

export const CHART = new URL('../fixtures/charts/app', import.meta.url).pathname;

/** Of a lock, when nobody sets LOCKKEEPER_STALE_AFTER_SECONDS. */
export const STALE_AFTER_MS = 900_000;

/** As Helm calls its drivers, and kubectl the kinds of their records. */
export type HelmDriver = 'secret' | 'configmap';

export interface World extends Lockkeeper {
  /** Starts Helm as a user, against `prod`. */
  helm(args: readonly string[], user?: string): RunningProgram;
  /** Runs the kubectl of Helm's time as a user, against `prod`. */
  kubectl(args: readonly string[], user?: string): Promise<RunResult>;
}

export async function world(
  t: Test,
  version: HelmVersion,
  driver: HelmDriver,
  options?: LockkeeperOptions,
): Promise<World> {
  const lockkeeper = await startLockkeeper(t, options);
  const { cluster } = lockkeeper;
  const binary = await helmBinary(version);
  const kubeconfigs = new Map<string, string>();
  for (const username of ['alice', 'bob']) {
    kubeconfigs.set(username, await cluster.kubeconfig({ user: { username }, namespace: 'prod' }));
  }
  function run(program: 'helm' | 'kubectl', args: readonly string[], user: string): RunningProgram {
    const kubeconfig = kubeconfigs.get(user) ?? '';
    return start(binary[program], args, {
      env: helmEnvironment({ folder: cluster.folder, kubeconfig, driver }),
    });
  }
  return {
    ...lockkeeper,
    helm: (args, user = 'alice') => run('helm', args, user),
    kubectl: (args, user = 'alice') => run('kubectl', args, user).done,
  };
}

/** Ends the test if it fails: what comes after would wait for ever. */
export async function succeeds(t: Test, running: { done: Promise<RunResult> }, name: string): Promise<void> {
  const { code, stderr } = await running.done;
  if (code !== 0) throw new Error(`${name}, but Helm failed: ${stderr}`);
  t.pass(name);
}

/** An upgrade that stays in flight until its hook's Job is completed. Resolves when it is. */
export async function upgradeInFlight(
  { cluster, helm }: World,
  options: readonly string[] = [],
  release = 'api',
) {
  const job = cluster.waitForWrite(({ verb, object }) => verb === 'ADDED' && object.kind === 'Job');
  const upgrade = helm(['upgrade', release, CHART, '--set', 'hook.pre=true,message=second', ...options]);
  await job;
  const admin = await cluster.client();
  return {
    upgrade,
    finish: () => admin.completeJob('prod', `${release}-pre`, 'Complete'),
    fail: () => admin.completeJob('prod', `${release}-pre`, 'Failed'),
  };
}

export interface HistoryEntry {
  readonly revision: number;
  readonly status: string;
  readonly description: string;
}

export async function historyEntries({ helm }: World, release = 'api'): Promise<readonly HistoryEntry[]> {
  const { stdout } = await helm(['history', release, '--output', 'json']).done;
  return JSON.parse(stdout);
}

/** Revision and status of each stored revision, as `helm history` shows them. */
export async function history(w: World, release?: string): Promise<string[]> {
  return (await historyEntries(w, release)).map(({ revision, status }) => `${revision} ${status}`);
}
