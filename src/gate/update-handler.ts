/**
 * Reviews of UPDATE: a write that ends a lock. The holder's own last write is answered from what is known, without a read.
 * What another client writes is compared with what is stored.
 */
import type { Logger } from 'pino';
import type { Driver } from '../helm/release.ts';
import type { Denial, Verdict } from './admission-review.ts';
import { effectOf, endRefused, falseLabel } from './door-words.ts';
import { type Passage, passageOf } from './doors.ts';
import type { Call } from './hold.ts';
import type { ReadLock } from './live-lock.ts';
import type { Lock } from './lock.ts';
import { describeLock } from './log-fields.ts';
import type { IsOurs } from './ourselves.ts';
import type { KnownHolders, RecordIdentity } from './ports.ts';
import { readSignal } from './read-signal.ts';
import { isHolder, type Relation, relationOf } from './same-client.ts';
import type { RecordUpdate } from './screen-update.ts';
import { type Chapter, endedBy, refusedToEnd } from './story.ts';
import { who } from './words.ts';

export interface UpdateHandler {
  /**
   * The answer to a write that ends a pending revision, or hides it.
   * @throws if the cluster cannot be read, or the caller hung up
   */
  review(update: RecordUpdate, call: Call): Promise<Verdict>;
}

/** How a lock was ended by a write: by a client in which relation to its holder, and in which status it is now. */
export interface LockEnd {
  readonly relation: Relation;
  readonly status: string;
}

export interface UpdateHandlerOptions {
  readonly holders: Pick<KnownHolders, 'holderOf'>;
  readonly readLock: ReadLock;
  /** The status in the payload of a record; undefined if nobody can read it. */
  readonly readStatus: (driver: Driver, payload: string) => Promise<string | undefined>;
  /** Whether there is a ReleaseLock for this record. */
  readonly isListed: (record: RecordIdentity) => boolean;
  readonly isOurs: IsOurs;
  /** Milliseconds since 1970, by the clock that stamps the records. */
  readonly date: () => number;
  readonly log: Logger;
  /** Told of each lock that a write ends; never of a dry run. */
  readonly onEnded: (end: LockEnd) => void;
  /** Told of what is worth an Event; never of a dry run. */
  readonly onStory: (chapter: Chapter) => void;
}

const ALLOWED: Verdict = { allowed: true, warnings: [] };

export function createUpdateHandler(options: UpdateHandlerOptions): UpdateHandler {
  const { holders, readLock, readStatus, isListed, isOurs, date, log, onEnded, onStory } = options;

  function report(update: RecordUpdate, relation: Relation, lock: Lock | undefined, isDoubtful: boolean) {
    const { after, isVisible, client, dryRun } = update;
    if (dryRun) return;
    const fields = { ...describe(update), ...(lock && describeLock(lock)), relation };
    if (isDoubtful) log.warn(fields, 'a client that is not known to hold the lock ended it');
    else log.info(fields, 'a lock was ended');
    onEnded({ relation, status: after });
    if (isDoubtful && lock) onStory(endedBy(lock, client, { status: after, isVisible }));
  }

  function refuse(update: RecordUpdate, denial: Denial, lock?: Lock): Verdict {
    const { code, message: reason } = denial;
    log.info({ ...describe(update), ...(lock && describeLock(lock)), code, reason }, 'an end was refused');
    if (lock && !update.dryRun) onStory(refusedToEnd(lock, update.client, effectOf(update)));
    return { allowed: false, denial };
  }

  /** @param payloadStatus as the record will say it */
  async function reviewOther(
    update: RecordUpdate,
    payloadStatus: string | undefined,
    signal: AbortSignal,
  ): Promise<Verdict> {
    const judged = await readLock(identityOf(update), signal);
    if (judged === undefined) return ALLOWED;
    const { lock, judgement } = judged;
    const relation = relationOf(update.client, lock.holder);
    const passage = passageOf({ ...request(update, payloadStatus), relation, verdict: judgement.verdict });
    if (passage === 'refuse') {
      const message = endRefused(judged, update, date());
      return refuse(update, { code: 409, message }, lock);
    }
    report(update, relation, lock, isDoubtful(passage, relation));
    return ALLOWED;
  }

  return {
    async review(update, call) {
      const payloadStatus = await readStatus(update.release.driver, update.payload());
      const relation = relationOf(update.client, holders.holderOf(identityOf(update)));
      const passage = passageOf({ ...request(update, payloadStatus), relation, verdict: 'live' });
      if (passage === 'allow' && isHolder(relation)) {
        report(update, relation, undefined, false);
        return ALLOWED;
      }
      const signal = readSignal(call);
      if (await isOurs(update.client, signal)) return ALLOWED;
      if (passage === 'refuse-false-label') {
        const message = falseLabel(update, payloadStatus as string, isListed(identityOf(update)));
        return refuse(update, { code: 400, message });
      }
      return reviewOther(update, payloadStatus, signal);
    },
  };
}

function request(update: RecordUpdate, payloadStatus: string | undefined) {
  const { before, after, isVisible, isMarked } = update;
  return { operation: 'UPDATE', before, after, isVisible, isMarked, payloadStatus } as const;
}

function identityOf({ release, revision: number, uid }: RecordUpdate): RecordIdentity {
  return { release, number, uid };
}

/** A stale lock, and a marked one, may be ended by anybody; that is worth an Event as well. */
function isDoubtful(passage: Passage, relation: Relation): boolean {
  return passage === 'allow-and-report' || !isHolder(relation);
}

function describe({ release, revision, before, after, client }: RecordUpdate): object {
  const { namespace, name, driver } = release;
  return { namespace, release: name, driver, revision, before, after, client: who(client) };
}
