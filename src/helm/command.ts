import type { Release } from './release.ts';

/** The command line that tells Helm to do something where a release is kept: `helm history api -n prod`. */
export function helmCommand(
  { driver, namespace }: Pick<Release, 'driver' | 'namespace'>,
  command: string,
): string {
  const environment = driver === 'secrets' ? '' : 'HELM_DRIVER=configmap ';
  return `${environment}helm ${command} -n ${namespace}`;
}
