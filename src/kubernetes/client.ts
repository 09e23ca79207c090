/**
 * The few requests that the service makes. Records are asked for as metadata only: a release's payload may
 * hold secrets and weigh a megabyte, and never enters this process by this way.
 */
import type { Dispatcher } from 'undici';
import type { Driver, RecordMetadata } from '../helm/release.ts';
import { KubernetesError, type Requests } from './requests.ts';

/** What there are lists and watches of. */
export type Collection = Driver | 'pods' | 'validatingwebhookconfigurations';

export interface KubernetesClient {
  /** The metadata of one object, or undefined if there is none. */
  get(
    resource: Driver,
    namespace: string,
    name: string,
    signal: AbortSignal,
  ): Promise<RecordMetadata | undefined>;
  /** All objects that are selected, read in pages. */
  list(resource: Collection, options: ListOptions, signal: AbortSignal): Promise<MetadataList>;
  /** The changes since a resourceVersion, until the server ends the watch. */
  watch(resource: Collection, options: WatchOptions, signal: AbortSignal): AsyncGenerator<WatchEvent, void>;
}

export interface ListOptions {
  readonly labelSelector?: string;
  /** `metadata.name=` one of them is all that every resource knows. */
  readonly fieldSelector?: string;
  /** All namespaces if it is left out. */
  readonly namespace?: string;
}

export interface WatchOptions extends ListOptions {
  readonly resourceVersion: string;
  /** How long the server should keep the watch open. */
  readonly timeoutSeconds: number;
}

export interface MetadataList {
  readonly items: readonly RecordMetadata[];
  /** Where a watch goes on from. */
  readonly resourceVersion: string;
}

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly metadata: RecordMetadata;
}

const METADATA_ONLY = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1';
const METADATA_LIST = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';

/** What client-go asks for at once, too. */
const PAGE_SIZE = 500;

interface PartialObjectMetadata {
  readonly metadata: RecordMetadata;
}

interface PartialObjectMetadataList {
  readonly metadata: { readonly resourceVersion?: string; readonly continue?: string };
  /** Null when there are none: so a real API server writes an empty list of this kind (seen: 1.37). */
  readonly items: readonly PartialObjectMetadata[] | null;
}

/** A line of a watch; an ERROR carries a Status instead of an object. */
type WatchLine =
  | { readonly type: WatchEvent['type']; readonly object: PartialObjectMetadata }
  | { readonly type: 'ERROR'; readonly object: { readonly code?: number; readonly message?: string } };

/** A list of all namespaces may make an API server read every Secret of the cluster, which can be gigabytes. */
const CLUSTER_LIST_MS = 60_000;

export function createKubernetesClient({ read, open }: Pick<Requests, 'read' | 'open'>): KubernetesClient {
  return {
    async get(resource, namespace, name, signal) {
      const path = `${pathOf(resource, namespace)}/${encodeURIComponent(name)}`;
      try {
        return (await read<PartialObjectMetadata>(path, { accept: METADATA_ONLY }, signal)).metadata;
      } catch (error) {
        if (error instanceof KubernetesError && error.status === 404) return undefined;
        throw error;
      }
    },

    async list(resource, { namespace, ...selectors }, signal) {
      const items: RecordMetadata[] = [];
      const query = new URLSearchParams({ ...selectors, limit: String(PAGE_SIZE) });
      const options = { accept: METADATA_LIST, ...(namespace === undefined && { limitMs: CLUSTER_LIST_MS }) };
      for (;;) {
        const path = `${pathOf(resource, namespace)}?${query}`;
        const page = await read<PartialObjectMetadataList>(path, options, signal);
        for (const { metadata } of page.items ?? []) items.push(metadata);
        if (!page.metadata.continue) return { items, resourceVersion: page.metadata.resourceVersion ?? '' };
        query.set('continue', page.metadata.continue);
      }
    },

    async *watch(resource, { namespace, timeoutSeconds, ...selected }, signal) {
      const query = new URLSearchParams({
        watch: 'true',
        allowWatchBookmarks: 'true',
        ...selected,
        timeoutSeconds: String(timeoutSeconds),
      });
      const path = `${pathOf(resource, namespace)}?${query}`;
      const body = await open(path, METADATA_ONLY, signal);
      for await (const line of linesOf(body)) {
        const event = JSON.parse(line) as WatchLine;
        if (event.type === 'ERROR') {
          throw new KubernetesError(`watch ${path}`, event.object.code ?? 0, event.object.message ?? '');
        }
        yield { type: event.type, metadata: event.object.metadata };
      }
    },
  };
}

/** node:readline would do, but it does not pass on the errors of its input: a watch that is cut would hang. */
async function* linesOf(body: Dispatcher.ResponseData['body']): AsyncGenerator<string, void> {
  let rest = '';
  for await (const chunk of body.setEncoding('utf8')) {
    rest += chunk;
    const end = rest.lastIndexOf('\n') + 1;
    yield* rest.slice(0, end).split('\n').filter(Boolean);
    rest = rest.slice(end);
  }
}

export const WEBHOOK_CONFIGURATIONS_PATH =
  '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';

export function pathOf(resource: string, namespace?: string): string {
  if (resource === 'validatingwebhookconfigurations') return WEBHOOK_CONFIGURATIONS_PATH;
  return namespace === undefined
    ? `/api/v1/${resource}`
    : `/api/v1/namespaces/${encodeURIComponent(namespace)}/${resource}`;
}
