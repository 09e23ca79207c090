/**
 * One read for all who ask the same at the same time. Whoever asks while a read is under way shares the next
 * one: the one under way may have begun before what they know of happened.
 */
export function createSharedLook<T>(read: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined;
  let next: Promise<T> | undefined;

  function run(): Promise<T> {
    next = undefined;
    running = read().finally(() => {
      running = undefined;
    });
    return running;
  }

  return () => {
    // It begins in a moment, so that all who were woken together share it.
    next ??= Promise.allSettled([running]).then(run);
    return next;
  };
}
