/** When locks are stale, for tests of what is decided then. */
import type { StaleLimits } from '../../src/gate/verdict.ts';

/** @param staleAfterSeconds of a holder without a job pod */
export function limits(staleAfterSeconds = 900): StaleLimits {
  return { staleAfterSeconds, staleAfterRunningSeconds: 7_200, deathGraceSeconds: 11 };
}
