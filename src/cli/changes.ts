/**
 * Tells that something may have changed, from watches on a few paths. What a watch says is not looked at: whoever is
 * woken reads again. A watch that is opened anew begins with all that is there, so nothing is missed in between.
 */
import { deferred } from '../deferred.ts';
import type { Change } from '../gate/ports.ts';
import type { Requests } from '../kubernetes/requests.ts';

export interface Changes {
  next(): Change;
  stop(): void;
}

export interface ChangesOptions {
  readonly requests: Pick<Requests, 'open'>;
  /** Of collections, with the selectors. */
  readonly paths: readonly string[];
  /** Told of each path that may not be watched. */
  readonly onRefused: (error: Error) => void;
  readonly after: (ms: number, callback: () => void) => () => void;
}

const METADATA_ONLY = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1';

/** As client-go does: each watch is asked for anew after some minutes. */
const WATCH_SECONDS = 300;

const PAUSE_MS = 1_000;

export function followChanges({ requests, paths, onRefused, after }: ChangesOptions): Changes {
  const stopping = new AbortController();
  const { signal } = stopping;
  let change = deferred<void>();

  function wake(): void {
    change.resolve();
    change = deferred();
  }

  async function watchOnce(path: string): Promise<void> {
    const query = `watch=true&allowWatchBookmarks=true&timeoutSeconds=${WATCH_SECONDS}`;
    const body = await requests.open(
      `${path}${path.includes('?') ? '&' : '?'}${query}`,
      METADATA_ONLY,
      signal,
    );
    for await (const _ of body) wake();
  }

  async function follow(path: string): Promise<void> {
    while (!signal.aborted) {
      try {
        await watchOnce(path);
      } catch (error) {
        if (signal.aborted) return;
        if ((error as { status?: unknown }).status === 403) return onRefused(error as Error);
      }
      const pause = deferred<void>();
      const cancel = after(PAUSE_MS, () => pause.resolve());
      signal.addEventListener('abort', () => pause.resolve(), { once: true });
      await pause.promise.finally(cancel);
    }
  }

  for (const path of paths) void follow(path);
  return {
    next() {
      const { promise } = change;
      return { happened: promise, hasHappened: () => promise !== change.promise, cancel: () => {} };
    },
    stop: () => stopping.abort(),
  };
}
