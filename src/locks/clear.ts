/**
 * Ends a lock: looks, judges, and acts on exactly the version that was judged. Whatever happens to the record
 * in between makes the write fail, and nothing is lost: if Helm finished meanwhile, Helm wins; if it only wrote,
 * it is alive.
 */
import type { Logger } from 'pino';
import {
  type Clearer,
  type ClearOutcome,
  type ClearRequest,
  describeClearing,
  whatBecameOf,
} from '../gate/clearing.ts';
import { isStale } from '../gate/doors.ts';
import type { Judgement, Lock, Pod } from '../gate/lock.ts';
import { describeLock } from '../gate/log-fields.ts';
import type { Reader } from '../gate/ports.ts';
import { nextCommands } from '../helm/next.ts';
import { markFailed } from '../helm/record.ts';
import { type Revision, recordName } from '../helm/release.ts';
import type { EventRecorder } from '../kubernetes/events.ts';
import type { RecordStore } from '../kubernetes/records.ts';
import type { FoundLock, LockFinder } from './find.ts';
import type { OneAtATime } from './one-at-a-time.ts';

export interface ClearerOptions {
  readonly finder: Pick<LockFinder, 'find'>;
  readonly reader: Pick<Reader, 'all'>;
  readonly records: RecordStore;
  readonly events: EventRecorder;
  /** For edits: each may need a hundred times the memory of its record, so that they are made one by one. */
  readonly oneAtATime: OneAtATime;
  readonly judgeLock: (lock: Lock) => Judgement;
  /** Whether the holder's pod has ended still, read live. Left out where nobody proves that. */
  readonly confirmDeath?: (pod: Pod, signal: AbortSignal) => Promise<boolean>;
  /** Milliseconds since 1970, by the clock that stamps the records. */
  readonly now: () => number;
  readonly log: Logger;
  /** Told of each lock that was cleared. */
  readonly onCleared: (request: ClearRequest) => void;
}

/** An Event is worth so long a wait, whoever waits for the answer; somebody's webhook may hold it up. */
const EVENT_MS = 2_000;

/** A lock that was looked at, and what is to be done about it. */
interface Task extends FoundLock {
  readonly request: ClearRequest;
  readonly judgement: Judgement;
  readonly signal: AbortSignal;
}

