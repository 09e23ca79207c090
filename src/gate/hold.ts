/**
 * The one place that waits: decide, wait for the lock to change, decide again from a fresh read.
 *
 * A call is held for seconds, because it takes a seat of the caller's priority level in the API server
 * meanwhile; a deploy waits for minutes, because a 429 makes Helm come back by itself.
 */
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import type { Driver, Release, Revision } from '../helm/release.ts';
import type { Denial, Review, Verdict } from './admission-review.ts';
import { type ClusterFacts, type Decision, type Deploy, decide, screen } from './decision.ts';
import type { Client, Lock } from './lock.ts';
import { createPatience } from './patience.ts';
import { locked, waitedTooLong, who, wouldWait } from './words.ts';

/** Live reads of the cluster. They reject when it cannot be read. */
export interface Reader {
  /** The revision with this number, or undefined. */
  revision(release: Release, number: number, signal: AbortSignal): Promise<Revision | undefined>;
  /** The newest revision with a lower number, or undefined. */
  newestBelow(release: Release, number: number, signal: AbortSignal): Promise<Revision | undefined>;
}

/** What the gate asks of the watch's view: when to look again, never whether to admit. */
export interface Watched {
  /** Whether this revision may be stored already: it was seen, or a later one was. */
  mayExist(release: Release, revision: number): boolean;
  nextChange(release: Release): Change;
}

export interface Change {
  readonly happened: Promise<void>;
  hasHappened(): boolean;
  cancel(): void;
}

export interface KnownHolders {
  admitted(deploy: Deploy): void;
  of(uid: string): Client | undefined;
  onTheWayUntil(release: Release): number | undefined;
}

export interface Limits {
  /** The longest wait inside one call. */
  readonly holdSeconds: number;
  /** When a client that is sent away should come back. */
  readonly retryAfterSeconds: number;
  /** The longest wait of one client, over all its calls. */
  readonly maxWaitSeconds: number;
  /** Calls held at once. */
  readonly maxHeld: number;
}

export interface Call {
  /** Aborted when the caller has hung up. */
  readonly signal: AbortSignal;
  /** How long the caller waits for an answer, in milliseconds; undefined if it did not say. */
  readonly timeoutMs: number | undefined;
}

export interface Gate {
  /**
   * The answer to one review, after a wait if need be.
   * @throws if the cluster cannot be read, or the caller hung up
   */
  review(review: Review, call: Call): Promise<Verdict>;
  /** How many calls are held. */
  held(): number;
  /** Sends every held call away now, and holds none from now on; what need not wait is still admitted. */
  close(): void;
}

export interface GateOptions {
  readonly drivers: readonly Driver[];
  readonly reader: Reader;
  readonly watched: Watched;
  readonly holders: KnownHolders;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told of each held call when it leaves. */
  readonly onLeave: (heldSeconds: number) => void;
}

/** Answer this long before the caller gives up, so that the answer can be decided, sent and read (trap 18). */
const ANSWER_EARLY_MS = 2_000;

/** Sent with the 429 of a replica that goes away: another one takes over at once. */
const RETRY_ELSEWHERE_SECONDS = 1;

/** How long a deploy that may go on waits for another one, admitted before it, to appear in storage. */
const ARRIVAL_MS = 1_000;

/** A client that is this late to come back will not come back. */
const LATE_MS = 60_000;

type Awakening = 'changed' | 'timeout' | 'closed';

