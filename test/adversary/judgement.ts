/** Whether a lock was stale at some time, as the log alone can tell, and as leniently as the log is vague. */
import type { Announcement, History, Span, StoredRecord, Version } from './history.ts';
import type { Entry } from './log.ts';

/** How long the replicas of the adversary take a silent holder for alive. */
export const STALE_AFTER_MS = 900_000;

/** An API server takes a token for 10 s more after its pod is gone; and its times are in whole seconds. */
const TOKEN_MS = 10_000;

/** Times in whole seconds, and clocks that are read twice. */
const VAGUE_MS = 2_000;

/** How long a fault is felt after it has ended: calls that were under way, connections that are made anew. */
const AFTERMATH_MS = 12_000;

/** Whether the pod of its holder may have been gone for so long that its token is good for nothing. */
export function mayBeDead({ podsGone }: History, record: StoredRecord, { answeredAt }: Span): boolean {
  const death = podsGone.get(record.creation.podUid ?? '');
  return death !== undefined && answeredAt - death.askedAt >= TOKEN_MS - VAGUE_MS / 2;
}

/** Longer than any replica needs to find out. Nobody is refused then because of this lock. */
export function isSurelyDead(
  { podsGone, announcements }: History,
  record: StoredRecord,
  span: Span,
): boolean {
  const death = podsGone.get(record.creation.podUid ?? '');
  const last = announcements.findLast(
    ({ told, entry }) => told.what === 'fault' && entry.askedAt <= span.answeredAt,
  );
  if (death === undefined || (last?.told.what === 'fault' && last.told.state === 'begins')) return false;
  return span.askedAt - Math.max(death.answeredAt, last?.entry.answeredAt ?? 0) > SURELY_KNOWN_MS;
}

const SURELY_KNOWN_MS = 60_000;

/** Whether nothing may have been written for so long that it is stale. */
export function mayBeExpired(history: History, { entry }: Version, span: Span): boolean {
  return silence(history, entry, span).longest >= STALE_AFTER_MS - VAGUE_MS;
}

/** Whether nobody could take its holder for dead. */
export function isSurelyLive(history: History, record: StoredRecord, span: Span): boolean {
  const last = record.versions.findLast(({ entry }) => entry.askedAt <= span.answeredAt);
  return last !== undefined && !mayBeDead(history, record, span) && !mayBeExpired(history, last, span);
}

/** From a write until a span, with the time that the adversary made pass meanwhile. */
function silence({ announcements }: History, { askedAt }: Entry, span: Span): { longest: number } {
  const passed = announcements.flatMap(({ told, entry }) => {
    const isBetween = entry.askedAt <= span.answeredAt && endOfTime(announcements, entry) >= askedAt;
    return told.what === 'time' && told.state === 'begins' && isBetween ? [told.ms] : [];
  });
  const sum = passed.reduce((total, ms) => total + ms, 0);
  return { longest: span.answeredAt - askedAt + sum };
}

/** When the time that begins to pass here had passed for every record. */
function endOfTime(announcements: readonly Announcement[], begin: Entry): number {
  const end = announcements.find(
    ({ told, entry }) => told.what === 'time' && told.state === 'ends' && entry.askedAt >= begin.answeredAt,
  );
  return end?.entry.answeredAt ?? Number.POSITIVE_INFINITY;
}

/** Whether somebody who may has asked for it, naming this record. */
export function isForced({ announcements }: History, { uid }: StoredRecord, { answeredAt }: Span): boolean {
  return announcements.some(
    ({ told, entry }) => told.what === 'force' && told.uid === uid && entry.askedAt <= answeredAt,
  );
}

/** Whether Lockkeeper may have been out of reach. */
export function mayBeFault({ announcements }: History, { askedAt, answeredAt }: Span): boolean {
  const faults = announcements.filter(({ told }) => told.what === 'fault');
  return faults.some(({ told, entry }, index) => {
    if (told.what !== 'fault' || told.state !== 'begins') return false;
    const end = faults
      .slice(index)
      .find((other) => other.told.what === 'fault' && other.told.state === 'ends');
    const until = end === undefined ? Number.POSITIVE_INFINITY : end.entry.answeredAt + AFTERMATH_MS;
    return entry.askedAt <= answeredAt && until >= askedAt;
  });
}
