/** Waits until a release is free: for `wait`, and for `run` before it starts Helm. */
import { systemClock } from '../clock.ts';
import type { Lock } from '../gate/lock.ts';
import { judge, silenceOnly } from '../gate/verdict.ts';
import { PENDING_SELECTOR } from '../helm/release.ts';
import { pathOf } from '../kubernetes/client.ts';
import { createWaits } from '../locks/wait.ts';
import { followChanges } from './changes.ts';
import { createClearStale } from './clear-stale.ts';
import type { Cluster } from './cluster.ts';
import { outlookOf } from './outlook.ts';
import { releaseLocksPath } from './release-locks.ts';
import type { Sighting } from './sightings.ts';
import { type Answer, look } from './view.ts';
import { judged, whatNow } from './words.ts';

export interface Turn {
  readonly namespace: string;
  readonly name: string;
  readonly seconds: number;
  readonly staleAfterSeconds: number;
  /** Whether to clear a stale lock, or to wait for it, too. */
  readonly clearStale: boolean;
  /** Such as `lockkeeper wait`. */
  readonly command: string;
  readonly note: (line: string) => void;
  /** Ends the wait: it rejects with the signal's reason. */
  readonly signal: AbortSignal;
}

/** Undefined as soon as the release is free; the lock that is there when the time is up. */
export async function waitForTurn(cluster: Cluster, turn: Turn): Promise<Sighting | undefined> {
  const { namespace, name, seconds, note, signal } = turn;
  const { date } = cluster.connection;
  const verdictOn = (lock: Lock) => judge(lock, silenceOnly(turn.staleAfterSeconds), date());
  const ask = (within: AbortSignal) => look(cluster, { namespace, name }, verdictOn, within);
  const clearStale = turn.clearStale ? createClearStale({ cluster, clock: systemClock, ...turn }) : undefined;

  async function lookAndClear(answer: Answer, within: AbortSignal): Promise<Sighting | undefined> {
    const isWorthALook = await clearStale?.(answer);
    const { sightings } = isWorthALook ? await ask(within) : answer;
    return sightings[0];
  }

  const first = await ask(signal);
  for (const gap of first.gaps) note(gap);
  let seen = await lookAndClear(first, signal);
  if (seen === undefined || seconds === 0) return seen;

  let told = '';
  function tell(sighting: Sighting): void {
    const what = `${sighting.lock.revision.uid} ${sighting.judgement.verdict}`;
    if (what !== told) note(waitingFor(sighting, turn, date()));
    told = what;
  }
  tell(seen);
  const changes = followChanges({
    requests: cluster.requests,
    paths: watchedPaths(first, namespace, name),
    onRefused: ({ message }) => note(`looking every 15 seconds, because the watch was refused: ${message}`),
    after: systemClock.after,
  });
  const waits = createWaits({
    drivers: ['secrets'], // one change is as good as two: each look reads both
    finder: {
      async find(_target, within) {
        seen = await lookAndClear(await ask(within), within);
        if (seen === undefined) return undefined;
        tell(seen);
        return { lock: seen.lock, revisions: [] };
      },
    },
    watched: { nextChange: changes.next },
    clock: systemClock,
  });
  try {
    const outcome = await waits.wait({ namespace, name }, seconds, signal);
    return outcome.kind === 'free' ? undefined : seen;
  } finally {
    changes.stop();
  }
}

/** A stale lock that is to be cleared has words of its own: who waits need not do it by hand. */
function waitingFor(sighting: Sighting, { clearStale }: Turn, now: number): string {
  const words = `waiting: ${judged(sighting, now)}`;
  return clearStale && outlookOf(sighting.judgement) === 'stale' ? words : `${words}. ${whatNow(sighting)}`;
}

function watchedPaths({ drivers, lockkeeper }: Answer, namespace: string, name: string): string[] {
  const labelSelector = new URLSearchParams({ labelSelector: `${PENDING_SELECTOR},name=${name}` });
  return [
    ...drivers.map((driver) => `${pathOf(driver, namespace)}?${labelSelector}`),
    ...(lockkeeper === 'there' ? [releaseLocksPath(namespace, name)] : []),
  ];
}
