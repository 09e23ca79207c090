/** Reviews of records that come into being with a status that no deploy begins with: they wait for nobody, and pass no lock. */
import type { Logger } from 'pino';
import { isUnderWay, type Release, type Revision } from '../helm/release.ts';
import type { Verdict } from './admission-review.ts';
import type { Restore } from './decision.ts';
import { restoreRefused } from './door-words.ts';
import { passageOf } from './doors.ts';
import type { Call } from './hold.ts';
import type { Judgement, Lock } from './lock.ts';
import { describeLock } from './log-fields.ts';
import { ALLOW_DELETE, isMarked } from './marks.ts';
import type { KnownHolders, Reader } from './ports.ts';
import { readSignal } from './read-signal.ts';
import { relationOf } from './same-client.ts';
import { type Chapter, refusedToEnd } from './story.ts';
import { type JudgedLock, who } from './words.ts';

export interface RestoreHandler {
  /** @throws if the cluster cannot be read, or the caller hung up */
  review(restore: Restore, call: Call): Promise<Verdict>;
}

export interface RestoreHandlerOptions {
  readonly reader: Pick<Reader, 'all'>;
  readonly holders: Pick<KnownHolders, 'lockOf'>;
  readonly judge: (lock: Lock) => Judgement;
  /** Milliseconds since 1970, by the clock that stamps the records. */
  readonly date: () => number;
  readonly log: Logger;
  /** Told of what is worth an Event; never of a dry run. */
  readonly onStory: (chapter: Chapter) => void;
}

export function createRestoreHandler(options: RestoreHandlerOptions): RestoreHandler {
  const { reader, holders, judge, date, log, onStory } = options;

  /** The live lock that it would pass; undefined if there is none. */
  async function lockPassed(restore: Restore, signal: AbortSignal): Promise<JudgedLock | undefined> {
    const { driver, namespace, names } = restore;
    for (const name of names) {
      const newest = await newestBut(restore.uid, { driver, namespace, name }, signal);
      if (newest === undefined || !isUnderWay(newest.status) || isBelow(restore, newest)) continue;
      const lock = holders.lockOf(newest);
      const judgement = judge(lock);
      const passage = passageOf({
        operation: 'CREATE',
        before: '',
        after: restore.status,
        isVisible: true,
        payloadStatus: undefined,
        relation: relationOf(restore.client, lock.holder),
        verdict: judgement.verdict,
        isMarked: isMarked(newest.annotations ?? {}, ALLOW_DELETE),
      });
      if (passage !== 'allow') return { lock, judgement };
    }
    return undefined;
  }

  async function newestBut(uid: string, release: Release, signal: AbortSignal) {
    const all = await reader.all(release, signal);
    return all.find((revision) => revision.uid !== uid);
  }

  return {
    async review(restore, call) {
      const judged = await lockPassed(restore, readSignal(call));
      if (judged === undefined) return { allowed: true, warnings: [] };
      const { record, status, client, namespace } = restore;
      const message = restoreRefused(judged, status, date());
      log.info(
        {
          namespace,
          record,
          status,
          client: who(client),
          ...describeLock(judged.lock),
          code: 409,
          reason: message,
        },
        'a record beside a lock was refused',
      );
      if (!restore.dryRun)
        onStory(refusedToEnd(judged.lock, client, `create ${record} (${status}) beside it`));
      return { allowed: false, denial: { code: 409, message } };
    },
  };
}

/** What comes in below the newest revision is shadowed by it, and passes nothing. */
function isBelow({ revision }: Restore, newest: Revision): boolean {
  return revision !== undefined && revision <= newest.number;
}
