/** A clock that stands still, and tells when somebody goes to sleep by it. */
import { type FakeClock, fakeClock } from './fake-clock.ts';

export interface Sleeper {
  readonly clock: FakeClock;
  /** Resolves when somebody goes to sleep from now on. Ask before it can happen. */
  asleep(): Promise<void>;
}

/** @param clock that others may share, who go to sleep for themselves */
export function sleeper(clock: FakeClock = fakeClock()): Sleeper {
  let waiting: (() => void)[] = [];
  return {
    clock: {
      ...clock,
      after(ms, callback) {
        const cancel = clock.after(ms, callback);
        for (const resolve of waiting) resolve();
        waiting = [];
        return cancel;
      },
    },
    asleep: () =>
      new Promise((resolve) => {
        waiting.push(resolve);
      }),
  };
}
