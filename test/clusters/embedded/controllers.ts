/** What the controllers share: they delete as themselves, through admission, and do not give up. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ResourceTarget } from './request-info.ts';
import type { Resource } from './resources.ts';
import type { Store } from './store.ts';
import { serviceAccount, withAuthenticatedGroup } from './users.ts';
import type { WriteRequest } from './write-request.ts';
import type { Writes } from './writes.ts';

export interface ControllerDependencies {
  readonly resources: readonly Resource[];
  readonly store: Store;
  readonly writes: Writes;
  readonly log: (message: string) => void;
  /** Aborted when the cluster stops. */
  readonly stopping: AbortSignal;
}

/** A deletion by a controller, which is a service account of kube-system. */
export function deletionBy(
  controller: string,
  target: Omit<ResourceTarget, 'subresource'>,
  signal: AbortSignal,
  more: Pick<WriteRequest, 'isCollection'> & { readonly preconditions?: object },
): WriteRequest {
  const { isCollection, ...options } = more;
  return {
    ...target,
    subresource: '',
    isCollection,
    user: withAuthenticatedGroup(serviceAccount('kube-system', controller)),
    manager: 'kube-controller-manager',
    dryRun: false,
    options: { ...options, propagationPolicy: 'Background' },
    signal,
    warn: () => {},
  };
}

const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 1_000;

/** Tries again, less and less often, until `attempt` says that nothing is left to do, or the signal aborts. */
export async function untilDone(attempt: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
  let pause = FIRST_PAUSE_MS;
  while (!signal.aborted && !(await attempt())) {
    await delay(pause, undefined, { signal, ref: false }).catch(() => {});
    pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
  }
}
