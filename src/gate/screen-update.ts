/** What an UPDATE of a record means for the lock of its release, as far as the review tells by itself. */
import { type Driver, isPending, parseRecordName, type Release } from '../helm/release.ts';
import type { Review } from './admission-review.ts';
import { KUBERNETES, type Restore, restoreOf } from './decision.ts';
import { isAddressable, isHelmRecord } from './helm-record.ts';
import type { Client } from './lock.ts';
import { ALLOW_DELETE, isMarked } from './marks.ts';

/** A write that may end a lock, or pass it. */
export interface RecordUpdate {
  readonly release: Release;
  readonly revision: number;
  readonly uid: string;
  readonly client: Client;
  readonly dryRun: boolean;
  /** Helm's status as the label says it, before and after; the empty string where there is none. */
  readonly before: string;
  readonly after: string;
  /** Whether Helm still finds the record by its labels. */
  readonly isVisible: boolean;
  /** Whether somebody marked the record, so that it may be ended whatever it locks. */
  readonly isMarked: boolean;
  readonly payload: () => string;
}

export type UpdateScreening =
  /** A pending revision is to be ended, or hidden. */
  | { readonly kind: 'end'; readonly update: RecordUpdate }
  /** `helm uninstall` begins, at this revision. */
  | { readonly kind: 'uninstall'; readonly update: RecordUpdate }
  /** Labels make a record of what was none. */
  | { readonly kind: 'restore'; readonly restore: Restore };

/** Undefined when it may pass without a question: Helm's other writes, and everybody else's. */
export function screenUpdate(review: Review, gated: readonly Driver[]): UpdateScreening | undefined {
  const { driver, before, operation } = review;
  if (operation !== 'UPDATE' || before === undefined || driver === undefined) return undefined;
  if (!gated.includes(driver) || KUBERNETES.includes(review.client.user)) return undefined;
  if (before.labels.owner !== 'helm') {
    const restore = isHelmRecord(review) ? restoreOf(review) : undefined;
    return restore && { kind: 'restore', restore };
  }
  const update = isHelmRecord({ ...review, ...before }) ? updateOf(review, driver, before) : undefined;
  const kind = update && kindOf(update);
  return update && kind && { kind, update };
}

function kindOf({ before, after, isVisible }: RecordUpdate): 'end' | 'uninstall' | undefined {
  if (isVisible && after === 'uninstalling') return before === 'uninstalling' ? undefined : 'uninstall';
  return isPending(before) && !(isPending(after) && isVisible) ? 'end' : undefined;
}

function updateOf(
  review: Review,
  driver: Driver,
  { labels, annotations }: NonNullable<Review['before']>,
): RecordUpdate | undefined {
  const { namespace, name, objectUid, client, dryRun, payload } = review;
  // Its name says what it locks, as it does when a deploy is judged.
  const record = parseRecordName(name);
  if (record === undefined || !isAddressable(review, record.release)) return undefined;
  return {
    release: { driver, namespace, name: record.release },
    revision: record.revision,
    uid: objectUid,
    client,
    dryRun,
    before: labels.status ?? '',
    after: review.labels.status ?? '',
    isVisible: review.labels.owner === 'helm' && review.labels.name === labels.name,
    isMarked: isMarked(annotations, ALLOW_DELETE),
    payload,
  };
}
