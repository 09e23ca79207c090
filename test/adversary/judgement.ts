/** Whether a lock was stale at some time, as the log alone can tell, and as leniently as the log is vague. */
import type { Announcement, History, Span, StoredRecord, Version } from './history.ts';
import { isJobPod } from './holders.ts';
import type { Entry } from './log.ts';

/** How long the replicas of the adversary take a silent holder for alive. */
export const STALE_AFTER_MS = 900_000;

/** The same for one whose job pod runs: shorter than Lockkeeper's default, so that a run can outlast it. */
export const STALE_AFTER_RUNNING_MS = 1_800_000;

/** How long a pod has to be gone before its lock is stale. */
export const DEATH_GRACE_MS = 15_000;

/** Times in whole seconds, and clocks that are read twice. */
const VAGUE_MS = 2_000;

/** How long a fault is felt after it has ended: calls that were under way, connections that are made anew. */
const AFTERMATH_MS = 12_000;

/** Until every replica has heard what a ReleaseLock says. */
const HEARD_MS = 1_000;

/** Whether the job pod of its holder may have been gone for so long that nothing comes from there any more. */
export function mayBeDead({ pods }: History, { creation }: StoredRecord, span: Span): boolean {
  if (!isJobPod(pods, creation)) return false;
  const deaths = pods.get(creation.podUid ?? '')?.deaths ?? [];
  return deaths.some(({ gone, returned }) => {
    const isBack = returned !== undefined && returned.answeredAt + VAGUE_MS < span.askedAt;
    return !isBack && span.answeredAt - gone.askedAt >= DEATH_GRACE_MS - VAGUE_MS / 2;
  });
}

/** The deletion of its job pod, which is not there again; undefined if it is there, or is no such pod. */
export function deathOf({ pods }: History, { creation }: StoredRecord): Entry | undefined {
  const last = pods.get(creation.podUid ?? '')?.deaths.at(-1);
  return isJobPod(pods, creation) && last?.returned === undefined ? last?.gone : undefined;
}

/** Longer than any replica needs to find out. Nobody is refused then because of this lock. */
export function isSurelyDead(history: History, record: StoredRecord, span: Span): boolean {
  const death = deathOf(history, record);
  const last = history.announcements.findLast(
    ({ told, entry }) => told.what === 'fault' && entry.askedAt <= span.answeredAt,
  );
  const isFault = last?.told.what === 'fault' && last.told.state === 'begins';
  if (death === undefined || isFault || !isKnownAsJob(history, record, death)) return false;
  return span.askedAt - Math.max(death.answeredAt, last?.entry.answeredAt ?? 0) > SURELY_KNOWN_MS;
}

const SURELY_KNOWN_MS = 60_000;

/** Whether a ReleaseLock said before this span that its holder is in a job pod. What only one replica knows, may be lost. */
export function isKnownAsJob({ named }: History, { uid }: StoredRecord, { askedAt }: Span): boolean {
  const first = named.get(uid)?.[0];
  return first !== undefined && first.entry.answeredAt <= askedAt && first.holder.podKind === 'job';
}

/** Whether the replica that was asked may not have known its holder. */
export function mayBeUnknown({ named }: History, { uid }: StoredRecord, { askedAt }: Span): boolean {
  const first = named.get(uid)?.[0];
  return first === undefined || askedAt < first.entry.answeredAt + HEARD_MS;
}

/** Whether nothing may have been written for so long that it is stale. */
export function mayBeExpired(
  history: History,
  record: StoredRecord,
  { entry }: Version,
  span: Span,
): boolean {
  const limit = isKnownAsJob(history, record, span) ? STALE_AFTER_RUNNING_MS : STALE_AFTER_MS;
  return longestSilence(history, entry, span) >= limit - VAGUE_MS;
}

/** Whether an uninstall, which began with this version, may have been silent for so long that it is taken for broken off. */
export function mayBeBrokenOff(history: History, { entry }: Version, span: Span): boolean {
  return longestSilence(history, entry, span) >= STALE_AFTER_MS - VAGUE_MS;
}

/** Whether nobody could take its holder for dead, whose last write this version was. */
export function isSurelyLive(history: History, record: StoredRecord, version: Version, span: Span): boolean {
  return !mayBeDead(history, record, span) && !mayBeExpired(history, record, version, span);
}

/** From a write until a span, with the time that the adversary made pass meanwhile. */
function longestSilence({ announcements }: History, { askedAt }: Entry, span: Span): number {
  const passed = announcements.flatMap(({ told, entry }) => {
    const isBetween = entry.askedAt <= span.answeredAt && endOfTime(announcements, entry) >= askedAt;
    return told.what === 'time' && told.state === 'begins' && isBetween ? [told.ms] : [];
  });
  const sum = passed.reduce((total, ms) => total + ms, 0);
  return span.answeredAt - askedAt + sum;
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
