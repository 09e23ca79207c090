/** After Helm has ended: a revision that it left pending is cleared if it is provably its own, and told of if not. */
import type { ClearOutcome } from '../../gate/clearing.ts';
import { isPending, type Release, type Revision, releaseKey } from '../../helm/release.ts';
import type { Cluster } from '../cluster.ts';
import { clearRecord } from '../record-clearing.ts';
import type { Ending } from './child.ts';
import type { Made } from './passing.ts';

export interface Aftermath {
  readonly cluster: Cluster;
  /** Of the command line. */
  readonly releases: readonly Release[];
  /** What this Helm made; undefined if it talked to the cluster by itself. */
  readonly made: readonly Made[] | undefined;
  readonly ending: Ending;
  readonly note: (line: string) => void;
}

/** Whoever cancelled a job does not wait for long. */
const TIDY_MS = 15_000;

/** Whatever comes of it, Helm's end is what counts: nothing is thrown. */
export async function tidyUp({ cluster, releases, made, ending, note }: Aftermath): Promise<void> {
  const signal = AbortSignal.timeout(TIDY_MS);
  const concerned = new Map(
    [...releases, ...(made ?? []).map(({ release }) => release)].map((r) => [releaseKey(r), r]),
  );
  for (const release of concerned.values()) {
    try {
      const [newest] = await cluster.reader.all(release, signal);
      if (newest === undefined || !isPending(newest.status)) continue;
      if (made?.some(({ uid }) => uid === newest.uid)) note(await clearOwn(cluster, newest, ending, signal));
      else if (made === undefined && wasKilled(ending)) note(notProven(newest));
    } catch (error) {
      note(
        `what Helm left of release ${named(release)} is not known: ${(error as Error).message}. ${byHand(release)}`,
      );
    }
  }
}

/** Its holder is dead: it was made by a Helm that has ended, over a way to the cluster that is closed. */
async function clearOwn(
  cluster: Cluster,
  lock: Revision,
  ending: Ending,
  signal: AbortSignal,
): Promise<string> {
  const request = {
    target: lock.release,
    strategy: 'mark-failed',
    uid: lock.uid,
    force: false,
    trigger: 'rest',
    by: await cluster.whoAmI(signal),
  } as const;
  const reason = `its Helm ${howItEnded(ending)}, as lockkeeper run saw`;
  const dead = () => ({ verdict: 'dead-holder', reason, staleInSeconds: 0 }) as const;
  return inWords(await clearRecord(cluster, request, dead, signal), lock, ending);
}

function inWords(outcome: ClearOutcome, lock: Revision, ending: Ending): string {
  const what = `revision ${lock.number} of release ${named(lock.release)}`;
  switch (outcome.kind) {
    case 'cleared':
      return `Helm ${howItEnded(ending)} and left ${what} ${lock.status}: it is marked as failed. Next: ${outcome.next[0]}`;
    case 'unreadable':
      return `${what} cannot be marked as failed: ${outcome.words}. ${byHand(lock.release)}`;
    default:
      return `${what} was ended by somebody else meanwhile`;
  }
}

function notProven(lock: Revision): string {
  const what = `revision ${lock.number} of release ${named(lock.release)} is ${lock.status}`;
  return `${what}. Nobody saw who made it, so it was left alone. If it was this Helm: ${byHand(lock.release)}`;
}

function byHand({ namespace, name }: Release): string {
  return `To end its lock: lockkeeper clear ${name} -n ${namespace} --force`;
}

function wasKilled({ signal }: Ending): boolean {
  return signal !== null;
}

function howItEnded({ code, signal }: Ending): string {
  return signal === null ? `ended with ${code}` : `was killed (${signal})`;
}

function named({ namespace, name }: Release): string {
  return `${namespace}/${name}`;
}
