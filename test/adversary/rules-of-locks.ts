/** What must hold of locks as such: each ends, and its ReleaseLock names the client that made the record. */
import { endOf, type History, isSurelyPending, type StoredRecord, statesDuring } from './history.ts';
import { isJobPod, type Naming } from './holders.ts';
import { deathOf, isKnownAsJob, mayBeFault } from './judgement.ts';
import type { Entry } from './log.ts';
import { isNewest, type Violation, violation } from './violation.ts';

/** A lock whose holder is dead is gone by then: 3 s until its pod is looked at, 15 s of grace, and a machine that is busy. */
export const BOUND_MS = 45_000;

/** At the end of a run no lock is left, and none outlived its dead holder for long. */
export function everyLockEnds(history: History): Violation[] {
  const { records, announcements } = history;
  const calm = announcements.find(({ told }) => told.what === 'calm')?.entry;
  const end = announcements.find(({ told }) => told.what === 'end')?.entry;
  if (calm === undefined || end === undefined) return [];
  return records.flatMap((record) => {
    const death = deathOf(history, record);
    const last = statesDuring(record, end).at(-1);
    const isLock = isSurelyPending(record, end) && isNewest(history, record, end);
    if (isLock) return [violation('every lock ends', record, end, `it is ${last?.status} in the end`)];
    const ended = endOf(record);
    if (death === undefined || ended === undefined || !isKnownAsJob(history, record, death)) return [];
    const took = ended.askedAt - Math.max(death.answeredAt, calm.answeredAt);
    if (took <= BOUND_MS) return [];
    return [violation('every lock ends', record, ended, `${took / 1000} s after its holder's death`)];
  });
}

/** Nobody but the client whose review named a record is its holder, whatever others send to Lockkeeper. */
export function locksNameTheirHolder(history: History): Violation[] {
  return history.records.flatMap((record) => {
    const namings = history.named.get(record.uid) ?? [];
    const { verb, code } = record.creation;
    // Of a creation without an answer the log may have more than one, and none that it has not told of yet.
    const isCertain = verb === 'create' && code < 300;
    return isCertain ? namings.flatMap((naming) => whatIsWrong(history, record, naming)) : [];
  });
}

function whatIsWrong(history: History, record: StoredRecord, { holder, entry }: Naming): Violation[] {
  const { user, podUid } = record.creation;
  const rule = 'a ReleaseLock names its holder';
  if (holder.user !== user || holder.pod?.uid !== podUid) {
    const words = `it names ${holder.user} in pod ${holder.pod?.uid}, and ${user} in pod ${podUid} made the record`;
    return [violation(rule, record, entry, words)];
  }
  if (podUid === undefined) return [];
  const isJob = isJobPod(history.pods, record.creation);
  if (isJob === (holder.podKind === 'job') || (isJob && mayBeUnread(history, record, entry))) return [];
  const words = `pod ${podUid} of ${user} counts as ${holder.podKind}, and is ${isJob ? 'a job pod' : 'none'}`;
  return [violation(rule, record, entry, words)];
}

/** Whether the metadata of its pod may not have been there to be read, so that it counts as one that serves many. */
function mayBeUnread(history: History, { creation }: StoredRecord, { answeredAt }: Entry): boolean {
  const deaths = history.pods.get(creation.podUid ?? '')?.deaths ?? [];
  const span = { askedAt: creation.askedAt, answeredAt };
  return deaths.some(({ gone }) => gone.askedAt <= answeredAt) || mayBeFault(history, span);
}
