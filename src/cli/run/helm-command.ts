/** What a Helm command line is about: which releases, where, and in which cluster. */
import type { Driver } from '../../helm/release.ts';
import type { KubeconfigChoice } from '../kubeconfig.ts';
import { readWords, type Word } from './helm-words.ts';

export type HelmCommand =
  | {
      readonly kind: 'deploy';
      /** None if Helm makes up the name. */
      readonly releases: readonly string[];
      /** Where Helm keeps the records. */
      readonly driver: Driver;
      /** Undefined is that of the context. */
      readonly namespace: string | undefined;
      readonly choice: KubeconfigChoice;
      /** The arguments without those that name a cluster, for a Helm that is told so by its kubeconfig. */
      readonly withoutCluster: readonly string[];
    }
  /** Nothing to wait for; why, in words. */
  | { readonly kind: 'other'; readonly why: string };

type Environment = Readonly<Record<string, string | undefined>>;

const ALIASES: Readonly<Record<string, Verb>> = {
  upgrade: 'upgrade',
  install: 'install',
  rollback: 'rollback',
  uninstall: 'uninstall',
  delete: 'uninstall',
  del: 'uninstall',
  un: 'uninstall',
};

type Verb = 'upgrade' | 'install' | 'rollback' | 'uninstall';

/** The flags of Helm that choose a cluster, and the variables that do the same (pkg/cli/environment.go). */
export const CLUSTER_VARIABLES = {
  kubeconfig: 'KUBECONFIG',
  'kube-context': 'HELM_KUBECONTEXT',
  'kube-apiserver': 'HELM_KUBEAPISERVER',
  'kube-token': 'HELM_KUBETOKEN',
  'kube-ca-file': 'HELM_KUBECAFILE',
  'kube-insecure-skip-tls-verify': 'HELM_KUBEINSECURE_SKIP_TLS_VERIFY',
  'kube-tls-server-name': 'HELM_KUBETLS_SERVER_NAME',
} as const;

/** HELM_DRIVER, as Helm reads it (pkg/action/action.go). The others keep nothing in the cluster. */
const DRIVERS: Readonly<Record<string, Driver>> = {
  '': 'secrets',
  secret: 'secrets',
  secrets: 'secrets',
  configmap: 'configmaps',
  configmaps: 'configmaps',
};

/** @param args what follows the word `helm` */
export function readHelmCommand(args: readonly string[], env: Environment): HelmCommand {
  const words = readWords(args);
  const [command, ...names] = words.filter(({ kind }) => kind === 'name').map(({ raw: [text = ''] }) => text);
  const verb = ALIASES[command ?? ''];
  if (verb === undefined) return other(`helm ${command ?? ''}`.trim(), 'takes no lock');
  const driver = DRIVERS[env.HELM_DRIVER ?? ''];
  if (driver === undefined) return other(`HELM_DRIVER=${env.HELM_DRIVER}`, 'keeps no records in the cluster');
  if (flag(words, 'help')) return other('--help', 'deploys nothing');
  if (isDryRun(flag(words, 'dry-run'))) return other('--dry-run', 'takes no lock');
  return {
    kind: 'deploy',
    releases: releasesOf(verb, names),
    driver,
    namespace: flag(words, 'namespace')?.value || env.HELM_NAMESPACE || undefined,
    choice: choiceOf(words, env),
    withoutCluster: words
      .filter((word) => word.kind === 'name' || !(word.name in CLUSTER_VARIABLES))
      .flatMap(({ raw }) => raw),
  };
}

function other(what: string, why: string): HelmCommand {
  return { kind: 'other', why: `${what} ${why}` };
}

/** The last one counts. */
function flag(words: readonly Word[], name: string) {
  return words.findLast((word) => word.kind === 'flag' && word.name === name) as
    | Extract<Word, { kind: 'flag' }>
    | undefined;
}

function isDryRun(found: { readonly value: string | undefined } | undefined): boolean {
  return found !== undefined && !['none', 'false'].includes(found.value ?? '');
}

function releasesOf(verb: Verb, names: readonly string[]): readonly string[] {
  if (verb === 'uninstall') return names;
  if (verb === 'install' && names.length < 2) return []; // `helm install CHART --generate-name`
  return names.slice(0, 1);
}

function choiceOf(words: readonly Word[], env: Environment): KubeconfigChoice {
  // An empty value is what Helm takes for none.
  const given = (name: keyof typeof CLUSTER_VARIABLES) =>
    flag(words, name)?.value || env[CLUSTER_VARIABLES[name]] || undefined;
  const server = given('kube-apiserver');
  const caFile = given('kube-ca-file');
  const tlsServerName = given('kube-tls-server-name');
  const token = given('kube-token');
  const insecure = flag(words, 'kube-insecure-skip-tls-verify');
  const skipTLSVerify = insecure
    ? insecure.value !== 'false'
    : env.HELM_KUBEINSECURE_SKIP_TLS_VERIFY === 'true';
  return {
    // Of the variable, KUBECONFIG may name several files, and the loader of kubeconfigs knows it.
    kubeconfig: flag(words, 'kubeconfig')?.value || undefined,
    context: given('kube-context'),
    cluster: {
      ...(server && { server }),
      ...(caFile && { caFile }),
      ...(tlsServerName && { tlsServerName }),
      ...(skipTLSVerify && { skipTLSVerify }),
    },
    user: token ? { token } : {},
  };
}
