/** What it means to clear a lock: how, by whom, what may come of it, and the words that are left behind. */
import type { Driver } from '../helm/release.ts';
import { replaceUnsafe } from '../printable.ts';
import { timestamp } from '../timestamp.ts';
import { isStale } from './doors.ts';
import type { Judgement, Lock } from './lock.ts';

/**
 * `mark-failed` keeps the record and gives it the status that Helm gives to a deploy that failed; `delete`
 * removes it, as people did by hand.
 */
export const STRATEGIES = ['mark-failed', 'delete'] as const;
export type Strategy = (typeof STRATEGIES)[number];

/** What asked for it: a person or pipeline over REST, by kubectl, a deploy that came to the gate, or nobody. */
export type Trigger = 'rest' | 'kubectl' | 'deploy' | 'sweep';

/** The release whose lock is meant; in any driver, if it is not said in which. */
export interface Target {
  readonly namespace: string;
  readonly name: string;
  readonly driver?: Driver;
}

/** Of a reason that somebody gives, in characters. */
export const MAX_REASON_LENGTH = 200;

/** A reason as it is kept: one line without unsafe characters, cut to its longest. Undefined if nothing is left of it. */
export function tidyReason(text: string): string | undefined {
  const line = replaceUnsafe(text, (character) => (/[\s\u0085]/.test(character) ? ' ' : ''));
  const words = line.replaceAll(/\s+/g, ' ').trim();
  return [...words].slice(0, MAX_REASON_LENGTH).join('').trimEnd() || undefined;
}

export interface ClearRequest {
  readonly target: Target;
  readonly strategy: Strategy;
  /** The revision that the caller saw; any other one is left alone. */
  readonly revision?: number | undefined;
  /** The uid of the record that the caller saw. */
  readonly uid?: string | undefined;
  /** Clear it even if it is live. */
  readonly force: boolean;
  readonly trigger: Trigger;
  /** Who asks. */
  readonly by: string;
  /** Why, in the caller's words. */
  readonly reason?: string | undefined;
}

export type ClearOutcome =
  | {
      readonly kind: 'cleared';
      readonly lock: Lock;
      readonly judgement: Judgement;
      /** The Helm commands that work now. */
      readonly next: readonly string[];
    }
  /** There is no lock. */
  | { readonly kind: 'free' }
  /** The lock is not the one that the caller named. */
  | { readonly kind: 'other'; readonly lock: Lock }
  | { readonly kind: 'live'; readonly lock: Lock; readonly judgement: Judgement }
  /** Somebody else was first. What became of the lock, in words. */
  | { readonly kind: 'changed'; readonly lock: Lock; readonly words: string }
  /** The record cannot be edited; why, in words. */
  | {
      readonly kind: 'unreadable';
      readonly lock: Lock;
      readonly words: string;
      /** The status in the record itself, where its label says that it is pending. */
      readonly ownStatus?: string | undefined;
    };

export interface Clearer {
  /** @throws if the cluster cannot be read or written; then it may have happened all the same */
  clear(request: ClearRequest, signal: AbortSignal): Promise<ClearOutcome>;
}

/**
 * The description that `helm history` shows of a revision that was marked failed.
 * @param now milliseconds since 1970
 */
export function describeClearing(
  { by, reason, force }: ClearRequest,
  { revision }: Lock,
  judgement: Judgement,
  now: number,
): string {
  const how = force && !isStale(judgement) ? 'Cleared by force' : 'Cleared';
  const why = reason ? `${judgement.reason}; ${reason}` : judgement.reason;
  return `${how} by ${by} at ${timestamp(now)}, was ${revision.status}: ${why}`;
}

/** What became of a lock that somebody else ended, or took over, meanwhile. */
export function whatBecameOf(
  { revision }: Lock,
  newest: Lock['revision'] | undefined,
  isStored: boolean,
): string {
  if (!isStored) return `the record of revision ${revision.number} is gone: somebody deleted it`;
  if (newest === undefined || newest.uid !== revision.uid) {
    return `there is revision ${newest?.number} (${newest?.status}) now`;
  }
  return newest.status === revision.status
    ? `revision ${revision.number} was written to meanwhile`
    : `revision ${revision.number} is ${newest.status} now`;
}
