/**
 * Keeps the record of a live lock from being deleted: without it, the next deploy would run beside the one that
 * is at work. `helm rollback --history-max 2` does just that to make room (trap 5). Only the newest revision is
 * a lock, and only while it is live: what Helm prunes otherwise, and a stale lock, are nobody's concern here.
 */
import type { Logger } from 'pino';
import type { Driver } from '../helm/release.ts';
import type { Review, Verdict } from './admission-review.ts';
import { type Deletion, screenDeletion } from './decision.ts';
import { isStale, type Passage, passageOf } from './doors.ts';
import type { Call } from './hold.ts';
import type { ReadLock } from './live-lock.ts';
import { describeLock } from './log-fields.ts';
import type { IsOurs } from './ourselves.ts';
import { readSignal } from './read-signal.ts';
import { relationOf } from './same-client.ts';
import { type Chapter, refusedToEnd } from './story.ts';
import { guarded, type JudgedLock, who } from './words.ts';

export interface Guard {
  /**
   * The answer to the review of a deletion.
   * @throws if the cluster cannot be read, or the caller hung up
   */
  review(review: Review, call: Call): Promise<Verdict>;
}

export interface GuardOptions {
  readonly drivers: readonly Driver[];
  readonly readLock: ReadLock;
  /** What it clears, it may delete. */
  readonly isOurs: IsOurs;
  /** Milliseconds since 1970, by the clock that stamps the records. */
  readonly date: () => number;
  readonly log: Logger;
  /** Told of what is worth an Event; never of a dry run. */
  readonly onStory: (chapter: Chapter) => void;
}

const ALLOWED: Verdict = { allowed: true, warnings: [] };

export function createGuard(options: GuardOptions): Guard {
  const { drivers, readLock, isOurs, date, log, onStory } = options;

  return {
    async review(review, call) {
      const deletion = screenDeletion(review, drivers);
      if (deletion === undefined) return ALLOWED;
      if (deletion.marked) {
        log.info(describeDeletion(deletion), 'a record that is marked for it may be deleted');
        return ALLOWED;
      }
      const signal = readSignal(call);
      const { release, revision: number, uid, client } = deletion;
      const judged = await readLock({ release, number, uid }, signal);
      if (judged === undefined || (await isOurs(client, signal))) return ALLOWED;

      const fields = { ...describeDeletion(deletion), ...describeLock(judged.lock) };
      if (passageOfDeletion(deletion, judged) === 'allow') {
        const because = judged.judgement.reason;
        const whose = isStale(judged.judgement)
          ? 'the record of a stale lock'
          : 'the record of the client’s own lock';
        log.info({ ...fields, because }, `${whose} may be deleted`);
        return ALLOWED;
      }
      const message = guarded(judged, date());
      log.info({ ...fields, code: 409, reason: message }, 'a deletion was refused');
      if (!review.dryRun) onStory(refusedToEnd(judged.lock, client, 'delete its record'));
      return { allowed: false, denial: { code: 409, message } };
    },
  };
}

function passageOfDeletion({ client, marked }: Deletion, { lock, judgement }: JudgedLock): Passage {
  return passageOf({
    operation: 'DELETE',
    before: lock.revision.status,
    after: '',
    isVisible: false,
    payloadStatus: undefined,
    relation: relationOf(client, lock.holder),
    verdict: judgement.verdict,
    isMarked: marked,
  });
}

/** What ends a lock in this way leaves no other trace. */
function describeDeletion({ release, revision, client }: Deletion): object {
  const { namespace, name, driver } = release;
  return { namespace, release: name, driver, revision, client: who(client) };
}
