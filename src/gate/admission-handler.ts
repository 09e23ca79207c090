/** Which handler answers which review. */
import type { Driver } from '../helm/release.ts';
import type { Review, Verdict } from './admission-review.ts';
import type { FenceObserver } from './fence-observer.ts';
import type { Guard } from './guard.ts';
import type { Call, Gate } from './hold.ts';
import type { ReleaseLockGuard } from './release-lock-guard.ts';
import type { RestoreHandler } from './restore-handler.ts';
import { screenUpdate } from './screen-update.ts';
import type { UninstallHandler } from './uninstall-handler.ts';
import type { UpdateHandler } from './update-handler.ts';

export interface AdmissionHandler {
  /**
   * The answer to one review, after a wait if need be.
   * @throws if the cluster cannot be read, or the caller hung up
   */
  review(review: Review, call: Call): Promise<Verdict>;
}

export interface AdmissionHandlers {
  readonly drivers: readonly Driver[];
  readonly gate: Pick<Gate, 'review'>;
  readonly guard: Guard;
  readonly updates: UpdateHandler;
  readonly uninstalls: Pick<UninstallHandler, 'review'>;
  readonly restores: RestoreHandler;
  readonly releaseLockGuard: ReleaseLockGuard;
  readonly fenceObserver: FenceObserver;
}

export function createAdmissionHandler(handlers: AdmissionHandlers): AdmissionHandler {
  const { drivers, gate, guard, updates, uninstalls, restores, releaseLockGuard, fenceObserver } = handlers;

  /** Two webhooks ask about updates: what ends a lock is no business of the fence, nor the other way round. */
  function reviewUpdate(review: Review, call: Call): Promise<Verdict> {
    const screening = screenUpdate(review, drivers);
    switch (screening?.kind) {
      case 'end':
        return updates.review(screening.update, call);
      case 'uninstall':
        return uninstalls.review(screening.update, call);
      case 'restore':
        return restores.review(screening.restore, call);
      case undefined:
        return fenceObserver.review(review, call);
    }
  }

  return {
    async review(review, call) {
      if (review.releaseLock !== undefined) return releaseLockGuard.review(review, call);
      switch (review.operation) {
        case 'UPDATE':
          return reviewUpdate(review, call);
        case 'DELETE':
          return guard.review(review, call);
        default:
          return gate.review(review, call);
      }
    },
  };
}
