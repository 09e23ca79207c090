/** Keeps the registry current by a watch on the pending records of each driver. */
import {
  type Driver,
  PENDING_SELECTOR,
  type RecordMetadata,
  type Revision,
  readRevision,
} from '../helm/release.ts';
import type { ListWatchOptions } from '../kubernetes/watch.ts';
import type { Registry } from './registry.ts';

/** What of a list-watch concerns the registry. */
export function followPending(
  resource: Driver,
  registry: Registry,
): Pick<ListWatchOptions, 'resource' | 'labelSelector' | 'onList' | 'onEvent'> {
  const read = (item: RecordMetadata) => readRevision(resource, item);
  return {
    resource,
    labelSelector: PENDING_SELECTOR,
    onList: (items) =>
      registry.replace(
        resource,
        items.map(read).filter((found) => found !== undefined),
      ),
    onEvent: (type, item) => {
      const revision: Revision | undefined = read(item);
      if (revision === undefined) return; // labelled like a record, but not named like one: no lock of Helm's
      if (type === 'DELETED') registry.remove(revision);
      else registry.put(revision);
    },
  };
}
