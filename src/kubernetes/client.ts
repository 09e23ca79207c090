/**
 * The few requests that the service makes. Records are asked for as metadata only: a release's payload may
 * hold secrets and weigh a megabyte, and never enters this process by this way.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Dispatcher } from 'undici';
import type { Driver, RecordMetadata } from '../helm/release.ts';
import type { Connection } from './connection.ts';

export interface KubernetesClient {
  /** The metadata of one object, or undefined if there is none. */
  get(
    resource: Driver,
    namespace: string,
    name: string,
    signal: AbortSignal,
  ): Promise<RecordMetadata | undefined>;
  /** All objects that a label selector finds, read in pages. */
  list(resource: Driver, options: ListOptions, signal: AbortSignal): Promise<MetadataList>;
  /** The changes since a resourceVersion, until the server ends the watch. */
  watch(resource: Driver, options: WatchOptions, signal: AbortSignal): AsyncGenerator<WatchEvent, void>;
}

export interface ListOptions {
  readonly labelSelector: string;
  /** All namespaces if it is left out. */
  readonly namespace?: string;
}

export interface WatchOptions {
  readonly labelSelector: string;
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

/** An answer of the API server that is not the one that was asked for. */
export class KubernetesError extends Error {
  /** The HTTP status, or the code of the Status object that a watch delivered. */
  readonly status: number;

  constructor(request: string, status: number, reason: string) {
    super(`${request}: ${status}${reason && ` ${reason}`}`);
    this.name = 'KubernetesError';
    this.status = status;
  }
}

const METADATA_ONLY = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1';
const METADATA_LIST = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';

/** What client-go asks for at once, too. */
const PAGE_SIZE = 500;

/** Error texts go into logs; the API server's own are a few hundred characters long. */
const MAX_REASON_LENGTH = 1_000;

interface PartialObjectMetadata {
  readonly metadata: RecordMetadata;
}

interface PartialObjectMetadataList {
  readonly metadata: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items: readonly PartialObjectMetadata[];
}

/** A line of a watch; an ERROR carries a Status instead of an object. */
type WatchLine =
  | { readonly type: WatchEvent['type']; readonly object: PartialObjectMetadata }
  | { readonly type: 'ERROR'; readonly object: { readonly code?: number; readonly message?: string } };

/** A read inside a namespace takes milliseconds; an attempt that takes longer is made again. */
const ATTEMPT_MS = 2_000;

/** A list of all namespaces may make an API server read every Secret of the cluster, which can be gigabytes. */
const CLUSTER_LIST_MS = 60_000;

const ATTEMPTS = 3;
const PAUSE_MS = 50;

/** Overload, a restart of the API server, or a load balancer without one: what passes in a moment. */
const PASSING = [429, 502, 503, 504];

export interface ClientOptions {
  readonly connection: Connection;
  readonly attemptMs?: number;
}

export function createKubernetesClient({
  connection,
  attemptMs = ATTEMPT_MS,
}: ClientOptions): KubernetesClient {
  async function request(
    kind: 'requests' | 'watches',
    path: string,
    accept: string,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    const { [kind]: dispatcher, headers } = await connection.access(signal);
    const response = await dispatcher.request({
      origin: connection.server,
      path,
      method: 'GET',
      headers: { ...headers, accept, 'user-agent': 'lockkeeper' },
      signal,
    });
    if (response.statusCode !== 200) throw await toError(path, response);
    return response;
  }

  /**
   * Reads the whole answer, or tries again: a connection that was closed while it was idle, one that hangs,
   * and an API server that restarts are no failures yet. The signal ends it in any case.
   */
  async function read<T>(
    path: string,
    accept: string,
    signal: AbortSignal,
    limitMs = attemptMs,
    attempt = 1,
  ): Promise<T> {
    try {
      const both = AbortSignal.any([signal, AbortSignal.timeout(limitMs)]);
      const { body } = await request('requests', path, accept, both);
      return (await body.json()) as T;
    } catch (error) {
      signal.throwIfAborted();
      if (attempt === ATTEMPTS || !mayPass(error)) throw inWords(path, error);
      await pause(PAUSE_MS * attempt, undefined, { signal });
      return read(path, accept, signal, limitMs, attempt + 1);
    }
  }

  return {
    async get(resource, namespace, name, signal) {
      const path = `${pathOf(resource, namespace)}/${encodeURIComponent(name)}`;
      try {
        return (await read<PartialObjectMetadata>(path, METADATA_ONLY, signal)).metadata;
      } catch (error) {
        if (error instanceof KubernetesError && error.status === 404) return undefined;
        throw error;
      }
    },

    async list(resource, { labelSelector, namespace }, signal) {
      const items: RecordMetadata[] = [];
      const query = new URLSearchParams({ labelSelector, limit: String(PAGE_SIZE) });
      const limitMs = namespace === undefined ? CLUSTER_LIST_MS : attemptMs;
      for (;;) {
        const path = `${pathOf(resource, namespace)}?${query}`;
        const page = await read<PartialObjectMetadataList>(path, METADATA_LIST, signal, limitMs);
        for (const { metadata } of page.items) items.push(metadata);
        if (!page.metadata.continue) return { items, resourceVersion: page.metadata.resourceVersion ?? '' };
        query.set('continue', page.metadata.continue);
      }
    },

    async *watch(resource, { labelSelector, resourceVersion, timeoutSeconds }, signal) {
      const query = new URLSearchParams({
        watch: 'true',
        allowWatchBookmarks: 'true',
        labelSelector,
        resourceVersion,
        timeoutSeconds: String(timeoutSeconds),
      });
      const path = `${pathOf(resource)}?${query}`;
      const { body } = await request('watches', path, METADATA_ONLY, signal);
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

function pathOf(resource: Driver, namespace?: string): string {
  return namespace === undefined
    ? `/api/v1/${resource}`
    : `/api/v1/namespaces/${encodeURIComponent(namespace)}/${resource}`;
}

async function toError(
  path: string,
  { statusCode, body }: Dispatcher.ResponseData,
): Promise<KubernetesError> {
  const text = await body.text();
  return new KubernetesError(`GET ${path}`, statusCode, reasonOf(text).slice(0, MAX_REASON_LENGTH));
}

/** The message of a Status object, or the body as it is: a proxy on the way answers in its own words. */
function reasonOf(text: string): string {
  try {
    return String((JSON.parse(text) as { message?: unknown }).message ?? text);
  } catch {
    return text;
  }
}

/** Whatever is no answer at all may pass; a body that is no JSON comes from something that is no API server. */
function mayPass(error: unknown): boolean {
  if (error instanceof KubernetesError) return PASSING.includes(error.status);
  return !(error instanceof SyntaxError);
}

/** Says what was asked. A name with several addresses fails with one error for each, and no message of its own. */
function inWords(path: string, error: unknown): Error {
  if (error instanceof KubernetesError) return error;
  const { message, errors } = error as AggregateError;
  const reasons = errors ? errors.map((each: Error) => each.message).join('; ') : message;
  return new Error(`GET ${path}: ${reasons}`, { cause: error });
}
