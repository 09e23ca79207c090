/** Brings something into its wanted state again and again: at once, when woken, when it is due, and after a failure. */
import type { Clock } from './clock.ts';

export interface ReconcilerOptions {
  /**
   * Looks, and does what is to be done. Resolves to the milliseconds after which it should look again, if nobody wakes
   * it before. A rejection is told to `onError`, and tried again soon.
   */
  readonly reconcile: (signal: AbortSignal) => Promise<number>;
  readonly onError: (error: unknown) => void;
  /** How long it rests after each look, whoever wakes it: a thousand changes at once are worth one look. Default: 0. */
  readonly restMs?: () => number;
  readonly clock: Pick<Clock, 'after'>;
  /** A number from 0 up to 1, for the jitter. */
  readonly random: () => number;
}

export interface Reconciler {
  /** Something may have changed: look now, or once more after the look that is being taken. */
  wake(): void;
  /** Resolves when the last look has ended. */
  stop(): Promise<void>;
}

/** Even if nobody wakes it, and nothing is due: whatever was missed is found then. */
const MAX_SLEEP_MS = 600_000;

const MIN_BACKOFF_MS = 200;
const MAX_BACKOFF_MS = 30_000;

export function startReconciler(options: ReconcilerOptions): Reconciler {
  const { reconcile, onError, restMs = () => 0, clock, random } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  let failures = 0;
  let isWoken = false;
  let rouse: () => void = () => {};
  let cutShort: () => void = () => {};

  async function look(): Promise<number> {
    try {
      const ms = await reconcile(signal);
      failures = 0;
      return Math.min(ms, MAX_SLEEP_MS);
    } catch (error) {
      if (signal.aborted) return 0;
      failures += 1;
      onError(error);
      // Half of it is random, so that replicas do not come back as one.
      return Math.min(MAX_BACKOFF_MS, MIN_BACKOFF_MS * 2 ** (failures - 1)) * (0.5 + random() / 2);
    }
  }

  function sleep(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = clock.after(ms, resolve);
    rouse = resolve;
    return promise.finally(cancel);
  }

  /** Nothing but its end cuts this short. */
  function rest(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = clock.after(ms, resolve);
    cutShort = resolve;
    return promise.finally(cancel);
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      isWoken = false;
      const ms = await look();
      const rested = restMs();
      if (rested > 0 && !signal.aborted) await rest(rested);
      const isDue = rested > 0 && ms <= rested;
      if (!isWoken && !isDue && !signal.aborted) await sleep(ms - rested);
    }
  }

  const ended = run();
  return {
    wake() {
      isWoken = true;
      rouse();
    },
    stop() {
      stopping.abort();
      rouse();
      cutShort();
      return ended;
    },
  };
}
