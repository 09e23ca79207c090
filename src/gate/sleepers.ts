import type { Clock } from '../clock.ts';
import { deferred } from '../deferred.ts';

/** What ended a sleep. */
export type Awakening = 'changed' | 'timeout' | 'closed';

export interface Sleepers {
  /**
   * Sleeps until something changed, until a time of the clock, or until `close` is called.
   * Rejects with the signal's reason when that is aborted. Leaves nothing behind.
   */
  sleep(change: Promise<void>, until: number, signal: AbortSignal): Promise<Awakening>;
  /** Wakes everybody who sleeps now. */
  close(): void;
  isClosed(): boolean;
}

export function createSleepers(clock: Clock): Sleepers {
  const wakers = new Set<(awakening: Awakening) => void>();
  let closed = false;

  return {
    async sleep(change, until, signal) {
      signal.throwIfAborted();
      const { promise, resolve, reject } = deferred<Awakening>();
      const onAbort = () => reject(signal.reason);
      const cancelTimer = clock.after(until - clock.now(), () => resolve('timeout'));
      signal.addEventListener('abort', onAbort);
      wakers.add(resolve);
      void change.then(() => resolve('changed'));
      try {
        return await promise;
      } finally {
        cancelTimer();
        signal.removeEventListener('abort', onAbort);
        wakers.delete(resolve);
      }
    },
    close() {
      closed = true;
      for (const wake of wakers) wake('closed');
    },
    isClosed: () => closed,
  };
}
