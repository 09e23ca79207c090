/** What the metadata of a pod say of the holder in it. */
import type { Logger } from 'pino';
import type { Pod } from '../gate/lock.ts';
import { podKindOf } from '../gate/pod-kind.ts';
import { type LabelSelector, matchesSelector } from '../kubernetes/label-selector.ts';
import type { PodMetadataReader } from '../kubernetes/pod-metadata.ts';
import type { PodFacts } from './holders.ts';

export interface PodDescriberOptions {
  readonly reader: PodMetadataReader;
  /** Of pods whose locks nobody but a person clears. */
  readonly except: LabelSelector;
  readonly log: Logger;
}

/** @throws if the pod cannot be read, which is logged */
export function createPodDescriber({ reader, except, log }: PodDescriberOptions) {
  return async (pod: Pod): Promise<PodFacts> => {
    try {
      const metadata = await reader.read(pod);
      const neverAutoClear = matchesSelector(except, metadata.labels ?? {});
      return { podKind: podKindOf(metadata), ...(neverAutoClear && { neverAutoClear }) };
    } catch (error) {
      const fields = { pod: `${pod.namespace}/${pod.name}`, reason: String(error) };
      log.warn(fields, 'the pod of a holder cannot be read, so its end will prove nothing');
      throw error;
    }
  };
}
