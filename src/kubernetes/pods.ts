/** Whether pods have ended. */
import { pathOf } from './client.ts';
import { KubernetesError, type Requests } from './requests.ts';

/** One pod: another one of its name has another uid. */
export interface PodIdentity {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface PodReader {
  /**
   * How it has ended, in words that go on after its name; undefined as long as it may be running.
   * @throws if that cannot be read, or the answer is none of the API server's own
   */
  howItEnded(pod: PodIdentity, signal: AbortSignal): Promise<string | undefined>;
}

/** As the API server has it, as far as it concerns us. */
export interface StoredPod {
  readonly kind?: string;
  readonly metadata?: { readonly name?: string; readonly namespace?: string; readonly uid?: string };
  readonly status?: { readonly phase?: string };
}

/** The phases in which no container runs, nor ever will. In all others one may, also where its node does not answer. */
const FINISHED: readonly string[] = ['Succeeded', 'Failed'];

export function createPodReader({ read }: Pick<Requests, 'read'>): PodReader {
  return {
    async howItEnded({ namespace, name, uid }, signal) {
      const path = `${pathOf('pods', namespace)}/${encodeURIComponent(name)}`;
      try {
        const stored = await read<StoredPod>(path, { accept: 'application/json' }, signal);
        return endOf(stored, { namespace, name, uid });
      } catch (error) {
        // A proxy on the way, or a wrong address, has a 404 for everything; that is no proof of anything.
        const isGone = error instanceof KubernetesError && error.status === 404;
        if (isGone && error.message.endsWith(`pods ${JSON.stringify(name)} not found`)) return 'is gone';
        throw error;
      }
    },
  };
}

/** @throws if the answer is no pod of that name: something on the way answered, which proves nothing */
function endOf(stored: StoredPod, { namespace, name, uid }: PodIdentity): string | undefined {
  const { kind, metadata = {}, status } = stored;
  const isThatName = kind === 'Pod' && metadata.name === name && metadata.namespace === namespace;
  if (!isThatName || !metadata.uid)
    throw new Error(`the answer about pod ${namespace}/${name} is no such pod`);
  if (metadata.uid !== uid) return 'was replaced by another pod of that name';
  const phase = status?.phase;
  return phase !== undefined && FINISHED.includes(phase) ? `has finished (${phase})` : undefined;
}
