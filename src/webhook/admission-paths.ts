/** By which paths reviews are read. A path is a secret, so it is compared in constant time, and told nowhere. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';

export interface AdmissionPaths {
  isRight(path: string): boolean | Promise<boolean>;
}

export interface AdmissionPathsOptions {
  readonly taken: () => readonly string[];
  /** Looks whether there are others by now. */
  readonly look: (signal: AbortSignal) => Promise<unknown>;
  readonly clock: Pick<Clock, 'now' | 'after'>;
  readonly log: Logger;
}

/**
 * An API server that has just heard of a path may be ahead of the watch that tells this replica. So an unknown path is looked up once;
 * so often at most, whoever asks.
 */
const LOOK_EVERY_MS = 1_000;

/** And for no longer than this. */
const LOOK_MS = 2_000;

/** Requests that wait for a look at once. Each keeps some 100 KB of a body that nobody reads. */
const MAX_WAITING = 50;

/** Paths of webhooks are shorter. */
const MAX_LENGTH = 250;

const TELL_EVERY_MS = 60_000;

export function createAdmissionPaths(options: AdmissionPathsOptions): AdmissionPaths {
  const { taken, look, clock, log } = options;
  let waiting = 0;
  let lookedAt = Number.NEGATIVE_INFINITY;
  let nextLook: Promise<void> | undefined;
  let toldAt = Number.NEGATIVE_INFINITY;

  const isTaken = (path: string) => isOneOf(path, taken());

  /** One for all who ask before it begins. */
  async function lookAgain(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    clock.after(Math.max(0, lookedAt + LOOK_EVERY_MS - clock.now()), resolve);
    await promise;
    nextLook = undefined;
    lookedAt = clock.now();
    // What cannot be read brings no new path.
    await look(AbortSignal.timeout(LOOK_MS)).catch(() => {});
  }

  function refuse(): false {
    if (clock.now() - toldAt >= TELL_EVERY_MS) {
      toldAt = clock.now();
      log.warn('requests come to a path that is not that of the webhook: they are refused, and not read');
    }
    return false;
  }

  async function isNew(path: string): Promise<boolean> {
    waiting += 1;
    nextLook ??= lookAgain();
    await nextLook;
    waiting -= 1;
    return isTaken(path) || refuse();
  }

  return {
    isRight(path) {
      if (isTaken(path)) return true;
      return waiting < MAX_WAITING && path.length <= MAX_LENGTH ? isNew(path) : refuse();
    },
  };
}

/** Looks at all of them, and at all of each. */
export function isOneOf(path: string, paths: readonly string[]): boolean {
  const digest = digestOf(path);
  return paths.map((one) => timingSafeEqual(digestOf(one), digest)).includes(true);
}

function digestOf(path: string): Buffer {
  return createHash('sha256').update(path).digest();
}
