/** Whether a review is about a Helm release record. */
import { isRecordName, isSelectable, RECORD_TYPE } from '../helm/release.ts';
import type { Review } from './admission-review.ts';

/** A Secret says so by its type; a ConfigMap has none, so its name and its owner must both say so. */
export function isHelmRecord({
  driver,
  type,
  labels,
  name,
}: Pick<Review, 'driver' | 'type' | 'labels' | 'name'>): boolean {
  return (driver === 'secrets' && type === RECORD_TYPE) || (labels.owner === 'helm' && isRecordName(name));
}

/** Whether it can be looked for. */
export function isAddressable({ namespace, objectUid }: Review, release: string): boolean {
  return isSelectable(release) && namespace !== '' && objectUid !== '';
}
