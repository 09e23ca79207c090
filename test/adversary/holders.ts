/** Which client made a record and in which kind of pod, and what ReleaseLocks say of it: by the log alone. */
import { type Entry, type LoggedHolder, toldBy } from './log.ts';

/** A pod that runs one job, or one that forwards the requests of many. */
export type PodKind = 'job' | 'gateway';

export interface LoggedPod {
  readonly kind: PodKind;
  /** Each time that it was deleted. */
  readonly deaths: PodDeath[];
}

interface PodDeath {
  readonly gone: Entry;
  /** The announcement that it is there again. */
  returned?: Entry;
}

/** A write of a ReleaseLock that names the holder of a record. */
export interface Naming {
  readonly holder: LoggedHolder;
  readonly entry: Entry;
}

/** As people say it on a pod themselves; it decides before its owner does. */
const RUNS_HELM = 'lockkeeper.dev/runs-helm';

const SERVING_KINDS: readonly unknown[] = ['ReplicaSet', 'StatefulSet', 'DaemonSet', 'ReplicationController'];

/** @param written what succeeded, in the order of the log */
export function podsIn(written: readonly Entry[]): Map<string, LoggedPod> {
  const pods = new Map<string, LoggedPod>();
  for (const entry of written) {
    const uid = uidOf(entry);
    if (entry.resource === 'pods' && uid !== undefined) note(pods, uid, entry);
    const told = toldBy(entry);
    const last = told?.what === 'pod returned' ? pods.get(told.uid)?.deaths.at(-1) : undefined;
    if (last !== undefined) last.returned = entry;
  }
  return pods;
}

/** The API server answers a deletion with what the pod was, too. */
function note(pods: Map<string, LoggedPod>, uid: string, entry: Entry): void {
  const pod = pods.get(uid) ?? { kind: kindOf(entry), deaths: [] };
  pods.set(uid, pod);
  if (entry.verb === 'delete') pod.deaths.push({ gone: entry });
}

function kindOf({ answer }: Entry): PodKind {
  const { annotations = {}, ownerReferences = [] } = answer?.metadata ?? {};
  const runsHelm = annotations[RUNS_HELM];
  if (runsHelm === 'true') return 'job';
  if (runsHelm === 'false') return 'gateway';
  return ownerReferences.some(({ kind }) => SERVING_KINDS.includes(kind)) ? 'gateway' : 'job';
}

export function namingsIn(written: readonly Entry[]): Map<string, Naming[]> {
  const named = new Map<string, Naming[]>();
  for (const entry of written) {
    const { recordUID, holder } = entry.answer?.spec ?? {};
    const isNaming = entry.resource === 'releaselocks' && entry.verb !== 'delete';
    if (!isNaming || recordUID === undefined || holder === undefined) continue;
    named.set(recordUID, [...(named.get(recordUID) ?? []), { holder, entry }]);
  }
  return named;
}

/** A Secret is answered with a Status when it is deleted, a pod with what it was. */
export function uidOf({ answer }: Entry): string | undefined {
  return answer?.details?.uid ?? answer?.metadata?.uid;
}

export type Who = Pick<Entry, 'user' | 'podUid'>;

/** Whether Lockkeeper can take one client for the other, which made a record: a gateway's next pod speaks for the same. */
export function isSameClient(pods: ReadonlyMap<string, LoggedPod>, maker: Who, other: Who): boolean {
  const isJob = isJobPod(pods, maker);
  return maker.user === other.user && (!isJob || maker.podUid === other.podUid);
}

export function isSameJobPod(pods: ReadonlyMap<string, LoggedPod>, maker: Who, other: Who): boolean {
  return isJobPod(pods, maker) && isSameClient(pods, maker, other);
}

export function isJobPod(pods: ReadonlyMap<string, LoggedPod>, { podUid }: Who): boolean {
  return podUid !== undefined && pods.get(podUid)?.kind === 'job';
}
