/** What is written to a cluster, as its watches tell it: the same on every cluster. */
import type { ApiClient } from './client.ts';
import type { StoredObject } from './kubernetes-object.ts';

export interface Write {
  readonly verb: string;
  readonly object: StoredObject;
}

export interface Writes {
  /** The first write, of those that are told from now on, that fits. */
  next(matches: (write: Write) => boolean): Promise<Write>;
  /** Told of each. Returns the function that ends it. */
  on(listener: (write: Write) => void): () => void;
  stop(): void;
}

/** What Helm writes that a test waits for. */
const PATHS = ['/api/v1/secrets', '/api/v1/configmaps', '/apis/batch/v1/jobs'];

/** Follows Helm's records, what its charts make of ConfigMaps and Secrets, and the Jobs of its hooks, from now on. */
export async function watchWrites(admin: ApiClient): Promise<Writes> {
  const stopping = new AbortController();
  const { signal } = stopping;
  const listeners = new Set<(write: Write) => void>();

  async function follow(path: string, from: string): Promise<void> {
    for (;;) {
      const query = `watch=true&resourceVersion=${from}`;
      for await (const { type: verb, object } of admin.watch(`${path}?${query}`, { signal })) {
        from = object.metadata.resourceVersion;
        for (const listener of listeners) listener({ verb, object });
      }
    }
  }

  await Promise.all(
    PATHS.map(async (path) => {
      const { body } = await admin.request('GET', `${path}?limit=1`);
      follow(path, body.metadata.resourceVersion).catch((error) => {
        if (!signal.aborted) throw error;
      });
    }),
  );

  const on = (listener: (write: Write) => void) => {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  };
  return {
    on,
    async next(matches) {
      const { promise, resolve } = Promise.withResolvers<Write>();
      const off = on((write) => matches(write) && resolve(write));
      return promise.finally(off);
    },
    stop: () => stopping.abort(),
  };
}
