/**
 * Keeps ReleaseLocks in line with the locks: an entry for each lock, and none for anything else, whoever crashed when.
 * Nothing that Lockkeeper decides rests on them, but for the name of a holder.
 *
 * The replica that let a deploy in writes its entry; the others do what is left to do after a while.
 */
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import type { Judgement, Lock } from '../gate/lock.ts';
import type { StaleLimits } from '../gate/verdict.ts';
import { isPending, type Release, type Revision } from '../helm/release.ts';
import type { ReleaseLock, ReleaseLockStore } from '../kubernetes/release-locks.ts';
import { startReconciler } from '../reconciler.ts';
import type { CurrentLocks } from './current.ts';
import { canBeEntered, inOrder, type LockFacts, recordIn, type Task, taskFor, tellsOf } from './entry.ts';
import type { Holders } from './holders.ts';
import { createKubectlDeletions } from './kubectl-deletions.ts';
import { entryKey, type RecordedLocks } from './recorded.ts';

export interface Ledger {
  /** Locks have changed, or this entry. */
  wake(key?: string): void;
  stop(): Promise<void>;
}

export interface LedgerOptions {
  /** Unlike that of every other replica. */
  readonly replica: string;
  readonly current: Pick<CurrentLocks, 'locks' | 'isComplete'>;
  readonly recorded: Pick<RecordedLocks, 'entries' | 'isComplete'>;
  readonly store: Omit<ReleaseLockStore, 'list' | 'watch'>;
  readonly holders: Pick<Holders, 'claimOf' | 'isBeingRead'>;
  /** The newest revision of each of these releases, read live. */
  readonly readNewest: (releases: readonly Release[], signal: AbortSignal) => Promise<readonly Revision[]>;
  readonly judge: (lock: Lock) => Judgement;
  /** How many wait for a lock at this replica. */
  readonly waiting: (lock: Lock) => number;
  readonly limits: StaleLimits;
  /** How long it rests after each look, which is at all locks: {@link startReconciler}. */
  readonly restMs?: () => number;
  readonly clock: Clock;
  /** Milliseconds since 1970, by the clock that stamps the records. */
  readonly date: () => number;
  readonly random: () => number;
  readonly log: Logger;
}

/** How long whoever let a deploy in is given for it, before others do it: for the watches of all, and a busy moment. */
const GRACE_MS: Readonly<Record<Task['kind'], number>> = {
  create: 3_000,
  remove: 3_000,
  'name-holder': 0,
  'write-status': 1_000,
};

/** Nobody tells when somebody begins to wait, or when a lock expires. */
const LOOK_MS = 1_000;

/** The status of one lock is written no more often. */
const STATUS_MS = 1_000;

/** After a write, the watch has its say first. */
const SETTLE_MS = 1_000;

/** An entry of a lock that the watch has not told of: it is late, and may stay so for a while. */
const LATE_MS = 10_000;

/** What failed for one is tried again after this; of what fails for all, the reconciler takes care. */
const FAILED_MS = 30_000;

/** Writes at once: people's requests go over the same two connections. */
const WRITES_AT_ONCE = 2;

/** Writes until it looks again for what is more urgent. */
const WRITES_A_ROUND = 100;

/** A task, and when it is due. */
interface Due {
  readonly key: string;
  readonly task: Task;
  /** Whether it is for this replica to do. */
  readonly isOwn: boolean;
  /** By the clock of waits. */
  readonly at: number;
}

