/** What the metadata of a pod tell of a holder: read once for each pod, since they are set when it is made. */
import { LRUCache } from 'lru-cache';
import type { RecordMetadata } from '../helm/release.ts';
import type { KubernetesClient } from './client.ts';
import type { PodIdentity } from './pods.ts';

export interface PodMetadataReader {
  /**
   * The metadata of this very pod.
   * @throws if they cannot be read in {@link READ_MS}, or the pod is gone
   */
  read(pod: PodIdentity): Promise<PodMetadataFound>;
}

export type PodMetadataFound = RecordMetadata & {
  readonly ownerReferences?: readonly { readonly kind?: string }[];
};

/** A read inside a namespace takes milliseconds; what takes longer is not worth a late ReleaseLock. */
const READ_MS = 2_000;

/** Pods remembered: a controller that deploys all day is read once. */
const MAX_REMEMBERED = 1_000;

export function createPodMetadataReader({ get }: Pick<KubernetesClient, 'get'>): PodMetadataReader {
  const known = new LRUCache<string, PodMetadataFound>({ max: MAX_REMEMBERED });
  return {
    async read({ namespace, name, uid }) {
      const remembered = known.get(uid);
      if (remembered !== undefined) return remembered;
      const found: PodMetadataFound | undefined = await get(
        'pods',
        namespace,
        name,
        AbortSignal.timeout(READ_MS),
      );
      if (found?.uid !== uid) throw new Error(`pod ${namespace}/${name} is not the one that sent the review`);
      known.set(uid, found);
      return found;
    },
  };
}
