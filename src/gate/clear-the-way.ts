/** Rule 5: a stale lock that is in the way of a deploy is marked as failed. */
import type { Logger } from 'pino';
import type { Clearer } from './clearing.ts';
import type { Deploy } from './decision.ts';
import { describe, describeLock } from './log-fields.ts';
import { clearedOnTheWay, type JudgedLock, who } from './words.ts';

export type Attempt =
  | { readonly kind: 'cleared'; readonly warning: string }
  /** Something else happened to it meanwhile: a fresh read tells what. */
  | { readonly kind: 'changed' }
  /** Written again, or two API servers disagree about the time: not worth asking again at once. */
  | { readonly kind: 'live' }
  /** It will not go away by trying again. */
  | { readonly kind: 'stays' };

/** The name that is left behind in `helm history` where nobody but Lockkeeper decided. */
export const LOCKKEEPER = 'lockkeeper';

function isRollback({ status }: Deploy): boolean {
  return status === 'pending-rollback';
}

/** @throws the signal's reason, once that is aborted */
export type ClearTheWay = (deploy: Deploy, judged: JudgedLock, signal: AbortSignal) => Promise<Attempt>;

export function createClearTheWay({ clearer, log }: { clearer: Clearer; log: Logger }): ClearTheWay {
  return async (deploy, { lock, judgement }, signal) => {
    const { release, uid, number: revision } = lock.revision;
    const stays = (reason: string): Attempt => {
      log.error({ ...describe(deploy), ...describeLock(lock), reason }, 'the lock cannot be cleared');
      return { kind: 'stays' };
    };
    try {
      const outcome = await clearer.clear(
        {
          target: release,
          revision,
          uid,
          strategy: 'mark-failed',
          force: false,
          trigger: 'deploy',
          // A rollback over a silent lock is its user's own decision. A dead holder is Lockkeeper's finding.
          by: judgement.verdict === 'expired' && isRollback(deploy) ? who(deploy.client) : LOCKKEEPER,
        },
        signal,
      );
      switch (outcome.kind) {
        case 'cleared':
          return { kind: 'cleared', warning: clearedOnTheWay(lock, judgement) };
        case 'changed':
          return { kind: 'changed' };
        case 'live':
          return { kind: 'live' };
        case 'free':
        case 'other':
          // Not the lock: it ended, or a newer revision shadows it.
          return { kind: 'stays' };
        case 'unreadable':
          return stays(outcome.words);
      }
    } catch (error) {
      signal.throwIfAborted();
      return stays(String(error));
    }
  };
}
