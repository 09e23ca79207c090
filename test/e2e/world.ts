/** What the stories share: Lockkeeper on a cluster, real or embedded, and people who call Helm and kubectl there. */
import { rm } from 'node:fs/promises';
import type { Test } from 'tap';
import type { ApiClient } from '../clusters/client.ts';
import type { Cluster } from '../clusters/cluster.ts';
import { writeKubeconfig } from '../clusters/kubeconfig.ts';
import { startCluster } from '../clusters/start.ts';
import { type Writes, watchWrites } from '../clusters/writes.ts';
import { type Doorway, startDoorway } from '../support/doorway.ts';
import { type Front, startFront } from '../support/front.ts';
import { GATE_WEBHOOKS_PATH, gateWebhook } from '../support/gate-webhook.ts';
import { type Lockkeeper, type LockkeeperOptions, startServiceOn } from '../support/lockkeeper.ts';
import { serving } from '../support/serving.ts';
import { type HelmVersion, helmBinary } from '../tools/binaries.ts';
import { helmEnvironment, type RunningProgram, type RunResult, start, startHelm } from '../tools/run.ts';

export const CHART = new URL('../fixtures/charts/app', import.meta.url).pathname;

/** Of a lock, when nobody sets LOCKKEEPER_STALE_AFTER_SECONDS; and two seconds more, since API servers date in whole ones. */
export const STALE_AFTER_MS = 902_000;

/** As Helm calls its drivers, and kubectl the kinds of their records. */
export type HelmDriver = 'secret' | 'configmap';

export interface People {
  /** Of an administrator. */
  readonly admin: ApiClient;
  /** What Helm writes, from the start of the world on. */
  readonly writes: Writes;
  /** Between Helm and the API server. */
  readonly doorway: Doorway;
  /** Starts Helm as a user, against `prod`. */
  helm(args: readonly string[], user?: string): RunningProgram;
  /** Runs the kubectl of Helm's time as a user, against `prod`. */
  kubectl(args: readonly string[], user?: string): Promise<RunResult>;
}

export interface World extends Lockkeeper<Cluster>, People {
  /** Between the API server and Lockkeeper. */
  readonly front: Front;
}

export type WorldOptions = Omit<LockkeeperOptions, 'cluster'>;

/** All of it ends with the test, and so does whoever is still at work. */
export async function world(
  t: Test,
  version: HelmVersion,
  driver: HelmDriver,
  options: WorldOptions = {},
): Promise<World> {
  const cluster = await startCluster(t);
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  const lockkeeper = await lockkeeperOn(t, cluster, options);
  return { ...lockkeeper, ...(await peopleOn(t, cluster, version, driver)) };
}

/** Who works with Helm and kubectl on a cluster that has the namespace `prod`. */
export async function peopleOn(
  t: Test,
  cluster: Cluster,
  version: HelmVersion,
  driver: HelmDriver = 'secret',
): Promise<People> {
  const admin = await cluster.client();
  const writes = await watchWrites(admin);
  t.teardown(() => writes.stop());
  const doorway = await startDoorway(t, cluster);

  const binary = await helmBinary(version);
  const kubeconfigs = new Map<string, string>();
  for (const username of ['alice', 'bob']) {
    const user = { username };
    const token = await cluster.token(user);
    const content = { ...doorway, token, user, namespace: 'prod' };
    kubeconfigs.set(username, await writeKubeconfig(cluster.folder, content));
  }
  const atWork = new Set<RunningProgram>();
  t.teardown(async () => {
    for (const program of atWork) program.kill('SIGKILL');
    await Promise.all([...atWork].map(({ done }) => done));
    for (const path of kubeconfigs.values()) await rm(path);
  });
  function run(program: 'helm' | 'kubectl', args: readonly string[], user: string): RunningProgram {
    const kubeconfig = kubeconfigs.get(user) ?? '';
    const env = helmEnvironment({ folder: cluster.folder, kubeconfig, driver });
    const begin = program === 'helm' ? startHelm : start;
    const running = begin(binary[program], args, { env });
    atWork.add(running);
    void running.done.finally(() => atWork.delete(running));
    return running;
  }
  return {
    admin,
    writes,
    doorway,
    helm: (args, user = 'alice') => run('helm', args, user),
    kubectl: (args, user = 'alice') => run('kubectl', args, user).done,
  };
}

/** Lockkeeper behind a front that notes what it is asked, on a cluster that asks it. */
export async function lockkeeperOn(t: Test, cluster: Cluster, options: WorldOptions = {}) {
  const { service, logs, ready } = await startServiceOn(t, cluster, options.config);
  const { caCertificate } = serving;
  const url = `https://127.0.0.1:${service.port}`;
  const front = await startFront(t, { url, caCertificate });
  const admin = await cluster.client();
  await ready();
  const lockkeeper = {
    cluster,
    service,
    url,
    caCertificate,
    logs,
    front,
    async installWebhook() {
      await admin.create(GATE_WEBHOOKS_PATH, gateWebhook({ ...front, ...options }));
      while (!(await isAsked(admin, front)));
    },
    async removeWebhook() {
      await admin.remove(`${GATE_WEBHOOKS_PATH}/lockkeeper`);
      while (await isAsked(admin, front));
    },
  };
  await lockkeeper.installWebhook();
  return lockkeeper;
}

/** Whether the API server asks this front by now; a real one takes some milliseconds to hear of a configuration. */
async function isAsked(admin: ApiClient, { probe }: Front): Promise<boolean> {
  const { body } = await admin.request<{ message?: string }>(
    'POST',
    '/api/v1/namespaces/prod/secrets?dryRun=All',
    {
      metadata: { name: probe.name, labels: { owner: 'helm', status: 'pending-install' } },
      type: 'helm.sh/release.v1',
    },
  );
  return body.message?.includes(probe.refusal) ?? false;
}

/** Ends the test if it fails: what comes after would wait for ever. */
export async function succeeds(t: Test, running: { done: Promise<RunResult> }, name: string): Promise<void> {
  const { code, stderr } = await running.done;
  if (code !== 0) throw new Error(`${name}, but Helm failed: ${stderr}`);
  t.pass(name);
}

/** An upgrade that stays in flight until its hook's Job is completed. Resolves when it is. */
export async function upgradeInFlight(
  { admin, writes, helm }: Pick<People, 'admin' | 'writes' | 'helm'>,
  options: readonly string[] = [],
  release = 'api',
  chart = CHART,
) {
  const job = writes.next(
    ({ verb, object }) => verb === 'ADDED' && object.metadata.name === `${release}-pre`,
  );
  const upgrade = helm(['upgrade', release, chart, '--set', 'hook.pre=true,message=second', ...options]);
  await job;
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

export async function historyEntries(
  { helm }: Pick<World, 'helm'>,
  release = 'api',
): Promise<readonly HistoryEntry[]> {
  const { stdout } = await helm(['history', release, '--output', 'json']).done;
  return JSON.parse(stdout);
}

/** Revision and status of each stored revision, as `helm history` shows them. */
export async function history(w: Pick<World, 'helm'>, release?: string): Promise<string[]> {
  return (await historyEntries(w, release)).map(({ revision, status }) => `${revision} ${status}`);
}