export function createGate(options: GateOptions): Gate {
  const { drivers, reader, watched, holders, limits, clock, log, onLeave } = options;
  const seconds = limits.holdSeconds + limits.retryAfterSeconds;
  const patience = createPatience(seconds * 1000 + LATE_MS, clock.now);
  const sleepers = new Set<(awakening: Awakening) => void>();
  let held = 0;
  let closed = false;

  function admit(deploy: Deploy, call: Call): Promise<Verdict> {
    const visit = newVisit(deploy, call);
    return rounds(visit)
      .catch((error: unknown) => {
        if (call.signal.aborted) log.info({ ...describe(deploy), ...elapsed(visit) }, 'the caller hung up');
        else log.error({ ...describe(deploy), reason: String(error) }, 'the cluster could not be read');
        throw error;
      })
      .finally(() => {
        if (visit.heldSince === undefined) return;
        held -= 1;
        onLeave((clock.now() - visit.heldSince) / 1000);
      });
  }

  async function rounds(visit: Visit): Promise<Verdict> {
    for (;;) {
      const change = watched.nextChange(visit.deploy.release); // before the read, so that nothing is missed
      const verdict = await round(visit, change).finally(change.cancel);
      if (verdict !== undefined) return verdict;
    }
  }

  function newVisit(deploy: Deploy, call: Call): Visit {
    const start = clock.now();
    const callMs = (call.timeoutMs ?? Number.POSITIVE_INFINITY) - ANSWER_EARLY_MS;
    const holdMs = Math.max(0, Math.min(limits.holdSeconds * 1000, callMs));
    return {
      deploy,
      call,
      start,
      holdUntil: start + holdMs,
      giveUpAt: undefined,
      lock: undefined,
      heldSince: undefined,
    };
  }

  /** Decides once, and waits once if that is the decision; undefined means: look again. */
  async function round(visit: Visit, change: Change): Promise<Verdict | undefined> {
    const { deploy, call } = visit;
    const decision = await look(visit);
    switch (decision.kind) {
      case 'deny':
        return refuse(visit, decision.denial);
      case 'allow': {
        if (change.hasHappened()) return undefined; // what was read may be older than that
        const arrival = deploy.dryRun ? undefined : holders.onTheWayUntil(deploy.release);
        const until = Math.min(arrival ?? 0, visit.start + ARRIVAL_MS);
        if (until <= clock.now()) return allow(visit);
        await sleep(change.happened, until, call.signal);
        return undefined;
      }
      case 'hold': {
        visit.lock = decision.lock;
        return hold(visit, decision.lock, change.happened);
      }
    }
  }

  /** A read that fails while a lock is known is no reason to give up the wait, nor to let the deploy pass. */
  async function look(visit: Visit): Promise<Decision> {
    const { deploy, call, lock } = visit;
    try {
      return decide(deploy, await read(visit), clock.now());
    } catch (error) {
      if (lock === undefined || call.signal.aborted) throw error;
      log.warn(
        { ...describe(deploy), reason: String(error) },
        'the lock could not be read again, still waiting',
      );
      return { kind: 'hold', lock };
    }
  }

  async function read({ deploy: { release, revision }, call: { signal } }: Visit): Promise<ClusterFacts> {
    const [same, below] = await Promise.all([
      watched.mayExist(release, revision) ? reader.revision(release, revision, signal) : undefined,
      revision > 1 ? reader.newestBelow(release, revision, signal) : undefined,
    ]);
    return { same: toLock(same), below: toLock(below) };
  }

  function toLock(revision: Revision | undefined): Lock | undefined {
    return revision && { revision, holder: holders.of(revision.uid) };
  }

  async function hold(visit: Visit, lock: Lock, change: Promise<void>): Promise<Verdict | undefined> {
    const { deploy, call, holdUntil } = visit;
    if (deploy.dryRun) return refuse(visit, { code: 409, message: wouldWait(lock, clock.now()) });

    visit.giveUpAt ??= patience.wait(deploy, visit.start) + limits.maxWaitSeconds * 1000;
    const { giveUpAt } = visit;
    const until = Math.min(holdUntil, giveUpAt);
    const noSeat = visit.heldSince === undefined && held >= limits.maxHeld;
    if (closed || noSeat || until <= clock.now()) return sendAway(visit, lock, clock.now() >= giveUpAt);
    if (visit.heldSince === undefined) {
      visit.heldSince = clock.now();
      held += 1;
      log.info({ ...describe(deploy), ...describeLock(lock), held }, 'held');
    }
    const awakening = await sleep(change, until, call.signal);
    // Whoever comes back will look again; whoever is told to give up deserves a last look now.
    const lookAgain = awakening === 'changed' || (awakening === 'timeout' && until === giveUpAt);
    return lookAgain ? undefined : sendAway(visit, lock, false);
  }

  function sendAway(visit: Visit, lock: Lock, forGood: boolean): Verdict {
    const now = clock.now();
    if (forGood) {
      patience.end(visit.deploy);
      return refuse(visit, { code: 409, message: waitedTooLong(lock, limits.maxWaitSeconds, now) });
    }
    const retryAfterSeconds = closed ? RETRY_ELSEWHERE_SECONDS : limits.retryAfterSeconds;
    return refuse(visit, { code: 429, message: locked(lock, now), retryAfterSeconds });
  }

  function refuse(visit: Visit, denial: Denial): Verdict {
    const { message, ...status } = denial;
    log.info({ ...describe(visit.deploy), ...elapsed(visit), ...status, reason: message }, 'refused');
    return { allowed: false, denial };
  }

  function allow(visit: Visit): Verdict {
    const { deploy } = visit;
    if (!deploy.dryRun) holders.admitted(deploy);
    const waitedSince = patience.end(deploy);
    if (waitedSince === undefined) {
      log.debug({ ...describe(deploy), ...elapsed(visit) }, 'admitted');
    } else {
      const waitedMs = Math.round(clock.now() - waitedSince);
      log.info({ ...describe(deploy), ...elapsed(visit), waitedMs }, 'admitted after a wait');
    }
    return { allowed: true, warnings: [] };
  }

  function elapsed({ start }: Visit): { elapsedMs: number } {
    return { elapsedMs: Math.round(clock.now() - start) };
  }

  function sleep(change: Promise<void>, until: number, signal: AbortSignal): Promise<Awakening> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<Awakening>();
    const onAbort = () => reject(signal.reason);
    const cancelTimer = clock.after(until - clock.now(), () => resolve('timeout'));
    signal.addEventListener('abort', onAbort);
    sleepers.add(resolve);
    void change.then(() => resolve('changed'));
    return promise.finally(() => {
      cancelTimer();
      signal.removeEventListener('abort', onAbort);
      sleepers.delete(resolve);
    });
  }

  return {
    async review(review, call) {
      const screening = screen(review, drivers);
      switch (screening.kind) {
        case 'allow':
          return { allowed: true, warnings: screening.warnings };
        case 'deny':
          log.info({ record: review.name, namespace: review.namespace, ...screening.denial }, 'refused');
          return { allowed: false, denial: screening.denial };
        case 'deploy':
          return admit(screening.deploy, call);
      }
    },
    held: () => held,
    close() {
      closed = true;
      for (const wake of sleepers) wake('closed');
    },
  };
}

/** One call in the gate. */
interface Visit {
  readonly deploy: Deploy;
  readonly call: Call;
  readonly start: number;
  readonly holdUntil: number;
  /** When the client has waited long enough, over all its calls; known once it had to wait. */
  giveUpAt: number | undefined;
  /** The lock that it was last seen waiting for. */
  lock: Lock | undefined;
  /** Since when it counts among the held calls. */
  heldSince: number | undefined;
}

/** The fields of a log line about a deploy: names and numbers only, never the payload. */
function describe({ release, revision, status, client, dryRun }: Deploy): object {
  return {
    namespace: release.namespace,
    release: release.name,
    driver: release.driver,
    revision,
    status,
    client: who(client),
    ...(dryRun && { dryRun }),
  };
}

function describeLock({ revision, holder }: Lock): object {
  return { lock: { revision: revision.number, status: revision.status, holder: who(holder) } };
}
