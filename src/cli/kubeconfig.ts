/** The kubeconfig, found and merged as kubectl does it; the client's own loader takes the last file, and no missing one. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Cluster, KubeConfig, User } from '@kubernetes/client-node';
import { EXIT, Failure } from './exit.ts';

/** What the command line says about the cluster. */
export interface KubeconfigChoice {
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
  /** What else is said in place of the file's words. */
  readonly cluster?: Partial<Cluster>;
  readonly user?: Partial<User>;
}

export interface Place {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
}

/** @throws Failure when there is none, or one that cannot be used */
export async function loadKubeconfig(choice: KubeconfigChoice, place: Place): Promise<KubeConfig> {
  // A wrong command line need not wait for it.
  const { newKubeConfig } = await import('../kubernetes/kubeconfig.ts');
  const loaded = filesOf(choice, place).map((file) => {
    const one = newKubeConfig();
    try {
      one.loadFromFile(file);
    } catch (error) {
      throw new Failure(
        EXIT.unreachable,
        `the kubeconfig ${file} cannot be read: ${(error as Error).message}`,
      );
    }
    return one;
  });
  const kubeConfig = newKubeConfig();
  if (loaded.length === 0) loadInCluster(kubeConfig, place);
  else kubeConfig.loadFromOptions(merge(loaded));
  choose(kubeConfig, choice);
  return kubeConfig;
}

/** The namespace of the context; in a pod, that of the pod. */
export function namespaceOf(kubeConfig: KubeConfig): string {
  return kubeConfig.getContextObject(kubeConfig.getCurrentContext())?.namespace?.trim() || 'default';
}

/** A file that is named must be there; of KUBECONFIG's, those that are. */
function filesOf({ kubeconfig }: KubeconfigChoice, { env, home }: Place): string[] {
  if (kubeconfig) return [kubeconfig];
  const files = env.KUBECONFIG ? env.KUBECONFIG.split(delimiter) : [join(home, '.kube', 'config')];
  return files.filter((file) => file !== '' && existsSync(file));
}

function loadInCluster(kubeConfig: KubeConfig, { env }: Place): void {
  if (!env.KUBERNETES_SERVICE_HOST) {
    throw new Failure(
      EXIT.unreachable,
      'there is no kubeconfig: set KUBECONFIG, give --kubeconfig, or run in a pod',
    );
  }
  kubeConfig.loadFromCluster();
}

/** The first file that says something about a name is right, and so is the first that names a context. */
function merge(loaded: readonly KubeConfig[]) {
  return {
    clusters: firstOfEach(loaded.flatMap(({ clusters }) => clusters)),
    users: firstOfEach(loaded.flatMap(({ users }) => users)),
    contexts: firstOfEach(loaded.flatMap(({ contexts }) => contexts)),
    currentContext: loaded.map((one) => one.getCurrentContext()).find(Boolean),
  };
}

function firstOfEach<T extends { readonly name: string }>(items: readonly T[]): T[] {
  return [...new Map(items.toReversed().map((item) => [item.name, item])).values()];
}

function choose(kubeConfig: KubeConfig, { context, cluster, user }: KubeconfigChoice): void {
  if (context) {
    if (kubeConfig.getContextObject(context) === null) {
      throw new Failure(EXIT.unreachable, `the kubeconfig has no context ${JSON.stringify(context)}`);
    }
    kubeConfig.setCurrentContext(context);
  }
  const current = kubeConfig.getContextObject(kubeConfig.getCurrentContext());
  const change = <T extends { readonly name: string }>(
    items: readonly T[],
    name: unknown,
    to?: Partial<T>,
  ): T[] => items.map((item) => (item.name === name ? { ...item, ...to } : item));
  kubeConfig.clusters = change(kubeConfig.clusters, current?.cluster, cluster);
  kubeConfig.users = change(kubeConfig.users, current?.user, user);
}
