/**
 * Waits for a release to be free: for pipelines, which ask before they deploy, because `helm upgrade` itself
 * does not wait. Woken by the watch, answered from a fresh read; a thousand who wait for one release cost one
 * read each time something happens to it.
 */
import type { Clock } from '../clock.ts';
import type { Lock } from '../gate/lock.ts';
import type { Watched } from '../gate/ports.ts';
import { createSleepers } from '../gate/sleepers.ts';
import type { Driver } from '../helm/release.ts';
import type { LockFinder } from './find.ts';
import { createSharedLook } from './shared-look.ts';

/** A release, in whichever driver it is kept. */
export interface ReleaseName {
  readonly namespace: string;
  readonly name: string;
}

export type WaitOutcome =
  | { readonly kind: 'free' }
  /** Still locked when the time was up. */
  | { readonly kind: 'locked'; readonly lock: Lock }
  /** This replica goes away; another one can be asked. */
  | { readonly kind: 'closed' };

export interface Waits {
  /**
   * Resolves as soon as the release is free, at once if it is; or after `timeoutSeconds`. Tells of each lock
   * that it finds meanwhile.
   * @throws if the cluster could not be read when the time was up, or the signal's reason
   */
  wait(
    target: ReleaseName,
    timeoutSeconds: number,
    signal: AbortSignal,
    onLocked?: (lock: Lock) => void,
  ): Promise<WaitOutcome>;
  /** How many wait for this release. */
  waitingFor(target: ReleaseName): number;
  /** How many wait for any. */
  count(): number;
  /** Ends every wait, and each one to come. */
  close(): void;
}

export interface WaitsOptions {
  readonly drivers: readonly Driver[];
  readonly finder: Pick<LockFinder, 'find'>;
  readonly watched: Pick<Watched, 'nextChange'>;
  readonly clock: Clock;
}

/** The watch tells of every change. Should it ever be late, somebody looks this often. */
const LOOK_AGAIN_MS = 15_000;

/** After a read that failed, the next one is made so much later: an API server that restarts has other worries. */
const LOOK_AFTER_FAILURE_MS = 1_000;

/** A look that takes longer has failed. Each of its reads has its own, shorter limits. */
const LOOK_MS = 10_000;

/** All who wait for one release. */
interface Room {
  occupants: number;
  /** When the last look began that saw the lock, by the clock of waits. One that found it free wakes nobody. */
  lockedAt: number;
  readonly look: () => Promise<Lock | undefined>;
}

export function createWaits({ drivers, finder, watched, clock }: WaitsOptions): Waits {
  const sleepers = createSleepers(clock);
  const rooms = new Map<string, Room>();
  let waiting = 0;

  function openRoom(target: ReleaseName): Room {
    const look = createSharedLook(async () => {
      const at = clock.now();
      const found = await finder.find(target, AbortSignal.timeout(LOOK_MS));
      if (found !== undefined) room.lockedAt = at;
      return found?.lock;
    });
    const room: Room = { occupants: 0, lockedAt: 0, look };
    return room;
  }

  async function enter<T>(target: ReleaseName, stay: (room: Room) => Promise<T>): Promise<T> {
    const key = roomKey(target);
    const room = rooms.get(key) ?? openRoom(target);
    rooms.set(key, room);
    room.occupants += 1;
    waiting += 1;
    try {
      return await stay(room);
    } finally {
      waiting -= 1;
      room.occupants -= 1;
      if (room.occupants === 0) rooms.delete(key);
    }
  }

  /** The next change of the release, in whichever driver. */
  function nextChange({ namespace, name }: ReleaseName) {
    const changes = drivers.map((driver) => watched.nextChange({ driver, namespace, name }));
    return {
      happened: Promise.race(changes.map(({ happened }) => happened)),
      cancel: () => {
        for (const change of changes) change.cancel();
      },
    };
  }

  async function rounds(visit: Visit): Promise<WaitOutcome> {
    for (;;) {
      const change = nextChange(visit.target); // before the look, so that nothing is missed
      const outcome = await round(visit, change.happened).finally(change.cancel);
      if (outcome !== undefined) return outcome;
    }
  }

  /** Looks once, and sleeps until it is worth looking again. */
  async function round(visit: Visit, change: Promise<void>): Promise<WaitOutcome | undefined> {
    const { room, deadline, signal, onLocked } = visit;
    const sight = await look(room);
    signal.throwIfAborted();
    if (sight.kind === 'free') return sight;
    if (sleepers.isClosed()) return { kind: 'closed' }; // maybe while it looked: nobody would end the sleep
    if (sight.kind === 'locked') onLocked(sight.lock);
    if (clock.now() < deadline) {
      const failed = sight.kind === 'unknown';
      await (failed ? pause(visit, change) : rest(visit, change));
      return undefined;
    }
    if (sight.kind === 'unknown') throw sight.error;
    return sight;
  }

  async function rest({ room, deadline, signal }: Visit, change: Promise<void>): Promise<void> {
    const lookAgainAt = () => room.lockedAt + LOOK_AGAIN_MS;
    let awakening = await sleepers.sleep(change, Math.min(deadline, lookAgainAt()), signal);
    // Others may have seen the lock meanwhile, which has woken nobody.
    while (awakening === 'timeout' && clock.now() < Math.min(deadline, lookAgainAt())) {
      awakening = await sleepers.sleep(change, Math.min(deadline, lookAgainAt()), signal);
    }
  }

  async function pause({ deadline, signal }: Visit, change: Promise<void>): Promise<void> {
    await sleepers.sleep(change, Math.min(deadline, clock.now() + LOOK_AFTER_FAILURE_MS), signal);
  }

  return {
    wait: (target, timeoutSeconds, signal, onLocked = () => {}) => {
      const deadline = clock.now() + timeoutSeconds * 1000;
      return enter(target, (room) => rounds({ target, room, deadline, signal, onLocked }));
    },
    waitingFor: ({ namespace, name }) => rooms.get(roomKey({ namespace, name }))?.occupants ?? 0,
    count: () => waiting,
    close: sleepers.close,
  };
}

interface Visit {
  readonly target: ReleaseName;
  readonly room: Room;
  /** By the clock of waits. */
  readonly deadline: number;
  readonly signal: AbortSignal;
  readonly onLocked: (lock: Lock) => void;
}

type Sight =
  | { readonly kind: 'free' }
  | { readonly kind: 'locked'; readonly lock: Lock }
  | { readonly kind: 'unknown'; readonly error: unknown };

/** A read that fails is no reason to give up the wait: the API server may be back before it ends. */
async function look(room: Room): Promise<Sight> {
  try {
    const lock = await room.look();
    return lock === undefined ? { kind: 'free' } : { kind: 'locked', lock };
  } catch (error) {
    return { kind: 'unknown', error };
  }
}

function roomKey({ namespace, name }: ReleaseName): string {
  return `${namespace}/${name}`;
}
