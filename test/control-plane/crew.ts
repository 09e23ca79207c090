/** People with any Helm, who deploy many releases side by side to one real cluster, with the fence or without it. */
import { rm } from 'node:fs/promises';
import type { Test } from 'tap';
import { RULES } from '../../src/webhook/arm.ts';
import type { ApiClient } from '../clusters/client.ts';
import type { User } from '../clusters/cluster.ts';
import type { ControlPlane } from '../clusters/control-plane/cluster.ts';
import type { KubernetesObject, StoredObject } from '../clusters/kubernetes-object.ts';
import { emptyControlPlane } from '../clusters/start.ts';
import { type Writes, watchWrites } from '../clusters/writes.ts';
import type { HelmDriver } from '../e2e/world.ts';
import type { Front } from '../support/front.ts';
import { apply, readFence, readManifest } from '../support/manifests.ts';
import { until } from '../support/until.ts';
import { type HelmVersion, helmBinary } from '../tools/binaries.ts';
import { GoIsMissing } from '../tools/go.ts';
import { helmEnvironment, type RunningProgram, startHelm } from '../tools/run.ts';

/** 3.9.4 and 3.22.0 lie between these. They were tried as well, and did the same; each costs a run 12 seconds. */
const ALL_VERSIONS = ['3.8.0', '3.17.3', '4.1.4', '4.3.1'] as const;

/** What people have, oldest first; without Go, only those that npm brings. */
export const VERSIONS: readonly HelmVersion[] = await versionsHere(ALL_VERSIONS);

const BUILT_BY_GO = await versionsHere(['3.8.0', '3.22.0', '4.3.1']);

/** The oldest Helm, and the newest of each line; without Go, those that npm brings. */
export const OLD_AND_NEW: readonly HelmVersion[] =
  BUILT_BY_GO.length > 0 ? BUILT_BY_GO : ['3.9.4', '3.17.3', '4.1.4'];

/** Those of these versions that run here, in their order. */
async function versionsHere(versions: readonly HelmVersion[]): Promise<readonly HelmVersion[]> {
  const here = await Promise.all(versions.map(isHere));
  return versions.filter((_, index) => here[index]);
}

async function isHere(version: HelmVersion): Promise<boolean> {
  try {
    await helmBinary(version);
    return true;
  } catch (error) {
    if (error instanceof GoIsMissing) return false;
    throw error;
  }
}

/** Goes as its values say: `hooks`, `outcome`, `message`, `broken`. */
const CHART = new URL('chart', import.meta.url).pathname;

/** Which Helm, and where it keeps its releases. */
export interface Place {
  readonly version: HelmVersion;
  readonly driver: HelmDriver;
}

export interface Crew {
  readonly cluster: ControlPlane;
  readonly admin: ApiClient;
  readonly writes: Writes;
  /** Starts Helm against `prod`: `upgrade api CHART --set message=second`. */
  helm(place: Place, command: string, user?: string): RunningProgram;
  /** From now on, `helm` knows a client by this name, who has this kubeconfig. */
  introduce(name: string, kubeconfig: string): void;
}

const ALICE_AND_BOB: readonly User[] = [{ username: 'alice' }, { username: 'bob' }];

/** All of it ends with the test, and so does whoever is still at work. Jobs of hooks end as their label says. */
export async function crew(t: Test, others: readonly User[] = []): Promise<Crew> {
  const cluster = await emptyControlPlane(t);
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  const writes = await watchWrites(admin);
  t.teardown(() => writes.stop());
  writes.on(({ verb, object }) => void (verb === 'ADDED' && endJob(admin, object)));

  const kubeconfigs = new Map<string, string>();
  for (const user of [...ALICE_AND_BOB, ...others]) {
    kubeconfigs.set(user.username, await cluster.kubeconfig({ user, namespace: 'prod' }));
  }
  const binaries = new Map<HelmVersion, string>();
  for (const version of new Set([...VERSIONS, ...OLD_AND_NEW])) {
    binaries.set(version, (await helmBinary(version)).helm);
  }
  const atWork = new Set<RunningProgram>();
  t.teardown(async () => {
    for (const program of atWork) program.kill('SIGKILL');
    await Promise.all([...atWork].map(({ done }) => done));
    for (const path of kubeconfigs.values()) await rm(path);
  });
  return {
    cluster,
    admin,
    writes,
    helm({ version, driver }, command, user = 'alice') {
      const kubeconfig = kubeconfigs.get(user) ?? '';
      const args = command.split(' ').map((word) => (word === 'CHART' ? CHART : word));
      const env = helmEnvironment({ folder: cluster.folder, kubeconfig, driver });
      const running = startHelm(binaries.get(version) ?? '', args, { env });
      atWork.add(running);
      void running.done.finally(() => atWork.delete(running));
      return running;
    },
    introduce: (name, kubeconfig) => void kubeconfigs.set(name, kubeconfig),
  };
}

/** Runs Helm, which must not fail. `R` in the command is the release. */
export async function works(
  { helm }: Pick<Crew, 'helm'>,
  place: Place,
  release: string,
  command: string,
  user?: string,
): Promise<void> {
  const { code, stderr } = await helm(place, forRelease(command, release), user).done;
  if (code !== 0) throw new Error(`Helm ${place.version}: ${command}: ${stderr}`);
}

/**
 * Starts Helm, and resolves when it waits for a hook of its chart. `R` in the command is the release.
 * @throws if Helm ends before
 */
