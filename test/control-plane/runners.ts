/** Helm in pods: each with a token that is bound to its pod, on a way where a test can stop it. */
import { gunzipSync } from 'node:zlib';
import type { Test } from 'tap';
import type { ApiClient } from '../clusters/client.ts';
import { writeKubeconfig } from '../clusters/kubeconfig.ts';
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import type { HelmDriver } from '../e2e/world.ts';
import { startDoorway } from '../support/doorway.ts';
import { helmBinary } from '../tools/binaries.ts';
import { helmEnvironment, type RunningProgram, startHelm } from '../tools/run.ts';
import { type Crew, crew, type Place } from './crew.ts';

const CHART = new URL('chart', import.meta.url).pathname;

/** Where Helm is when something happens to it. */
export const PHASES = ['before its hook', 'in its hook', 'between its last two writes'] as const;
export type Phase = (typeof PHASES)[number];

export interface Deploy {
  readonly place: Place;
  readonly release: string;
  /** That it makes. */
  readonly revision: number;
  readonly command: 'install' | 'upgrade' | 'rollback';
  readonly phase: Phase;
}

/** A deploy that is at its phase, and stays there. */
export interface Runner {
  readonly deploy: Deploy;
  readonly helm: RunningProgram;
  /** Has the hook that it waits for end well. */
  finish(): Promise<unknown>;
}

export interface Runners extends Crew {
  /** Starts Helm as whoever has this token. Resolves when it is at its phase. */
  start(deploy: Deploy, token: string): Promise<Runner>;
  /** Of a service account: bound to the pod of this name, which is made, if there is to be one. */
  token(namespace: string, pod?: string): Promise<string>;
  record(deploy: Deploy): Promise<StoredObject>;
}

/** The pods may do in `prod` what a pipeline may. */
export async function runners(t: Test): Promise<Runners> {
  const c = await crew(t);
  const { admin, cluster, writes } = c;
  await admin.create('/apis/rbac.authorization.k8s.io/v1/namespaces/prod/rolebindings', {
    metadata: { name: 'runners' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: 'system:serviceaccounts' }],
  });
  const doorway = await startDoorway(t, cluster);
  const atWork = new Set<RunningProgram>();
  t.teardown(async () => {
    for (const program of atWork) program.kill('SIGKILL');
    await Promise.all([...atWork].map(({ done }) => done));
  });

  async function run(deploy: Deploy, token: string): Promise<RunningProgram> {
    const { place, phase } = deploy;
    const user = { username: 'runner' };
    const kubeconfig = await writeKubeconfig(cluster.folder, { ...doorway, token, user, namespace: 'prod' });
    const env = helmEnvironment({ folder: cluster.folder, kubeconfig, driver: place.driver });
    const { helm } = await helmBinary(place.version);
    const running = startHelm(helm, argumentsOf(deploy, phase === 'in its hook'), { env });
    atWork.add(running);
    void running.done.finally(() => atWork.delete(running));
    return running;
  }

  /** Resolves when Helm is at its phase; from then on it waits for an answer, or for its hook. */
  function arrival(deploy: Deploy, token: string): Promise<unknown> {
    const job = `${deploy.release}-pre-${deploy.command}`;
    if (deploy.phase === 'in its hook') {
      return writes.next(({ verb, object }) => verb === 'ADDED' && object.metadata.name === job);
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    const name = recordNameOf(deploy);
    const created = writes.next(({ verb, object }) => verb === 'ADDED' && object.metadata.name === name);
    let isCreated = false;
    void created.then(() => {
      isCreated = true;
    });
    doorway.stop(({ headers, method, url = '' }) => {
      const isTheirs = headers.authorization === `Bearer ${token}`;
      const isTheEnd = method === 'PUT' && url.includes(`/${name}`);
      if (!isTheirs || !(deploy.phase === 'before its hook' ? isCreated : isTheEnd)) return undefined;
      resolve();
      return new Promise(() => {});
    });
    return Promise.all([promise, created]);
  }

  return {
    ...c,
    async start(deploy, token) {
      const arrived = arrival(deploy, token);
      const helm = await run(deploy, token);
      const early = helm.done.then(({ stderr }) => {
        throw new Error(`${deploy.release} ended before it was ${deploy.phase}: ${stderr}`);
      });
      await Promise.race([arrived, early]);
      early.catch(() => {});
      const job = `${deploy.release}-pre-${deploy.command}`;
      return { deploy, helm, finish: () => admin.completeJob('prod', job, 'Complete') };
    },
    async token(namespace, pod) {
      const extra = pod === undefined ? {} : { 'authentication.kubernetes.io/pod-name': [pod] };
      return cluster.token({ username: `system:serviceaccount:${namespace}:runner`, extra });
    },
    record: (deploy) => admin.get(recordPath(deploy)),
  };
}

/** With the hook that it is to be stopped in, or with none. */
function argumentsOf({ release, command }: Deploy, withHook: boolean): string[] {
  if (command === 'rollback') return ['rollback', release, '1'];
  const hooks = withHook ? `hooks={pre-${command}},outcome=Never` : 'hooks=null';
  return [command, release, CHART, '--set', hooks];
}

export function recordNameOf({ release, revision }: Deploy): string {
  return `sh.helm.release.v1.${release}.v${revision}`;
}

function recordPath(deploy: Deploy): string {
  return `/api/v1/namespaces/prod/${deploy.place.driver}s/${recordNameOf(deploy)}`;
}

/** What the record itself says, which `helm history` shows. */
export function infoOf({ data }: StoredObject, driver: HelmDriver): { status: string; description: string } {
  const { release } = data as { release: string };
  const helms = driver === 'secret' ? Buffer.from(release, 'base64').toString() : release;
  return JSON.parse(gunzipSync(Buffer.from(helms, 'base64')).toString()).info;
}

export const ENDINGS = ['deleted', 'replaced', 'Failed', 'Succeeded'] as const;
export type Ending = (typeof ENDINGS)[number];

/** What becomes of a pod: as its node, or whoever deletes it, tells the API server. */
export async function endPod(admin: ApiClient, namespace: string, name: string, how: Ending): Promise<void> {
  const pods = `/api/v1/namespaces/${namespace}/pods`;
  if (how === 'Failed' || how === 'Succeeded') {
    await admin.patch(`${pods}/${name}/status`, { status: { phase: how } });
    return;
  }
  await admin.remove(`${pods}/${name}?gracePeriodSeconds=0`);
  if (how === 'deleted') return;
  const spec = { serviceAccountName: 'runner', containers: [{ name: 'runner', image: 'none' }] };
  await admin.create(pods, { metadata: { name }, spec });
}
