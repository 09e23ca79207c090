/** Those who deploy: real Helm, and the synthetic one, as people or in pods; each can be frozen, killed and resumed. */

import type { ApiClient } from '../clusters/client.ts';
import type { ControlPlane } from '../clusters/control-plane/cluster.ts';
import { writeKubeconfig } from '../clusters/kubeconfig.ts';
import { helmBinary } from '../tools/binaries.ts';
import { helmEnvironment, startHelm } from '../tools/run.ts';
import type { Identity, JobPod } from './identities.ts';
import { NAMESPACE } from './log.ts';
import { type Command, runSyntheticHelm } from './synthetic-helm.ts';

export type Outcome = 'deployed' | 'failed';

export interface Client {
  readonly command: Command;
  /** The job pod that it runs in. */
  readonly pod: JobPod | undefined;
  isOver(): boolean;
  /** It goes on from where it waits; if it does not yet, as soon as it does. */
  end(outcome: Outcome): void;
  /** Another hook begins: it writes its record again. */
  hook(): void;
  freeze(): void;
  resume(): void;
  kill(): void;
  /** How it ended, in words. */
  readonly done: Promise<string>;
}

/** Between two looks at a Job that is to be ended. */
const LOOK_MS = 100;

/** @param isSlow stands still between reading the history and creating its record */
export function startSynthetic(command: Command, { pod, api, close }: Identity, isSlow: boolean): Client {
  const killed = Promise.withResolvers<string>();
  const orders: (Outcome | 'hook')[] = [];
  let told = () => {};
  let thawed: PromiseWithResolvers<void> | undefined;
  let isOver = false;
  let isDead = false;

  const alive = async () => {
    await thawed?.promise;
    // Of a process that is gone, nothing is ever sent again.
    if (isDead) await new Promise(() => {});
  };
  async function order(): Promise<Outcome | 'hook'> {
    for (;;) {
      const next = orders.shift();
      if (next !== undefined) return next;
      await new Promise<void>((resolve) => {
        told = resolve;
      });
    }
  }
  function give(next: Outcome | 'hook'): void {
    orders.push(next);
    told();
  }
  const running = runSyntheticHelm(command, {
    api,
    alive,
    arrive: async (place) => (place === 'in its hook' || isSlow ? order() : 'deployed'),
  });
  const done = Promise.race([running, killed.promise]).finally(() => {
    isOver = true;
    close();
  });
  return {
    command,
    pod,
    isOver: () => isOver,
    end: give,
    hook: () => give('hook'),
    freeze: () => {
      thawed ??= Promise.withResolvers<void>();
    },
    resume: () => {
      thawed?.resolve();
      thawed = undefined;
    },
    kill: () => {
      isDead = true;
      killed.resolve('killed');
    },
    done,
  };
}

/** With hooks that nobody ends but the adversary. */
const CHART = new URL('../control-plane/chart', import.meta.url).pathname;
const HOOKS = 'hooks={pre-install,pre-upgrade,pre-rollback},outcome=Never';

export async function startReal(
  version: '3.17.3' | '4.1.4',
  command: Command,
  identity: Identity,
  cluster: ControlPlane,
  admin: ApiClient,
): Promise<Client> {
  const { username, token, pod } = identity;
  const kubeconfig = await writeKubeconfig(cluster.folder, {
    ...cluster,
    token,
    user: { username },
    namespace: NAMESPACE,
  });
  const driver = command.driver === 'secrets' ? 'secret' : 'configmap';
  const env = helmEnvironment({ folder: cluster.folder, kubeconfig, driver });
  const { helm } = await helmBinary(version);
  const running = startHelm(helm, argumentsOf(command), { env });
  let isOver = false;
  const done = running.done.then(({ code, stderr }) => {
    isOver = true;
    return code === 0 ? 'deployed' : stderr.trim();
  });

  /** The Jobs of its hooks, as soon as there are some. */
  async function endHooks(outcome: Outcome): Promise<void> {
    const jobs = ['install', 'upgrade', 'rollback'].map((verb) => `${command.release}-pre-${verb}`);
    while (!isOver) {
      for (const job of jobs) {
        await admin
          .completeJob(NAMESPACE, job, outcome === 'deployed' ? 'Complete' : 'Failed')
          .catch(() => {});
      }
      await Promise.race([done, new Promise((resolve) => setTimeout(resolve, LOOK_MS))]);
    }
  }
  return {
    command,
    pod,
    isOver: () => isOver,
    end: (outcome) => void endHooks(outcome),
    hook: () => {},
    freeze: () => running.kill('SIGSTOP'),
    resume: () => running.kill('SIGCONT'),
    kill: () => running.kill('SIGKILL'),
    done,
  };
}

function argumentsOf({ verb, release, historyMax, atomic, keepHistory }: Command): string[] {
  const limit = historyMax > 0 ? ['--history-max', String(historyMax)] : [];
  if (verb === 'uninstall')
    return ['uninstall', release, '--no-hooks', ...(keepHistory ? ['--keep-history'] : [])];
  if (verb === 'rollback') return ['rollback', release, ...limit];
  return ['upgrade', '--install', release, CHART, '--set', HOOKS, ...limit, ...(atomic ? ['--atomic'] : [])];
}
