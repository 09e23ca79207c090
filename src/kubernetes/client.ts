/**
 * The few requests that the service makes. Records are asked for as metadata only: a release's payload may
 * hold secrets and weigh a megabyte, and never enters this process by this way.
 */
import type { Dispatcher } from 'undici';
import type { Driver, RecordMetadata } from '../helm/release.ts';
import { isList, isObjectOf, isStored } from './answers.ts';
import { KubernetesError, orNone, type Requests } from './requests.ts';

/** What there are lists and watches of, by metadata only. */
export type Collection = Driver | 'pods' | WebhookConfigurations;

export type WebhookConfigurations = 'validatingwebhookconfigurations' | 'mutatingwebhookconfigurations';

export interface KubernetesClient extends Lister<Collection, RecordMetadata> {
  /** The metadata of one object, or undefined if there is none. */
  get(
    resource: Driver | 'pods',
    namespace: string,
    name: string,
    signal: AbortSignal,
  ): Promise<RecordMetadata | undefined>;
}

/** What a list and a watch need, of whatever they tell. */
export interface Lister<Resource extends string, Item> {
  /** All objects that are selected, read in pages. */
  list(resource: Resource, options: ListOptions, signal: AbortSignal): Promise<ItemList<Item>>;
  /** The changes since a resourceVersion, until the server ends the watch. */
  watch(
    resource: Resource,
    options: WatchOptions,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<Item>, void>;
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

export interface ItemList<Item> {
  readonly items: readonly Item[];
  /** Where a watch goes on from. */
  readonly resourceVersion: string;
}

export interface WatchEvent<Item> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly metadata: RecordMetadata;
  /** Of a bookmark, only the metadata are worth anything. */
  readonly item: Item;
}

/** Which representation to ask for, of one object and of a list. */
interface Accept {
  readonly one: string;
  readonly list: string;
}

const METADATA_ONLY: Accept = {
  one: 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1',
  list: 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1',
};

const WHOLE: Accept = { one: 'application/json', list: 'application/json' };

/** What client-go asks for at once, too. */
const PAGE_SIZE = 500;

interface ApiObject {
  readonly metadata: RecordMetadata;
}

interface ApiList<T> {
  readonly metadata: { readonly resourceVersion?: string; readonly continue?: string };
  /** Null when there are none: so a real API server writes an empty list of metadata (seen: 1.37). */
  readonly items: readonly T[] | null;
}

/** A line of a watch; an ERROR carries a Status instead of an object. */
type WatchLine<T> =
  | { readonly type: WatchEvent<T>['type']; readonly object: T }
  | { readonly type: 'ERROR'; readonly object: { readonly code?: number; readonly message?: string } };

/** A list of all namespaces may make an API server read every Secret of the cluster, which can be gigabytes. */
const CLUSTER_LIST_MS = 60_000;

export function createKubernetesClient(requests: Pick<Requests, 'read' | 'open'>): KubernetesClient {
  return {
    ...createLister<Collection, ApiObject, RecordMetadata>(
      requests,
      METADATA_ONLY,
      ({ metadata }) => metadata,
    ),

    async get(resource, namespace, name, signal) {
      const path = `${pathOf(resource, namespace)}/${encodeURIComponent(name)}`;
      const found = await orNone(requests.read<ApiObject>(path, { accept: METADATA_ONLY.one }, signal));
      if (found !== undefined && !isObjectOf(found, name)) throw nonsense(path);
      return found?.metadata;
    },
  };
}

/** @throws if it is no list of stored objects */
function objectsIn<T>(page: ApiList<T>, path: string): readonly T[] {
  if (!isList(page) || !(page.items ?? []).every(isStored)) throw nonsense(path);
  return page.items ?? [];
}

/** What is no answer to the question proves nothing: above all not that there is none. */
function nonsense(path: string): Error {
  return new Error(`GET ${path}: the answer is not what an API server stores`);
}

/** Of whole objects: for what is Lockkeeper's own, and small. */
export function createObjectLister<Resource extends string, T extends ApiObject>(
  requests: Pick<Requests, 'read' | 'open'>,
): Lister<Resource, T> {
  return createLister<Resource, T, T>(requests, WHOLE, (object) => object);
}

function createLister<Resource extends string, T extends ApiObject, Item>(
  { read, open }: Pick<Requests, 'read' | 'open'>,
  accept: Accept,
  itemOf: (object: T) => Item,
): Lister<Resource, Item> {
  return {
    async list(resource, { namespace, ...selectors }, signal) {
      const items: Item[] = [];
      const query = new URLSearchParams({ ...selectors, limit: String(PAGE_SIZE) });
      const options = {
        accept: accept.list,
        ...(namespace === undefined && { limitMs: CLUSTER_LIST_MS }),
      };
      for (;;) {
        const path = `${pathOf(resource, namespace)}?${query}`;
        const page = await read<ApiList<T>>(path, options, signal);
        for (const object of objectsIn(page, path)) items.push(itemOf(object));
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
      const body = await open(path, accept.one, signal);
      for await (const line of linesOf(body)) {
        const event = JSON.parse(line) as WatchLine<T>;
        if (event.type === 'ERROR') {
          throw new KubernetesError(`watch ${path}`, event.object.code ?? 0, event.object.message ?? '');
        }
        const { type, object } = event;
        yield { type, metadata: object.metadata, item: itemOf(object) };
      }
    },
  };
}

/**
 * An object has 1.5 MiB at most (etcd's limit for a request), of which JSON may escape each byte with six. What is longer comes
 * from something that is no API server, and would be gathered until there is no memory left.
 */
const MAX_LINE_LENGTH = 10 * 1024 * 1024;

/** node:readline would do, but it does not pass on the errors of its input: a watch that is cut would hang. */
async function* linesOf(body: Dispatcher.ResponseData['body']): AsyncGenerator<string, void> {
  // What has no end yet, in pieces: to look through all of it with each piece took 900 MB for five lines of 10.
  let rest: string[] = [];
  let length = 0;
  for await (const chunk of body.setEncoding('utf8') as AsyncIterable<string>) {
    const end = chunk.lastIndexOf('\n') + 1;
    if (end > 0) {
      yield* [...rest, chunk.slice(0, end)].join('').split('\n').filter(Boolean);
      rest = [];
      length = 0;
    }
    rest.push(chunk.slice(end));
    length += chunk.length - end;
    if (length > MAX_LINE_LENGTH) throw new Error(`a line of a watch is over ${MAX_LINE_LENGTH} long`);
  }
}

/** What is not in the core group. */
const GROUPS: Readonly<Record<string, string>> = {
  validatingwebhookconfigurations: '/apis/admissionregistration.k8s.io/v1',
  mutatingwebhookconfigurations: '/apis/admissionregistration.k8s.io/v1',
  releaselocks: '/apis/lockkeeper.dev/v1alpha1',
};

/** Of a collection, in a namespace or in all. */
export function pathOf(resource: string, namespace?: string): string {
  const group = GROUPS[resource] ?? '/api/v1';
  return namespace === undefined
    ? `${group}/${resource}`
    : `${group}/namespaces/${encodeURIComponent(namespace)}/${resource}`;
}
