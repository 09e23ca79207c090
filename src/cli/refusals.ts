/** Why nothing was cleared, and what to do instead. */
import type { ClearOutcome } from '../gate/clearing.ts';
import { EXIT, Failure } from './exit.ts';
import { lockedBy } from './words.ts';

/** A webhook that says no says so in words of its own; RBAC names a right, and that is no answer of this kind. */
export function refusalOf({ message }: Error): Failure | undefined {
  const [, words] = message.split(/admission webhook "[^"]*" denied the request: /);
  return words === undefined ? undefined : new Failure(EXIT.live, words);
}

/** @param now milliseconds since 1970, by the API server's clock */
export function notCleared(outcome: Exclude<ClearOutcome, { kind: 'cleared' }>, now: number): Failure {
  switch (outcome.kind) {
    case 'live': {
      const what = `${lockedBy(outcome.lock, now)}, and that lock is live: ${outcome.judgement.reason}`;
      return new Failure(
        EXIT.live,
        `${what}. Nothing was changed. If you know that its holder is dead: --force`,
      );
    }
    case 'unreadable': {
      const { number, release } = outcome.lock.revision;
      const what = `revision ${number} of release ${release.namespace}/${release.name} cannot be marked as failed`;
      const way = 'Nothing was changed. --strategy delete removes the record as it is';
      return new Failure(EXIT.failed, `${what}: ${outcome.words}. ${way}`);
    }
    case 'changed':
      return new Failure(EXIT.changed, `the lock changed while it was being cleared: ${outcome.words}`);
    case 'free':
    case 'other':
      return new Failure(EXIT.changed, 'the lock has changed since it was looked at. Nothing was changed');
  }
}
