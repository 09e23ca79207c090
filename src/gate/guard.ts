/**
 * Keeps the record of a live lock from being deleted: without it, the next deploy would run beside the one that
 * is at work. `helm rollback --history-max 2` does just that to make room (trap 5). Only the newest revision is
 * a lock, and only while it is live: what Helm prunes otherwise, and a stale lock, are nobody's concern here.
 */
import type { Logger } from 'pino';
import { type Driver, isPending } from '../helm/release.ts';
import type { Review, Verdict } from './admission-review.ts';
import { type Deletion, screenDeletion } from './decision.ts';
import type { Call } from './hold.ts';
import { describeLock } from './log-fields.ts';
import type { IsOurs } from './ourselves.ts';
import type { KnownHolders, Reader } from './ports.ts';
import { type Chapter, refusedToEnd } from './story.ts';
import { judge } from './verdict.ts';
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
  readonly reader: Pick<Reader, 'all' | 'at'>;
  readonly holders: Pick<KnownHolders, 'lockOf'>;
  /** What it clears, it may delete. */
  readonly isOurs: IsOurs;
  readonly staleAfterSeconds: number;
  /** Milliseconds since 1970, by the clock that stamps the records. */
  readonly date: () => number;
  readonly log: Logger;
  /** Told of what is worth an Event; never of a dry run. */
  readonly onStory: (chapter: Chapter) => void;
}

/** Of the time that the caller gives, the rest is for the answer to arrive. */
const SHARE_FOR_READS = 0.6;

/** A caller that does not say how long it waits. */
const UNSAID_MS = 5_000;

const ALLOWED: Verdict = { allowed: true, warnings: [] };

export function createGuard(options: GuardOptions): Guard {
  const { drivers, reader, holders, isOurs, staleAfterSeconds, date, log, onStory } = options;

  /** The lock that a deletion would end; undefined if it would end none. */
  async function lockOf(deletion: Deletion, signal: AbortSignal): Promise<JudgedLock | undefined> {
    const { release, revision, uid } = deletion;
    const own = await reader.at(release, revision, signal);
    // It was pending when it was to be deleted, and may have ended since.
    if (own?.uid !== uid || !isPending(own.status)) return undefined;
    if (await isShadowed(deletion, signal)) return undefined;
    const lock = holders.lockOf(own);
    return { lock, judgement: judge(lock, staleAfterSeconds, date()) };
  }

  /**
   * Helm numbers by one, so one read by name tells, which takes the API server no time. Only a gap in the history
   * hides a newer revision from it; the list that would find that may take too long where Secrets are many.
   */
  async function isShadowed({ release, revision }: Deletion, signal: AbortSignal): Promise<boolean> {
    if ((await reader.at(release, revision + 1, signal)) !== undefined) return true;
    return reader.all(release, signal).then(
      (all) => all.some(({ number }) => number > revision),
      (error: unknown) => {
        log.warn(
          { release: release.name, reason: String(error) },
          'no list; the lock is taken for the newest',
        );
        return false;
      },
    );
  }

  return {
    async review(review, call) {
      const deletion = screenDeletion(review, drivers);
      if (deletion === undefined) return ALLOWED;
      if (deletion.marked) {
        log.info(describeDeletion(deletion), 'a record that is marked for it may be deleted');
        return ALLOWED;
      }
      const timeout = AbortSignal.timeout((call.timeoutMs ?? UNSAID_MS) * SHARE_FOR_READS);
      const signal = AbortSignal.any([call.signal, timeout]);
      const judged = await lockOf(deletion, signal);
      if (judged === undefined || (await isOurs(deletion.client, signal))) return ALLOWED;

      const fields = { ...describeDeletion(deletion), ...describeLock(judged.lock) };
      if (judged.judgement.verdict !== 'live') {
        log.info(
          { ...fields, because: judged.judgement.reason },
          'the record of a stale lock may be deleted',
        );
        return ALLOWED;
      }
      const message = guarded(judged, date());
      log.info({ ...fields, code: 409, reason: message }, 'a deletion was refused');
      if (!review.dryRun) onStory(refusedToEnd(judged.lock, deletion.client, 'delete its record'));
      return { allowed: false, denial: { code: 409, message } };
    },
  };
}

/** What ends a lock in this way leaves no other trace. */
function describeDeletion({ release, revision, client }: Deletion): object {
  const { namespace, name, driver } = release;
  return { namespace, release: name, driver, revision, client: who(client) };
}
