/** What the REST endpoints say: locks as JSON, and each thing that can go wrong as a problem with a way out. */
import type { ClearOutcome, ClearRequest, Target } from '../gate/clearing.ts';
import { isStale } from '../gate/doors.ts';
import type { Judgement, Lock } from '../gate/lock.ts';
import { FORCE_RIGHT } from '../gate/rights.ts';
import { duration, recordOf, who } from '../gate/words.ts';
import { timestamp } from '../timestamp.ts';
import { Problem } from './problem.ts';
import type { LockJson } from './schemas.ts';

export function toJson({ revision, holder }: Lock, judgement: Judgement, waiting: number): LockJson {
  const { release, number, status, createdAt, lastWriteAt } = revision;
  return {
    namespace: release.namespace,
    release: release.name,
    revision: number,
    status,
    since: timestamp(createdAt),
    lastActivity: timestamp(lastWriteAt),
    holder: holder === undefined ? null : { user: holder.user, pod: holder.pod ?? null },
    verdict: judgement.verdict,
    reason: judgement.reason,
    waiting,
  };
}

export function isFree({ namespace, name }: Target): Problem {
  return new Problem(
    404,
    `release ${namespace}/${name} is not locked: its newest revision is not pending, or there is none`,
  );
}

export function stillLocked(lock: LockJson, seconds: number): Problem {
  const { namespace, release, revision, status, reason, verdict } = lock;
  const still = seconds === 0 ? 'is locked' : `is still locked after ${duration(seconds)},`;
  const way = isStale({ verdict }) ? `. To clear it: DELETE it with revision=${revision}, without /wait` : '';
  const detail = `release ${namespace}/${release} ${still} by revision ${revision} (${status}, ${verdict}: ${reason})${way}`;
  return new Problem(409, detail, { lock });
}

export function shutsDown(): Problem {
  return new Problem(
    503,
    'this replica of lockkeeper shuts down: ask again, and another one answers',
    {},
    RETRY,
  );
}

export function isFull(most: number, whose = ''): Problem {
  return new Problem(
    503,
    `${most} requests${whose} wait at this replica of lockkeeper, and that is all it takes: ask again`,
    {},
    RETRY,
  );
}

/** Why nothing was cleared, and what to do instead. */
export function notCleared(
  outcome: Exclude<ClearOutcome, { kind: 'cleared' }>,
  { target, revision, uid }: ClearRequest,
  show: (lock: Lock) => LockJson,
): Problem {
  switch (outcome.kind) {
    case 'free':
      return isFree(target);
    case 'other': {
      const asked = [revision && `revision ${revision}`, uid && `uid ${uid}`].filter(Boolean).join(' with ');
      const detail = `${lockedBy(outcome.lock)}, not by ${asked}. Nothing was changed. Look again before you clear it`;
      return new Problem(409, detail, { lock: show(outcome.lock) });
    }
    case 'live': {
      const { lock, judgement } = outcome;
      const detail = `${lockedBy(lock)}, and that lock is live: ${judgement.reason}. Nothing was changed. Clear it once it is stale; or now, if you know that its holder is dead, with force=true. That takes ${FORCE_RIGHT}`;
      return new Problem(409, detail, { lock: show(lock) });
    }
    case 'changed': {
      const detail = `the lock of release ${target.namespace}/${target.name} changed while it was being cleared: ${outcome.words}. Nothing was changed by this request`;
      return new Problem(409, detail);
    }
    case 'unreadable': {
      const { revision } = outcome.lock;
      const way = outcome.ownStatus
        ? `Its label is wrong: kubectl label ${recordOf(outcome.lock)} status=${outcome.ownStatus} --overwrite`
        : 'strategy=delete removes the record as it is';
      const detail = `revision ${revision.number} of release ${target.namespace}/${target.name} cannot be marked failed: ${outcome.words}. Nothing was changed. ${way}`;
      return new Problem(422, detail, { lock: show(outcome.lock) });
    }
  }
}

function lockedBy({ revision, holder }: Lock): string {
  const { release, number, status } = revision;
  return `release ${release.namespace}/${release.name} is locked by revision ${number} (${status}, ${who(holder)})`;
}

/** For `curl --retry`: an API server that restarts is back in seconds. */
const RETRY = { 'retry-after': '2' };

export function cannotAsk(what: string): Problem {
  return new Problem(
    503,
    `the API server cannot be asked now ${what}; the log of lockkeeper says why`,
    {},
    RETRY,
  );
}

/** The API server refused for good: another attempt would fail as well. */
function isRefusal(error: unknown): boolean {
  const { status } = error as { status?: unknown };
  return typeof status === 'number' && status >= 400 && status < 500 && status !== 429;
}

/** What the cluster answers; when it cannot be asked, or refuses, that is said as a problem. */
export async function answered<T>(question: Promise<T>): Promise<T> {
  try {
    return await question;
  } catch (error) {
    if (error instanceof Problem) throw error;
    const { message } = error as Error;
    if (isRefusal(error)) throw new Problem(502, `the API server refused lockkeeper: ${message}`);
    throw new Problem(503, `the API server cannot be asked now: ${message}`, {}, RETRY);
  }
}