export async function upToHook(
  { helm, writes, admin }: Pick<Crew, 'helm' | 'writes' | 'admin'>,
  place: Place,
  release: string,
  command: string,
  user?: string,
) {
  const isHook = new RegExp(`^${release}-(pre|post)-[a-z]+$`);
  const hook = writes.next(({ verb, object: { kind, metadata } }) => {
    return verb === 'ADDED' && kind === 'Job' && isHook.test(metadata.name);
  });
  const running = helm(place, forRelease(command, release), user);
  const early = running.done.then(({ stderr }) => {
    throw new Error(`Helm ${place.version} ended before its hook: ${command}: ${stderr}`);
  });
  const { object } = await Promise.race([hook, early]);
  early.catch(() => {});
  return {
    running,
    /** Ends the hook, and so lets Helm go on. */
    finish: (outcome: 'Complete' | 'Failed' = 'Complete') =>
      admin.completeJob('prod', object.metadata.name, outcome),
  };
}

function forRelease(command: string, release: string): string {
  return command.replace(/\bR\b/, release);
}

async function endJob(admin: ApiClient, { kind, metadata }: StoredObject): Promise<void> {
  const outcome = metadata.labels?.outcome;
  if (kind !== 'Job' || (outcome !== 'Complete' && outcome !== 'Failed')) return;
  await admin.completeJob('prod', metadata.name, outcome);
}

/** Of a release that is unique to a place: `api-4-1-4-secret`. */
export function nameAt({ version, driver }: Place, name: string): string {
  return `${name}-${version.replaceAll('.', '-')}-${driver}`;
}

/** Revision and status of each stored revision, as their labels tell Helm. */
export async function historyOf({ admin }: Pick<Crew, 'admin'>, { driver }: Place, release: string) {
  const query = `labelSelector=owner%3Dhelm,name%3D${release}`;
  const records = await admin.list(`/api/v1/namespaces/prod/${driver}s?${query}`);
  return records
    .map(({ metadata: { labels } }) => ({ revision: Number(labels?.version), status: labels?.status }))
    .sort((a, b) => a.revision - b.revision)
    .map(({ revision, status }) => `${revision} ${status}`);
}

/** Puts up the fence. Resolves when the API server heeds it, which takes it some milliseconds. */
export async function putUpFence(admin: ApiClient): Promise<void> {
  await apply(admin, await readFence());
  await fenceIs('up', admin);
}

/** Resolves when the API server has noticed that the fence of another test is gone. */
export function noFence(admin: ApiClient): Promise<void> {
  return fenceIs('gone', admin);
}

/**
 * Puts up the webhook that is asked before the fence is, armed as Lockkeeper arms it, but for the URL. Resolves when the
 * API server asks it. The fence is up.
 */
export async function putUpObserver(admin: ApiClient, front: Front): Promise<void> {
  const objects = await readManifest('deploy/lockkeeper.yaml');
  const found = objects.find(({ kind }) => kind === 'MutatingWebhookConfiguration');
  const { webhooks, ...rest } = found as KubernetesObject & { webhooks: readonly object[] };
  const { url, caCertificate } = front;
  const clientConfig = { url: `${url}/admission`, caBundle: Buffer.from(caCertificate).toString('base64') };
  const rules = RULES['fence.lockkeeper.dev'];
  await apply(admin, [
    { ...rest, webhooks: webhooks.map((webhook) => ({ ...webhook, clientConfig, rules })) },
  ]);
  const isAsked = () => front.admissions.some(({ operation }) => operation === 'UPDATE');
  await probeFence(admin, isAsked);
}

function fenceIs(state: 'up' | 'gone', admin: ApiClient): Promise<void> {
  return probeFence(admin, (code) => (code !== 200) === (state === 'up'));
}

/** Tries what the fence refuses, without doing it, until it is so. @param isSo of the answer's status */
async function probeFence(admin: ApiClient, isSo: (code: number) => boolean): Promise<void> {
  const path = '/api/v1/namespaces/prod/configmaps';
  const name = 'sh.helm.release.v1.probe.v1';
  const probe = (status: string) => ({ metadata: { name, labels: { owner: 'helm', status } } });
  await admin.create(path, probe('failed'));
  await until(
    async () => (await admin.request('PUT', `${path}/${name}?dryRun=All`, probe('deployed'))).code,
    isSo,
  );
  await admin.remove(`${path}/${name}`);
}

/** Each Event of the fence at a release's records, once there are so many. */
export function fencedOf(admin: ApiClient, release: string, atLeast: number): Promise<readonly string[]> {
  return eventsOf(admin, 'Fenced', release, atLeast);
}

/** Each Event with this reason at a release's records, once there are so many. */
export async function eventsOf(
  admin: ApiClient,
  reason: string,
  release: string,
  atLeast: number,
): Promise<readonly string[]> {
  const path = `/api/v1/namespaces/prod/events?fieldSelector=reason%3D${reason}`;
  return until(
    // Each is told on the ReleaseLock as well.
    async () =>
      (await admin.list(path))
        .map(line)
        .filter((told) => told.includes(` on sh.helm.release.v1.${release}.v`)),
    ({ length }) => length >= atLeast,
  );
}

function line({ type, message, involvedObject }: StoredObject): string {
  return `${type} on ${(involvedObject as { name: string }).name}: ${message}`;
}
