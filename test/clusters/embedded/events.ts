/** Listeners, and promises of the next event that fits. */

export interface Events<T> {
  publish(event: T): void;
  /** Returns the function that ends it. */
  on(listener: (event: T) => void): () => void;
  /** Rejects when the signal aborts, or when the source is closed, first. */
  next(matches: (event: T) => boolean, signal?: AbortSignal): Promise<T>;
  close(): void;
}

export function createEvents<T>(): Events<T> {
  const listeners = new Set<(event: T) => void>();
  const closing = new AbortController();

  function on(listener: (event: T) => void) {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  return {
    publish(event) {
      for (const listener of listeners) listener(event);
    },
    on,
    async next(matches, signal) {
      const ended = AbortSignal.any([closing.signal, ...(signal ? [signal] : [])]);
      ended.throwIfAborted();
      const { promise, resolve, reject } = Promise.withResolvers<T>();
      const off = on((event) => matches(event) && resolve(event));
      const abandon = () => reject(ended.reason);
      ended.addEventListener('abort', abandon);
      try {
        return await promise;
      } finally {
        off();
        ended.removeEventListener('abort', abandon);
      }
    },
    close: () => closing.abort(new Error('the cluster was stopped')),
  };
}
