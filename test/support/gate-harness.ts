/** A gate on real parts, calls into it whose state can be seen, and a clock that is turned by hand. */
import type { Test } from 'tap';
import { parseAdmissionReview, type Review, type Verdict } from '../../src/gate/admission-review.ts';
import type { ClearOutcome, ClearRequest } from '../../src/gate/clearing.ts';
import type { Policy } from '../../src/gate/decision.ts';
import { createGate, type Gate, type Limits } from '../../src/gate/hold.ts';
import type { Death, PodKind } from '../../src/gate/lock.ts';
import type { Reader } from '../../src/gate/ports.ts';
import type { Chapter } from '../../src/gate/story.ts';
import { judge } from '../../src/gate/verdict.ts';
import { createWaiters } from '../../src/gate/waiters.ts';
import { DRIVERS, neighboursOf, type Revision } from '../../src/helm/release.ts';
import { createHolders } from '../../src/locks/holders.ts';
import { createRegistry } from '../../src/locks/registry.ts';
import { type DeployOptions, deployReview } from '../fixtures/reviews.ts';
import { fakeClock } from './fake-clock.ts';
import { limits } from './limits.ts';
import { testLog } from './log.ts';
import { type RevisionOptions, revision } from './revisions.ts';

const LIMITS: Limits = { holdSeconds: 10, retryAfterSeconds: 20, maxWaitSeconds: 300, maxHeld: 20 };

const POLICY: Policy = { autoClear: 'dead-holder', ...limits() };

/** A gate on real parts; only the cluster behind it is a map, and can be told to fail. */
export function harness(waits: Partial<Limits> = {}, policy: Partial<Policy> = {}) {
  const clock = fakeClock();
  const logs = testLog();
  const records = new Map<number, Revision>();
  const stays: number[] = [];
  const story: Chapter[] = [];
  const cluster = {
    failure: undefined as Error | undefined,
    hangs: false,
    until: Promise.resolve(),
    /** Looks at the history. */
    reads: 0,
  };
  /** Marks the revision as failed, unless it is told to answer otherwise. */
  const clears = {
    requests: [] as ClearRequest[],
    answer: async ({ revision: number = 0 }: ClearRequest, _signal: AbortSignal): Promise<ClearOutcome> => {
      const cleared = records.get(number) as Revision;
      const lock = { revision: cleared, holder: undefined };
      store(number, 'failed');
      return { kind: 'cleared', lock, judgement: judge(lock, limits(), clock.now()), next: [] };
    },
  };
  /** Of pods, by uid; any other pod cannot be read. */
  const podKinds = new Map<string, PodKind>();
  /** Of pods that have ended, by uid. */
  const deaths = new Map<string, Death>();
  const registry = createRegistry({ onAppeared: (record) => holders.appeared(record), onChange: () => {} });
  const holders = createHolders({
    recordOf: () => undefined,
    describePod: async ({ uid }) => {
      const podKind = podKinds.get(uid);
      return podKind === undefined ? {} : { podKind };
    },
    onDescribed: () => {},
    silentSince: ({ lastWriteAt }) => lastWriteAt || clock.now(),
    deathOf: (pod) => deaths.get(pod.uid),
    now: clock.now,
  });
  const newestFirst = () => [...records.values()].sort((a, b) => b.number - a.number);
  const read =
    <T>(find: () => T) =>
    async (signal: AbortSignal) => {
      cluster.reads += 1;
      if (cluster.failure) throw cluster.failure;
      await cluster.until;
      signal.throwIfAborted();
      if (cluster.hangs)
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      return find();
    };
  const reader: Pick<Reader, 'all' | 'neighbours'> = {
    all: (_release, signal) => read(newestFirst)(signal),
    /** As the real one: of what is above, it sees something only if the revision just below is gone. */
    neighbours: (_release, number, signal) =>
      read(() => {
        const [rival, below] = [records.get(number), records.get(number - 1)];
        return number === 1 || below ? { rival, below } : neighboursOf(newestFirst(), number);
      })(signal),
  };
  const gate = createGate({
    drivers: DRIVERS,
    reader,
    watched: registry,
    holders,
    clearer: {
      clear: async (request, signal) => {
        clears.requests.push(request);
        if (clears.requests.length > 10) throw new Error('the gate clears in circles');
        return clears.answer(request, signal);
      },
    },
    restores: {
      review: async () => {
        throw new Error('nothing is restored here');
      },
    },
    waiters: createWaiters(clock.now),
    limits: { ...LIMITS, ...waits },
    policy: { ...POLICY, ...policy },
    autoClearIn: async () => policy.autoClear ?? POLICY.autoClear,
    judge: (lock) => judge(lock, { ...POLICY, ...policy }, clock.now()),
    clock,
    date: clock.date,
    log: logs.log,
    onLeave: (seconds) => stays.push(seconds),
    onStory: (chapter) => story.push(chapter),
  });

  function store(number: number, status: string, options: RevisionOptions = {}) {
    const stored = revision(number, status, { createdAt: clock.now(), ...options });
    records.set(number, stored);
    if (status.startsWith('pending-')) registry.put(stored);
    else registry.remove(stored);
  }

  return {
    gate,
    clock,
    registry,
    podKinds,
    deaths,
    cluster,
    clears,
    logs,
    /** How long each held call stayed, in seconds. */
    stays,
    /** What was told of the locks. */
    story,
    /** Writes a revision, and lets the watch say so. */
    store,
    /** Deletes a record that is not pending. */
    forget: (number: number) => records.delete(number),
    /** Writes it, and the watch says nothing. */
    storeUnseen(number: number, status: string, options: RevisionOptions = {}) {
      records.set(number, revision(number, status, { createdAt: clock.now(), ...options }));
    },
  };
}

interface Asked {
  readonly verdict: Promise<Verdict>;
  readonly state: () => string;
  /** How often the caller was told that it is held; each time, it forgets the payload, as the HTTP side does. */
  readonly timesHeld: () => number;
  readonly hangUp: () => void;
  readonly signal: AbortSignal;
}

/** Sends a review; `state()` tells how it stands, without waiting. */
export function ask(gate: Gate, options: DeployOptions = {}, timeoutMs: number | 'unsaid' = 15_000): Asked {
  const parsed = parseAdmissionReview(deployReview(options));
  const controller = new AbortController();
  let state = 'waiting';
  let timesHeld = 0;
  const { review } = parsed as { review: Review };
  const verdict = gate.review(review, {
    signal: controller.signal,
    timeoutMs: timeoutMs === 'unsaid' ? undefined : timeoutMs,
    onHeld: () => {
      timesHeld += 1;
      review.forgetPayload();
    },
  });
  verdict.then(
    (answer) => {
      state = answer.allowed ? 'allowed' : String(answer.denial.code);
    },
    () => {
      state = 'failed';
    },
  );
  return {
    verdict,
    state: () => state,
    timesHeld: () => timesHeld,
    hangUp: () => controller.abort(new Error('hung up')),
    signal: controller.signal,
  };
}

/** Lets every promise that can go on do so. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export async function equalState(t: Test, asked: Asked, expected: string, name: string): Promise<void> {
  await settle();
  t.equal(asked.state(), expected, name);
}
