/** Why nothing was cleared, and what to do instead: wait, ask, end it by one command, or get a right. */
import type { ClearOutcome } from '../gate/clearing.ts';
import { EXIT, Failure } from './exit.ts';
import { outlookOf } from './outlook.ts';
import { forceRight, missingRight, type Right, rightInWords } from './rights.ts';
import type { Sighting } from './sightings.ts';
import { clearCommand, judged, lockedBy, named } from './words.ts';

/** What was answered to a write that was to clear a lock. */
export type Refusal =
  /** RBAC: a right is missing. */
  | { readonly kind: 'right'; readonly right: Right }
  /** Lockkeeper: the lock is live, and this user may not clear such a one. */
  | { readonly kind: 'force' }
  /** Lockkeeper keeps the lock; why, in its words, without the commands for kubectl. */
  | { readonly kind: 'kept'; readonly words: string }
  /** There is another lock by now, or none. */
  | { readonly kind: 'changed' };

const DENIAL = /admission webhook "(?<webhook>[^"]*)" denied the request: (?<words>.*)$/s;

/** Undefined for anything else: the error itself tells most then. */
export function readRefusal(error: unknown): Refusal | undefined {
  const { message, status } = error as { message: string; status?: unknown };
  const denial = DENIAL.exec(message)?.groups;
  if (denial !== undefined) {
    const { webhook = '', words = '' } = denial;
    if (!/(^|\.)lockkeeper\.dev$/.test(webhook)) return undefined;
    return status === 403 ? { kind: 'force' } : { kind: 'kept', words: withoutCommands(words) };
  }
  const right = status === 403 ? missingRight(message) : undefined;
  if (right !== undefined) return { kind: 'right', right };
  return status === 404 || status === 409 ? { kind: 'changed' } : undefined;
}

const BETWEEN_SENTENCES = /(?<=[.!?]) (?=\p{Lu})/u;

/** Sentences that lead to a command, or have one. */
const ADVICE = /^If you know that its holder is dead|\b(kubectl|lockkeeper clear) /;

/** Lockkeeper writes for people with kubectl. This command line has commands of its own. */
export function withoutCommands(words: string): string {
  const sentences = words.split(BETWEEN_SENTENCES);
  return sentences.filter((sentence) => !ADVICE.test(sentence)).join(' ');
}

export function lacking(right: Right, sighting: Sighting): Failure {
  const { release } = sighting.lock.revision;
  return new Failure(
    EXIT.forbidden,
    `you may not clear the lock of release ${named(release)}: that takes ${rightInWords(right)}`,
  );
}

/** @param now milliseconds since 1970, by the API server's clock */
export function lackingForce(sighting: Sighting, now: number): Failure {
  const right = forceRight(sighting.lock.revision.release.namespace);
  return new Failure(
    EXIT.forbidden,
    `you may not clear a live lock: that takes ${rightInWords(right)}. Nothing was changed: ${judged(sighting, now)}`,
  );
}

export interface Forcing {
  /** Whether it was tried. */
  readonly force: boolean;
  /** Undefined if that is not known. */
  readonly mayForce: boolean | undefined;
}

/** Lockkeeper keeps a lock, and this one is still there. @param words its own, to be followed by what to do */
export function keptByLockkeeper(words: string, sighting: Sighting, forcing: Forcing): Failure {
  const why = words || `Lockkeeper keeps the lock of release ${named(sighting.lock.revision.release)}.`;
  return new Failure(EXIT.live, [why, wayOut(words, sighting, forcing)].filter(Boolean).join(' '));
}

function wayOut(words: string, { lock, judgement }: Sighting, { force, mayForce }: Forcing): string {
  if (outlookOf(judgement) === 'ending') return 'Wait: it ends by itself';
  if (words.includes('was not cleared')) {
    return `To remove its record as it is: ${clearCommand(lock, '--strategy delete')}`;
  }
  if (force) return '';
  const right = rightInWords(forceRight(lock.revision.release.namespace));
  if (mayForce === false) return `To clear it all the same takes ${right}`;
  const condition = mayForce ? '' : `, and have ${right}`;
  return `If you know that its holder is dead${condition}: ${clearCommand(lock, '--force')}`;
}

/** Of a clear that was done on the record itself. @param now milliseconds since 1970, by the API server's clock */
export function notCleared(outcome: Exclude<ClearOutcome, { kind: 'cleared' }>, now: number): Failure {
  switch (outcome.kind) {
    case 'live': {
      const { lock, judgement } = outcome;
      const what = `${lockedBy(lock, now)}, and that lock is live: ${judgement.reason}`;
      const way = `If you know that its holder is dead: ${clearCommand(lock, '--force')}`;
      return new Failure(EXIT.live, `${what}. Nothing was changed. ${way}`);
    }
    case 'unreadable': {
      const { lock, words } = outcome;
      const { number, release } = lock.revision;
      const what = `revision ${number} of release ${named(release)} cannot be marked as failed: ${words}`;
      const way = `To remove its record as it is: ${clearCommand(lock, '--strategy delete')}`;
      return new Failure(EXIT.failed, `${what}. Nothing was changed. ${way}`);
    }
    case 'changed':
      return new Failure(EXIT.changed, `the lock changed while it was being cleared: ${outcome.words}`);
    case 'free':
    case 'other':
      return hasChanged();
  }
}

export function hasChanged(): Failure {
  return new Failure(EXIT.changed, 'the lock has changed since it was looked at. Nothing was changed');
}
