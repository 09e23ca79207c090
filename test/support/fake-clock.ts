/** A clock that stands still until it is turned. */
import type { Clock } from '../../src/clock.ts';

export interface FakeClock extends Clock {
  /** Turns the clock on; whatever falls due on the way is called at its own time, in order. */
  advance(ms: number): void;
  /** How many calls are due later. */
  timers(): number;
}

export function fakeClock(start = Date.parse('2026-11-22T13:00:00Z')): FakeClock {
  let now = start;
  let timers: { at: number; callback: () => void }[] = [];

  return {
    now: () => now,
    date: () => now,
    after(ms, callback) {
      const timer = { at: now + ms, callback };
      timers.push(timer);
      return () => {
        timers = timers.filter((other) => other !== timer);
      };
    },
    advance(ms) {
      const end = now + ms;
      for (;;) {
        const [next] = timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
        if (next === undefined) break;
        timers = timers.filter((other) => other !== next);
        now = Math.max(now, next.at);
        next.callback();
      }
      now = end;
    },
    timers: () => timers.length,
  };
}