export function keepLedger(options: LedgerOptions): Ledger {
  const { replica, current, recorded, store, holders, readNewest, judge, waiting } = options;
  const { limits, clock, date, random, log } = options;
  /** Until when an entry is left alone. */
  const quiet = new Map<string, number>();
  /** When the status of an entry was last written here. */
  const written = new Map<string, number>();
  /** Since when each task is to be done. */
  let since = new Map<string, number>();
  /** The records whose entries were there already; whoever deletes one by hand has a moment in which it is gone. */
  let entered = new Set<string>();
  const deletions = createKubectlDeletions(recorded.entries);
  let problem: string | undefined;

  async function reconcile(signal: AbortSignal): Promise<number> {
    // Whoever knows nothing must not take anything away.
    if (!recorded.isComplete() || !current.isComplete()) return Number.POSITIVE_INFINITY;
    const now = clock.now();
    forget(quiet, now);
    forget(written, now - STATUS_MS);
    const tasks = plan(now);
    const ready = tasks.filter(({ at }) => at <= now).toSorted((a, b) => Number(b.isOwn) - Number(a.isOwn));
    await performAll(ready.slice(0, WRITES_A_ROUND), signal);
    if (tasks.length === 0) problem = undefined;
    if (ready.length > WRITES_A_ROUND) return 0;
    const isIdle = tasks.length === 0 && recorded.entries.size === 0;
    const next = Math.min(...tasks.filter(({ at }) => at > now).map(({ at }) => at - now));
    return isIdle ? Number.POSITIVE_INFINITY : Math.min(LOOK_MS, next);
  }

  function plan(now: number): Due[] {
    const facts = allFacts();
    deletions.note(facts.values());
    const writer = { replica, limits, now: date() };
    const before = since;
    since = new Map();
    const tasks: Due[] = [];
    for (const key of new Set([...facts.keys(), ...recorded.entries.keys()])) {
      const known = facts.get(key);
      const entry = recorded.entries.get(key);
      const task = taskFor(known, entry, writer);
      if (task === undefined) continue;
      const id = `${key} ${task.kind} ${known?.lock.revision.uid} ${entry?.metadata.uid}`;
      since.set(id, before.get(id) ?? now);
      const ours = isOwn(task);
      const from = (since.get(id) as number) + (ours ? ownGrace(task, known) : GRACE_MS[task.kind]);
      tasks.push({ key, task, isOwn: ours, at: Math.max(from, earliest(key, task)) });
    }
    return tasks;
  }

  /** What tells of a lock that has given way to another one misleads whoever deletes it. */
  function ownGrace({ kind, entry }: Task, known: LockFacts | undefined): number {
    return kind === 'remove' && known === undefined ? deletions.graceFor(entry) : 0;
  }

  function earliest(key: string, { kind }: Task): number {
    const lastWritten = kind === 'write-status' ? written.get(key) : undefined;
    return Math.max(quiet.get(key) ?? 0, lastWritten === undefined ? 0 : lastWritten + STATUS_MS);
  }

  /** What is known of each lock that should have an entry. */
  function allFacts(): Map<string, LockFacts> {
    const facts = new Map<string, LockFacts>();
    const seen = new Set<string>();
    for (const lock of current.locks().filter(canBeEntered).toSorted(inOrder)) {
      const { release, uid } = lock.revision;
      const key = entryKey(release);
      if (facts.has(key)) continue;
      facts.set(key, {
        lock,
        judgement: judge(lock),
        claim: holders.claimOf(lock.revision),
        isClaimRead: !holders.isBeingRead(lock.revision),
        waiting: waiting(lock),
      });
      const { spec } = recorded.entries.get(key) ?? {};
      if (entered.has(uid) || (spec && tellsOf(spec, lock))) seen.add(uid);
    }
    entered = seen;
    return facts;
  }

  function isOwn({ kind, entry }: Task): boolean {
    const record = recordIn(entry);
    if (record === undefined || holders.claimOf(record) === undefined) return false;
    return kind !== 'create' || !entered.has(record.uid);
  }

  /** Does all, whatever fails. @throws the first error */
  async function performAll(tasks: readonly Due[], signal: AbortSignal): Promise<void> {
    const left = [...tasks];
    const errors: unknown[] = [];
    async function work(): Promise<void> {
      for (let due = left.shift(); due && !signal.aborted; due = left.shift()) {
        await perform(due, signal).catch((error: unknown) => errors.push(error));
      }
    }
    await Promise.all(Array.from({ length: WRITES_AT_ONCE }, work));
    if (errors.length > 0) throw errors[0];
  }

  async function perform(due: Due, signal: AbortSignal): Promise<void> {
    const { key, task } = due;
    quiet.set(key, clock.now() + SETTLE_MS);
    try {
      if (task.kind === 'write-status' || task.kind === 'create') written.set(key, clock.now());
      await write(due, signal);
    } catch (error) {
      quiet.set(key, clock.now() + FAILED_MS * (0.5 + random() / 2));
      throw error;
    }
  }

  /** If somebody else was first, the watch tells what is to be done now. */
  async function write({ key, task, isOwn }: Due, signal: AbortSignal): Promise<void> {
    switch (task.kind) {
      case 'create': {
        const created = await store.create(task.entry, signal);
        if (created) await store.replaceStatus({ ...created, status: task.status }, signal);
        return;
      }
      case 'name-holder':
        await store.replaceSpec(task.entry, signal);
        return;
      case 'write-status':
        await store.replaceStatus(task.entry, signal);
        return;
      case 'remove':
        if (isOwn || !(await isLock(task.entry, signal))) await store.remove(task.entry, signal);
        else quiet.set(key, clock.now() + LATE_MS);
        return;
    }
  }

  /** Whether it tells of a lock that the watch of this replica has not told of yet. */
  async function isLock(entry: ReleaseLock, signal: AbortSignal): Promise<boolean> {
    const record = recordIn(entry);
    const [newest] = record === undefined ? [] : await readNewest([record.release], signal);
    return newest !== undefined && newest.uid === record?.uid && isPending(newest.status);
  }

  const reconciler = startReconciler({
    reconcile,
    onError(error) {
      const { name, status = name } = error as Error & { status?: number };
      if (String(status) !== problem)
        log.warn({ reason: String(error) }, 'ReleaseLocks cannot be kept current');
      problem = String(status);
    },
    ...(options.restMs && { restMs: options.restMs }),
    clock,
    random,
  });
  return {
    wake(key) {
      if (key !== undefined) quiet.delete(key);
      reconciler.wake();
    },
    stop: reconciler.stop,
  };
}

/** Drops what was before a time. */
function forget(times: Map<string, number>, before: number): void {
  for (const [key, at] of times) if (at <= before) times.delete(key);
}
