/**
 * One read for all who ask the same at the same time. Whoever asks while a read is under way shares the next
 * one: the one under way may have begun before what they know of happened.
 */
export interface SharedLook<T> {
  look(): Promise<T>;
  /** When the last look began that succeeded, by the clock of waits; undefined if none did. */
  lastLookAt(): number | undefined;
}

export function createSharedLook<T>(read: () => Promise<T>, now: () => number): SharedLook<T> {
  let running: Promise<T> | undefined;
  let next: Promise<T> | undefined;
  let lastLookAt: number | undefined;

  async function start(): Promise<T> {
    const at = now();
    const result = await read();
    lastLookAt = at;
    return result;
  }

  function run(): Promise<T> {
    running = start().finally(() => {
      running = undefined;
    });
    return running;
  }

  return {
    look() {
      // It begins in a moment, so that all who were woken together share it.
      next ??= Promise.allSettled([running]).then(() => {
        next = undefined;
        return run();
      });
      return next;
    },
    lastLookAt: () => lastLookAt,
  };
}
