/** Flags that several commands have, named as kubectl names them. */
import type { Flag } from './arguments.ts';

/** As the service has it when nobody configures it (LOCKKEEPER_STALE_AFTER_SECONDS). */
export const STALE_AFTER_SECONDS = 900;

export const NAMESPACE: Flag = {
  name: 'namespace',
  short: 'n',
  value: 'NAMESPACE',
  text: 'Where the release is. Default: the namespace of the context.',
};

export const ALL_NAMESPACES: Flag = {
  name: 'all-namespaces',
  short: 'A',
  text: 'The locks of all namespaces; --namespace is ignored.',
};

export const CLUSTER_FLAGS: readonly Flag[] = [
  { name: 'context', value: 'NAME', text: 'The context of the kubeconfig. Default: the current one.' },
  {
    name: 'kubeconfig',
    value: 'FILE',
    text: 'Default: the files that KUBECONFIG names, ~/.kube/config, or the service account of the pod.',
  },
];

export const OUTPUT: Flag = {
  name: 'output',
  short: 'o',
  value: 'FORMAT',
  text: 'table or json. Locks in JSON are those of the REST API.',
  oneOf: ['table', 'json'],
};

export const STALE_AFTER: Flag = {
  name: 'stale-after',
  value: 'DURATION',
  text: 'Without Lockkeeper in the cluster: a lock is stale if Helm has not written for so long. Default: 15m.',
};

export function timeoutFlag(byDefault: string): Flag {
  return {
    name: 'timeout',
    value: 'DURATION',
    text: `How long to wait; 0 looks once. Default: ${byDefault}.`,
  };
}

export const NO_CLEAR_STALE: Flag = {
  name: 'no-clear-stale',
  text: 'Leave a stale lock alone, and wait for its end as well.',
};

export const HELP: Flag = { name: 'help', short: 'h', text: 'Prints this.' };
