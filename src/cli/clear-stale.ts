/** Clears a stale lock that is in the way of a command that waits. A live one is never cleared: nothing here forces. */
import type { Clock } from '../clock.ts';
import { judge, silenceOnly } from '../gate/verdict.ts';
import { askLockkeeper } from './ask-lockkeeper.ts';
import type { Cluster } from './cluster.ts';
import { tellOnce } from './once.ts';
import { clearRecord } from './record-clearing.ts';
import { lacking, notCleared, readRefusal } from './refusals.ts';
import type { Sighting } from './sightings.ts';
import { type Way, wayToClear } from './stale-lock.ts';
import type { Answer } from './view.ts';
import { named, revisionOf } from './words.ts';

export interface StaleClearingOptions {
  readonly cluster: Cluster;
  /** Such as `lockkeeper wait`, for `helm history`. */
  readonly command: string;
  readonly staleAfterSeconds: number;
  readonly note: (line: string) => void;
  readonly clock: Pick<Clock, 'now'>;
  readonly signal: AbortSignal;
}

/** Resolves with whether it is worth to look again. What cannot be cleared is told, and waited for. */
export type ClearStale = (answer: Answer) => Promise<boolean>;

/** Lockkeeper may see it in another way than its ReleaseLock says, for a moment. Each refusal is an Event. */
const AGAIN_MS = 30_000;

/** Lockkeeper has 10 s to answer; an API server, and a large record, take some more. */
const CLEAR_MS = 30_000;

export function createClearStale(options: StaleClearingOptions): ClearStale {
  const { cluster, command, staleAfterSeconds, note, clock, signal } = options;
  const { date } = cluster.connection;
  const tell = tellOnce(note);
  let tried = { what: '', at: 0 };

  async function attempt(sighting: Sighting, way: Way, within: AbortSignal): Promise<boolean> {
    const { lock } = sighting;
    const by = await cluster.whoAmI(within);
    if (way.kind === 'ask-lockkeeper') {
      const { uid, resourceVersion = '' } = way.releaseLock.metadata;
      // Of this version it is known that nobody has marked it to be forced.
      const version = { uid, resourceVersion };
      const next = await askLockkeeper(cluster, lock, way.releaseLock, version, within);
      if (next !== undefined) return done(sighting, by);
    }
    const outcome = await clearRecord(
      cluster,
      {
        target: lock.revision.release,
        uid: lock.revision.uid,
        strategy: 'mark-failed',
        force: false,
        trigger: 'rest',
        by,
        reason: `it was in the way of ${command}`,
      },
      (found) => judge(found, silenceOnly(staleAfterSeconds), date()),
      within,
    );
    if (outcome.kind === 'cleared') return done(sighting, by);
    if (outcome.kind === 'unreadable') tell(notCleared(outcome, date()).message);
    return outcome.kind !== 'unreadable' && outcome.kind !== 'live';
  }

  function done(sighting: Sighting, by: string): true {
    const { lock, judgement } = sighting;
    const what = `${revisionOf(lock, date())} of release ${named(lock.revision.release)}`;
    note(
      `cleared a stale lock: ${what} is marked as failed, in the name of ${by}. Cause: ${judgement.reason}`,
    );
    return true;
  }

  /** Whether the lock has changed. */
  function explain(error: unknown, sighting: Sighting): boolean {
    const refusal = readRefusal(error);
    const stays = `the stale lock of release ${named(sighting.lock.revision.release)} was not cleared`;
    switch (refusal?.kind) {
      case 'changed':
        tried = { what: '', at: 0 };
        return true;
      case 'right':
        tell(lacking(refusal.right, sighting).message);
        return false;
      case 'kept':
        tell(`${stays}. Lockkeeper says: ${refusal.words}`);
        return false;
      case 'force':
        tell(`${stays}, because Lockkeeper takes it for live`);
        return false;
      case undefined:
        tell(`${stays}: ${(error as Error).message}`);
        return false;
    }
  }

  return async ({ sightings: [sighting], lockkeeper }) => {
    if (sighting === undefined) return false;
    const way = wayToClear(sighting, lockkeeper);
    if (way.kind === 'leave') tell(way.why);
    if (way.kind === 'leave' || way.kind === 'wait') return false;
    const { lock, judgement } = sighting;
    const what = [lock.revision.uid, judgement.verdict, lock.revision.lastWriteAt].join(' ');
    if (what === tried.what && clock.now() < tried.at + AGAIN_MS) return false;
    tried = { what, at: clock.now() };
    try {
      return await attempt(sighting, way, AbortSignal.any([signal, AbortSignal.timeout(CLEAR_MS)]));
    } catch (error) {
      signal.throwIfAborted();
      return explain(error, sighting);
    }
  };
}
