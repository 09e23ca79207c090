/** Waits by a clock that is turned by hand, on a finder that sees what a test says. */
import { DRIVERS, type Driver } from '../../src/helm/release.ts';
import type { FoundLock } from '../../src/locks/find.ts';
import { createRegistry } from '../../src/locks/registry.ts';
import { createWaits } from '../../src/locks/wait.ts';
import { fakeClock } from './fake-clock.ts';
import { DEAF, revision } from './revisions.ts';

export const API = { namespace: 'prod', name: 'api' };

/** What is found when `prod/api` is locked by this revision. */
export function lockedBy(number: number): FoundLock {
  const newest = revision(number, 'pending-upgrade');
  return { lock: { revision: newest, holder: undefined }, revisions: [newest] };
}

/** Has every promise go as far as it can. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export function createWaiting({ drivers = DRIVERS as readonly Driver[] } = {}) {
  const clock = fakeClock();
  const registry = createRegistry(DEAF);
  let see: () => FoundLock | undefined | Promise<FoundLock | undefined> = () => lockedBy(6);
  let looks = 0;
  const waits = createWaits({
    drivers,
    finder: {
      async find() {
        looks += 1;
        return see();
      },
    },
    watched: registry,
    clock,
  });

  return {
    clock,
    registry,
    waits,
    /** What is seen from now on. */
    sees(next: typeof see) {
      see = next;
    },
    /** How often somebody looked. */
    looks: () => looks,
    /** The record of this revision is pending no more. */
    ends: (number: number, driver: Driver = 'secrets') =>
      registry.remove(revision(number, 'pending-upgrade', { release: { driver, ...API } })),
    /** Turns the clock on in small steps, so that whoever is woken acts at their own time. */
    async pass(seconds: number, stepMs = 1_000) {
      for (let passed = 0; passed < seconds * 1_000; passed += stepMs) {
        clock.advance(stepMs);
        await settle();
      }
    },
  };
}

/** What became of a wait so far. */
export function stateOf<T>(promise: Promise<T>): { outcome?: T; error?: unknown } {
  const state: { outcome?: T; error?: unknown } = {};
  promise.then(
    (outcome) => {
      state.outcome = outcome;
    },
    (error: unknown) => {
      state.error = error;
    },
  );
  return state;
}
