/**
 * Keeps a view of one resource current: list, then watch from there, for as long as the service runs. The
 * stock informer stops at the first error, asks for no bookmarks and cannot ask for metadata only.
 */
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import type { RecordMetadata } from '../helm/release.ts';
import type { Collection, Lister, ListOptions } from './client.ts';
import { KubernetesError } from './requests.ts';

export interface ListWatchOptions<Resource extends string = Collection, Item = RecordMetadata>
  extends ListOptions {
  readonly client: Lister<Resource, Item>;
  readonly resource: Resource;
  /** Every list, in place of what was known before. */
  readonly onList: (items: readonly Item[]) => void;
  /** Every change after a list. An object that stops matching the selector counts as deleted (trap 20). */
  readonly onEvent: (type: 'ADDED' | 'MODIFIED' | 'DELETED', item: Item) => void;
  /**
   * For what may be missing, and what is done without then: called when the server does not know the resource, or does
   * not show it to us. That is said once, and tried again rarely.
   */
  readonly onMissing?: () => void;
  readonly clock: Clock;
  /** A number from 0 up to 1, for the jitter. */
  readonly random: () => number;
  readonly log: Logger;
}

export interface ListWatch {
  readonly resource: string;
  /** When the server was last heard of, in milliseconds since 1970; undefined before the first list. */
  lastEventAt(): number | undefined;
  /** Resolves when the watch has ended and will say no more. */
  stop(): Promise<void>;
}

/** client-go's reflector keeps each watch open for a random time of 5 to 10 minutes. */
const MIN_WATCH_SECONDS = 300;

/** The first failure is tried again almost at once; an outage costs the API server a list every few seconds. */
const MIN_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5_000;

/** What ends sooner has failed, even if it told something: an API server may let everybody in, and throw them out again. */
const SOUND_MS = MAX_BACKOFF_MS;

/** Whoever installs what was missing need not wait long; who never does pays one request. */
const MISSING_MS = 30_000;

/** Nobody serves it, or nobody may see it. */
const MISSING = [404, 403];

export function startListWatch<Resource extends string, Item>(
  options: ListWatchOptions<Resource, Item>,
): ListWatch {
  const { client, resource, onList, onEvent, onMissing, clock, random, log, ...selected } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  let resourceVersion: string | undefined;
  let lastEventAt: number | undefined;
  let failures = 0;
  /** Why it was missing when it was last looked for; a list that is followed by no watch is no end of that. */
  let missing: string | undefined;
  let wakeUp: () => void = () => {};

  async function relist(): Promise<string> {
    const list = await client.list(resource, selected, signal);
    lastEventAt = clock.date();
    onList(list.items);
    log.info({ resource, found: list.items.length }, 'listed');
    return list.resourceVersion;
  }

  async function follow(from: string): Promise<void> {
    const timeoutSeconds = Math.round(MIN_WATCH_SECONDS * (1 + random()));
    const query = { ...selected, resourceVersion: from, timeoutSeconds };
    const openedAt = clock.now();
    for await (const { type, metadata, item } of client.watch(resource, query, signal)) {
      lastEventAt = clock.date();
      if (clock.now() - openedAt >= SOUND_MS) failures = 0;
      missing = undefined;
      resourceVersion = metadata.resourceVersion;
      if (type !== 'BOOKMARK') onEvent(type, item);
    }
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      try {
        resourceVersion ??= await relist();
        await follow(resourceVersion);
        // A watch that ends by itself was ended by its timeout, or by a server that shuts down.
        failures += 1;
      } catch (error) {
        if (signal.aborted) return;
        lost(error);
      }
      await backoff();
    }
  }

  function lost(error: unknown): void {
    failures += 1;
    // Above all 410 Gone, said as HTTP or in the stream; but no answer is worth insisting on this version.
    if (error instanceof KubernetesError) resourceVersion = undefined;
    if (!isMissing(error)) {
      log.warn({ resource, reason: String(error), failures }, 'the watch was lost, trying again');
    }
  }

  /** Tells of it, once. */
  function isMissing(error: unknown): boolean {
    if (!onMissing || !(error instanceof KubernetesError && MISSING.includes(error.status))) return false;
    onMissing();
    const { message } = error;
    if (message !== missing) log.warn({ resource, reason: message }, 'there is none, going on without');
    missing = message;
    return true;
  }

  /** Doubles from {@link MIN_BACKOFF_MS}; half of it is random, so that replicas do not come back as one. */
  function backoff(): Promise<void> {
    const ceiling = missing ? MISSING_MS : Math.min(MAX_BACKOFF_MS, MIN_BACKOFF_MS * 2 ** (failures - 1));
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = clock.after(ceiling * (0.5 + random() / 2), resolve);
    wakeUp = resolve;
    return promise.finally(cancel);
  }

  const ended = run();
  return {
    resource,
    lastEventAt: () => lastEventAt,
    stop() {
      stopping.abort();
      wakeUp();
      return ended;
    },
  };
}
