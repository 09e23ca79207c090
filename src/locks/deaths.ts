/**
 * Proves that the pods which hold locks have ended, by live reads. Every replica finds it for itself, and reads it once more
 * before anything rests on it.
 *
 * Pods are looked at again and again, as long as they hold a lock. A watch would hear sooner, by a second or two; but it
 * would keep a connection for each namespace with runners, and tell of every other pod in it.
 */
import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import type { Death, Pod } from '../gate/lock.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import type { PodReader } from '../kubernetes/pods.ts';
import { startReconciler } from '../reconciler.ts';

export interface Deaths {
  /** The proof that this pod has ended; undefined as long as it may be running. */
  of(pod: Pod): Death | undefined;
  /**
   * Whether the pod has ended still, read live. If it is there again, as in a restored etcd, its death is forgotten.
   * @throws if that cannot be read
   */
  confirm(pod: Pod, signal: AbortSignal): Promise<boolean>;
  /** Other pods may hold locks now. */
  wake(): void;
  stop(): Promise<void>;
}

export interface DeathsOptions {
  /** The pods that hold locks now. */
  readonly pods: () => readonly Pod[];
  readonly reader: PodReader;
  readonly client: Pick<KubernetesClient, 'list'>;
  /** Another death was proven, or taken back. */
  readonly onDeath: () => void;
  /** How long it rests after each look, which is at all locks: {@link startReconciler}. */
  readonly restMs?: () => number;
  readonly clock: Pick<Clock, 'after' | 'now'>;
  readonly random: () => number;
  readonly log: Logger;
}

/** How often the pods of a namespace are looked at. */
const LOOK_MS = 3_000;

/** Between two namespaces: many of them wait longer for their turn, and the API server is asked no more often. */
const PAUSE_MS = 100;

/** After a look that failed. */
const FAILED_MS = 5_000;

/** More than so many pods of one namespace cost less as a list of their metadata. */
const MAX_SINGLE_READS = 3;

/** Of what runs, a list tells; what it leaves out has ended, or is yet to be looked at. */
const NOT_FINISHED = 'status.phase!=Succeeded,status.phase!=Failed';

/** Deaths remembered; of a lock that outlives that, the proof is found again. */
const MAX_REMEMBERED = 10_000;

/** Each of its requests has shorter limits. */
const LOOK_LIMIT_MS = 30_000;

export function createDeaths(options: DeathsOptions): Deaths {
  const { pods, reader, client, onDeath, clock, random, log } = options;
  const deaths = new LRUCache<string, Death>({ max: MAX_REMEMBERED });
  /** When each namespace with holders is to be looked at, by the clock of waits. */
  const due = new Map<string, number>();
  const problems = new Map<string, string>();

  /** Looks at the namespace that has waited for longest, if it is due. Returns how long it is until the next one is. */
  async function reconcile(signal: AbortSignal): Promise<number> {
    const holders = byNamespace(pods().filter(({ uid }) => !deaths.has(uid)));
    schedule(holders);
    const [first] = [...due].toSorted(([, one], [, other]) => one - other);
    if (first === undefined) return Number.POSITIVE_INFINITY;
    const [namespace, at] = first;
    if (at > clock.now()) return at - clock.now();
    const isRead = await look(namespace, holders.get(namespace) as Pod[], signal);
    due.set(namespace, clock.now() + (isRead ? LOOK_MS : FAILED_MS));
    return PAUSE_MS;
  }

  /** Most deploys end before they are looked at once. */
  function schedule(holders: ReadonlyMap<string, unknown>): void {
    for (const namespace of due.keys()) if (!holders.has(namespace)) due.delete(namespace);
    for (const namespace of holders.keys()) {
      if (!due.has(namespace)) due.set(namespace, clock.now() + random() * LOOK_MS);
    }
  }

  /** Whether it could be read how they are. */
  async function look(namespace: string, holders: readonly Pod[], stopping: AbortSignal): Promise<boolean> {
    const signal = AbortSignal.any([stopping, AbortSignal.timeout(LOOK_LIMIT_MS)]);
    try {
      for (const pod of await suspects(namespace, holders, signal)) await prove(pod, signal);
      problems.delete(namespace);
      return true;
    } catch (error) {
      stopping.throwIfAborted();
      tell(namespace, error as Error);
      return false;
    }
  }

  async function suspects(
    namespace: string,
    holders: readonly Pod[],
    signal: AbortSignal,
  ): Promise<readonly Pod[]> {
    if (holders.length <= MAX_SINGLE_READS) return holders;
    const { items } = await client.list('pods', { namespace, fieldSelector: NOT_FINISHED }, signal);
    const running = new Set(items.map(({ uid }) => uid));
    return holders.filter(({ uid }) => !running.has(uid));
  }

  async function prove(pod: Pod, signal: AbortSignal): Promise<void> {
    const how = await reader.howItEnded(pod, signal);
    if (how === undefined) return;
    deaths.set(pod.uid, { how, provenAt: clock.now() });
    log.info({ pod: `${pod.namespace}/${pod.name}`, how }, 'the holder of a lock is dead');
    onDeath();
  }

  function tell(namespace: string, { message }: Error): void {
    if (problems.get(namespace) !== message) {
      log.warn({ namespace, reason: message }, 'it cannot be told whether the holders of locks are alive');
    }
    problems.set(namespace, message);
  }

  const reconciler = startReconciler({
    reconcile,
    onError: (error) => log.error({ err: error }, 'the holders of locks cannot be looked at'),
    ...(options.restMs && { restMs: options.restMs }),
    clock,
    random,
  });
  return {
    of: ({ uid }) => deaths.get(uid),
    async confirm(pod, signal) {
      if ((await reader.howItEnded(pod, signal)) !== undefined) return true;
      deaths.delete(pod.uid);
      log.warn({ pod: `${pod.namespace}/${pod.name}` }, 'the holder of a lock that was gone is there again');
      onDeath();
      return false;
    },
    wake: reconciler.wake,
    stop: reconciler.stop,
  };
}

function byNamespace(pods: readonly Pod[]): Map<string, Pod[]> {
  return Map.groupBy(new Map(pods.map((pod) => [pod.uid, pod])).values(), ({ namespace }) => namespace);
}