export function createClearer(options: ClearerOptions): Clearer {
  const { finder, reader, records, events, oneAtATime, judgeLock, confirmDeath, now, log, onCleared } =
    options;

  async function clear(request: ClearRequest, signal: AbortSignal): Promise<ClearOutcome> {
    const found = await finder.find(request.target, signal);
    if (found === undefined) return { kind: 'free' };
    const { lock } = found;
    if (!isNamed(lock, request)) return { kind: 'other', lock };
    const judgement = await judgeAgain(lock, signal);
    if (!isStale(judgement) && !request.force) return { kind: 'live', lock, judgement };
    const task: Task = { ...found, request, judgement, signal };
    return request.strategy === 'delete' ? remove(task) : fail(task);
  }

  /** A death is read once more before anything rests on it. */
  async function judgeAgain(lock: Lock, signal: AbortSignal): Promise<Judgement> {
    const judgement = judgeLock(lock);
    const pod = lock.holder?.pod;
    if (judgement.verdict !== 'dead-holder' || pod === undefined || confirmDeath === undefined)
      return judgement;
    if (await confirmDeath(pod, signal)) return judgement;
    const { death: _, ...alive } = lock;
    return judgeLock(alive);
  }

  async function remove(task: Task): Promise<ClearOutcome> {
    const { lock, revisions, signal } = task;
    const { release, number, uid } = lock.revision;
    const { driver, namespace, name } = release;
    const removing = records.remove(driver, namespace, recordName(name, number), lock.revision, signal);
    const conflict = await removing.catch(async (error: unknown) => {
      if (isRefusal(error)) throw error;
      // No answer is no news: the record tells.
      const stored = await reader.all(release, signal);
      if (stored.some((revision) => revision.uid === uid)) throw error;
      return undefined;
    });
    return conflict ? changed(task, conflict) : succeed(task, revisions.slice(1));
  }

  async function fail(task: Task): Promise<ClearOutcome> {
    const { lock, request, judgement, revisions, signal } = task;
    const { release, number } = lock.revision;
    const { driver, namespace, name } = release;
    const description = describeClearing(request, lock, judgement, now());
    const edited = await oneAtATime(async () => {
      const record = await records.read(driver, namespace, recordName(name, number), signal);
      if (record === undefined || !isVersion(record.metadata, lock.revision)) return undefined;
      return { record, edit: await markFailed(driver, record.data?.release ?? '', description) };
    });
    if (edited === undefined) return changed(task);
    const { record, edit } = edited;
    if (edit.kind === 'refused') {
      return { kind: 'unreadable', lock, words: edit.reason, ownStatus: edit.status };
    }
    // The edit of a large record takes its time; a revision that was made meanwhile shadows this one.
    const [newest] = await reader.all(release, signal);
    if (newest?.uid !== lock.revision.uid) return changed(task);

    const { metadata } = record;
    const failed = {
      ...record,
      metadata: { ...metadata, labels: { ...metadata.labels, status: 'failed' } },
      data: { ...record.data, release: edit.payload },
    };
    const replacing = records.replace(driver, failed, signal);
    const conflict = await replacing.catch(async (error: unknown): Promise<Error | 'invalid' | undefined> => {
      if (isInvalid(error)) return 'invalid';
      if (isRefusal(error)) throw error;
      // No answer is no news: the record tells.
      const stored = await records.read(driver, namespace, metadata.name, signal);
      if (stored?.data?.release !== edit.payload) throw error;
      return undefined;
    });
    if (conflict === 'invalid') return { kind: 'unreadable', lock, words: INVALID };
    const remaining = revisions.with(0, { ...lock.revision, status: 'failed' });
    return conflict ? changed(task, conflict) : succeed(task, remaining);
  }

  async function succeed(task: Task, remaining: readonly Revision[]): Promise<ClearOutcome> {
    const { lock, judgement, request } = task;
    const { release, status, number } = lock.revision;
    const { strategy, trigger, by, force, reason } = request;
    const forced = force && !isStale(judgement);
    onCleared(request);
    log.info(
      {
        namespace: release.namespace,
        release: release.name,
        driver: release.driver,
        ...describeLock(lock),
        strategy,
        trigger,
        by,
        forced,
        verdict: judgement.verdict,
        because: judgement.reason,
        reason,
      },
      'cleared',
    );
    const message = `revision ${number} (${status}) of release ${release.name}: ${describeClearing(request, lock, judgement, now())}, by ${strategy}`;
    await report(task, { type: forced ? 'Warning' : 'Normal', reason: 'Cleared', message });
    return { kind: 'cleared', lock, judgement, next: nextCommands(release, remaining) };
  }

  /** The lock is cleared: whether that can be told as an Event changes nothing. */
  async function report({ lock }: Task, text: Parameters<EventRecorder['record']>[1]): Promise<void> {
    const { release, number, uid } = lock.revision;
    const { driver, namespace, name } = release;
    const kind = driver === 'secrets' ? 'Secret' : 'ConfigMap';
    try {
      await events.record(
        { kind, namespace, name: recordName(name, number), uid },
        text,
        AbortSignal.timeout(EVENT_MS),
      );
    } catch (error) {
      log.warn({ namespace, release: name, reason: String(error) }, 'no Event could be recorded');
    }
  }

  async function changed({ lock, signal }: Task, conflict?: Error): Promise<ClearOutcome> {
    const revisions = await reader.all(lock.revision.release, signal);
    const own = revisions.find(({ uid }) => uid === lock.revision.uid);
    // Nobody was first, then: something else between us and the storage refuses the write.
    if (conflict && own?.resourceVersion === lock.revision.resourceVersion) throw conflict;
    return { kind: 'changed', lock, words: whatBecameOf(lock, revisions[0], own !== undefined) };
  }

  return { clear };
}

function isNamed(
  { revision }: Lock,
  { revision: number = revision.number, uid = revision.uid }: ClearRequest,
) {
  return revision.number === number && revision.uid === uid;
}

/** The edit may have made the record a few bytes too long, or somebody made it immutable. */
function isInvalid(error: unknown): boolean {
  return (error as { status?: unknown }).status === 422;
}

const INVALID =
  'the API server does not take the edited record (it may be immutable, or too long by a few bytes)';

/** Whether the API server said no. Of anything else nobody knows whether it was done. */
function isRefusal(error: unknown): boolean {
  const { status } = error as { status?: unknown };
  return typeof status === 'number' && status < 500;
}

function isVersion(
  metadata: { readonly uid?: string; readonly resourceVersion?: string },
  { uid, resourceVersion }: Revision,
): boolean {
  return metadata.uid === uid && metadata.resourceVersion === resourceVersion;
}
