/** The handlers of admission reviews, built from what they share. */
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import type { Driver } from '../helm/release.ts';
import { type AdmissionHandler, createAdmissionHandler } from './admission-handler.ts';
import type { Clearer } from './clearing.ts';
import type { Policy } from './decision.ts';
import { createFenceObserver } from './fence-observer.ts';
import { createGuard } from './guard.ts';
import { createGate, type Gate, type GateOptions, type Limits } from './hold.ts';
import { createLockReader } from './live-lock.ts';
import type { Judgement, Lock } from './lock.ts';
import type { IsOurs } from './ourselves.ts';
import type { KnownHolders, Reader, ReadRecorded, Watched } from './ports.ts';
import { createReleaseLockGuard, type ReleaseLockGuardOptions } from './release-lock-guard.ts';
import { createRestoreHandler } from './restore-handler.ts';
import type { Chapter } from './story.ts';
import { createUninstallHandler } from './uninstall-handler.ts';
import { createUpdateHandler, type UpdateHandlerOptions } from './update-handler.ts';
import { createWaiters } from './waiters.ts';

export interface HandlersOptions {
  readonly drivers: readonly Driver[];
  readonly reader: Pick<Reader, 'all' | 'at' | 'neighbours'>;
  readonly watched: Watched;
  readonly holders: KnownHolders;
  readonly readRecorded: ReadRecorded;
  /** Clears what is in the way of a deploy. */
  readonly clearer: Clearer;
  readonly judge: (lock: Lock) => Judgement;
  readonly isOurs: IsOurs;
  readonly limits: Limits;
  readonly policy: Policy;
  readonly autoClearIn: GateOptions['autoClearIn'];
  /** What the handler of ReleaseLocks needs beside the rest. */
  readonly releaseLocks: Pick<ReleaseLockGuardOptions, 'find' | 'clearer' | 'may' | 'annotationsOf'>;
  readonly readStatus: UpdateHandlerOptions['readStatus'];
  readonly isListed: UpdateHandlerOptions['isListed'];
  readonly clock: Clock;
  /** Milliseconds since 1970, by the clock that stamps the records. */
  readonly date: () => number;
  readonly log: Logger;
  readonly onLeave: (heldSeconds: number) => void;
  readonly onEnded: UpdateHandlerOptions['onEnded'];
  readonly onStory: (chapter: Chapter) => void;
}

export interface Handlers extends Pick<Gate, 'waiting' | 'close'> {
  readonly admission: AdmissionHandler;
  /** How many calls are held. */
  held(): number;
}

export function createHandlers(options: HandlersOptions): Handlers {
  const { drivers, reader, onStory } = options;
  const readLock = createLockReader(options);
  const restores = createRestoreHandler(options);
  const waiters = createWaiters(options.clock.now);
  const gate = createGate({ ...options, restores, waiters });
  const held = () => gate.held() + uninstalls.held();
  const hasRoom = () => held() < options.limits.maxHeld;
  const uninstalls = createUninstallHandler({ ...options, hasRoom, waiters });
  const admission = createAdmissionHandler({
    drivers,
    gate,
    guard: createGuard({ ...options, readLock }),
    updates: createUpdateHandler({ ...options, readLock }),
    uninstalls,
    restores,
    releaseLockGuard: createReleaseLockGuard({ ...options, ...options.releaseLocks }),
    fenceObserver: createFenceObserver({ drivers, reader, onStory }),
  });
  return {
    admission,
    held,
    waiting: gate.waiting,
    close(lingersMs) {
      gate.close(lingersMs);
      uninstalls.close();
    },
  };
}
