/** Waits until a release is free: for `wait`, and for `run` before it starts Helm. */
import { systemClock } from '../clock.ts';
import type { Lock } from '../gate/lock.ts';
import { judge, silenceOnly } from '../gate/verdict.ts';
import { PENDING_SELECTOR } from '../helm/release.ts';
import { pathOf } from '../kubernetes/client.ts';
import { createWaits } from '../locks/wait.ts';
import { followChanges } from './changes.ts';
import type { Cluster } from './cluster.ts';
import { releaseLocksPath } from './release-locks.ts';
import type { Sighting } from './sightings.ts';
import { type Answer, look } from './view.ts';
import { lockedAndWhatNow } from './words.ts';

export interface Turn {
  readonly namespace: string;
  readonly name: string;
  readonly seconds: number;
  readonly staleAfterSeconds: number;
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

  const first = await ask(signal);
  for (const gap of first.gaps) note(gap);
  let [seen] = first.sightings;
  if (seen === undefined || seconds === 0) return seen;

  note(`${lockedAndWhatNow(seen, date())}. Waiting for it`);
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
        [seen] = (await ask(within)).sightings;
        return seen && { lock: seen.lock, revisions: [] };
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

function watchedPaths({ drivers, isServed }: Answer, namespace: string, name: string): string[] {
  const labelSelector = new URLSearchParams({ labelSelector: `${PENDING_SELECTOR},name=${name}` });
  return [
    ...drivers.map((driver) => `${pathOf(driver, namespace)}?${labelSelector}`),
    ...(isServed ? [releaseLocksPath(namespace, name)] : []),
  ];
}
