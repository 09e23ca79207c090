/** What people do with Helm all day, on one release, one command after the other: none needs a revision to rise again. */
import type { HelmVersion } from '../tools/binaries.ts';

export interface Step {
  /** `R` is the release; of the chart beside this file. Helm 4's options are in Helm 3's words. */
  readonly command: string;
  /** How it ends; a signal is what it is sent once its hook runs. */
  readonly ends: 'well' | 'badly' | NodeJS.Signals;
}

const well = (command: string): Step => ({ command, ends: 'well' });
const badly = (command: string): Step => ({ command, ends: 'badly' });
const sent = (ends: NodeJS.Signals, command: string): Step => ({ command, ends });

const FAILS = 'outcome=Failed';
const HANGS = 'outcome=Never';

export const ORDINARY_STEPS: readonly Step[] = [
  // Each hook is a write of the record.
  well('install R CHART --set hooks={pre-install,post-install,test}'),
  well('test R'),
  well('upgrade R CHART --set hooks={pre-upgrade,post-upgrade},message=second'),
  // Upgrades that fail, and what follows them.
  badly(`upgrade R CHART --set hooks={pre-upgrade},${FAILS}`),
  badly(`upgrade R CHART --set hooks={post-upgrade},${FAILS}`),
  badly('upgrade R CHART --set broken=true --cleanup-on-fail'),
  badly(`upgrade R CHART --set hooks={post-upgrade},${FAILS} --atomic`),
  well('upgrade R CHART --force --set message=third'),
  // Rollbacks to what was superseded, and to what failed.
  well('rollback R 1'),
  well('rollback R 4'),
  well(`upgrade --install R CHART --set hooks={pre-rollback,test},${FAILS}`),
  badly('test R'),
  // To the newest itself; the hook that fails leaves a pending revision behind, and so does who is killed.
  badly('rollback R 11'),
  well('rollback R 9'),
  sent('SIGKILL', `upgrade R CHART --set hooks={pre-upgrade},${HANGS}`),
  well('rollback R 13'),
  sent('SIGINT', `upgrade R CHART --set hooks={post-upgrade},${HANGS}`),
  sent('SIGTERM', `upgrade R CHART --set hooks={pre-upgrade},${HANGS} --atomic`),
  well('upgrade R CHART --set hooks={pre-delete,post-delete}'),
  // Uninstalled, and back.
  well('uninstall R --keep-history'),
  well(`install R CHART --replace --set hooks={pre-delete},${FAILS}`),
  badly('uninstall R'),
  well('uninstall R --no-hooks'),
  // Installs that fail; a rollback to what never worked leaves nothing deployed.
  badly(`install R CHART --set hooks={post-install},${FAILS}`),
  well('install R CHART --replace'),
  well('uninstall R'),
  badly(`install R CHART --set hooks={post-install},${FAILS} --atomic`),
  badly('install R CHART --set broken=true'),
  well('upgrade --install R CHART --reset-values'),
  badly('rollback R 1'),
  well('uninstall R'),
  sent('SIGINT', `install R CHART --set hooks={post-install},${HANGS}`),
  well('upgrade --install R CHART --atomic'),
  well('uninstall R'),
];

/** The hook that somebody is to be sent a signal in. */
export function hookOf({ command }: Step): string {
  return /hooks=\{(.*?)\}/.exec(command)?.[1] ?? '';
}

/** In the words of this Helm. */
export function inWordsOf(version: HelmVersion, command: string): string {
  if (version.startsWith('3.')) return command;
  return command
    .replace('--atomic', '--rollback-on-failure')
    .replace('--force', '--force-replace --server-side=false');
}
