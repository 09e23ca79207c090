/** Whether a pod runs one job or serves many, as its metadata tell. */
import type { Holder, Pod, PodKind } from './lock.ts';

/** On a pod: `"true"` says that Helm runs in it, `"false"` that it forwards the requests of a Helm that runs elsewhere. */
export const RUNS_HELM = 'lockkeeper.dev/runs-helm';

export interface PodMetadata {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly { readonly kind?: string }[];
}

/** What keeps pods for a service. `Node` owns the mirror of a static pod. Jobs, and the kinds of CI systems, run one job each. */
const SERVING_KINDS: readonly unknown[] = [
  'ReplicaSet',
  'StatefulSet',
  'DaemonSet',
  'ReplicationController',
  'Node',
];

export function podKindOf({ annotations = {}, ownerReferences = [] }: PodMetadata): PodKind {
  const runsHelm = annotations[RUNS_HELM];
  if (runsHelm === 'true') return 'job';
  if (runsHelm === 'false') return 'gateway';
  return ownerReferences.some(({ kind }) => SERVING_KINDS.includes(kind)) ? 'gateway' : 'job';
}

/** The pod whose end is the end of this holder; undefined if there is none. The end of any other pod proves nothing. */
export function jobPodOf(holder: Holder | undefined): Pod | undefined {
  return holder?.podKind === 'job' ? holder.pod : undefined;
}
