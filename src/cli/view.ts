/** Reads both sides of the locks: Helm's records, by their metadata, and ReleaseLocks. */
import type { Judgement, Lock } from '../gate/lock.ts';
import { DRIVERS, type Driver, PENDING_SELECTOR, type Revision, readRevision } from '../helm/release.ts';
import { createPayloadStatusReader } from '../kubernetes/payload-status.ts';
import { createRecordStore, type RecordStore } from '../kubernetes/records.ts';
import { createLockFinder, type LockFinder } from '../locks/find.ts';
import type { Cluster } from './cluster.ts';
import { EXIT, Failure } from './exit.ts';
import { readReleaseLocks, releaseLocksPath } from './release-locks.ts';
import { combine, type Sighting } from './sightings.ts';

/** About one release, or about all of a namespace, or of all namespaces. */
export type Question =
  | { readonly namespace: string; readonly name: string }
  | { readonly namespace: string | undefined; readonly name?: undefined };

export interface Answer {
  readonly sightings: readonly Sighting[];
  /** What could not be read, and what that costs, a line each. */
  readonly gaps: readonly string[];
  /** Where records could be read. */
  readonly drivers: readonly Driver[];
  readonly lockkeeper: Presence;
}

/** Of Lockkeeper in the cluster, as its ReleaseLocks show: `hidden` is there, for people with more rights. */
export type Presence = 'there' | 'absent' | 'hidden';

type Read<T> = { readonly found: T } | { readonly refusal: Error };

/** @throws Failure when neither side may be read, Error when the cluster cannot be asked */
export async function look(
  cluster: Pick<Cluster, 'client' | 'reader' | 'requests'>,
  question: Question,
  judge: (lock: Lock) => Judgement,
  signal: AbortSignal,
): Promise<Answer> {
  const { namespace, name } = question;
  const [releaseLocks, ...records] = await Promise.all([
    unlessRefused(readReleaseLocks(cluster.requests, releaseLocksPath(namespace, name), signal)),
    ...DRIVERS.map((driver) => unlessRefused(readLocks(cluster, driver, question, signal))),
  ]);
  const drivers = DRIVERS.filter((_, index) => 'found' in (records[index] as object));
  const served = 'found' in releaseLocks ? releaseLocks.found : undefined;
  if (served === undefined && drivers.length === 0) throw blind([releaseLocks, ...records], question);
  const locks = records.flatMap((read) => ('found' in read ? read.found : []));
  const sightings = combine({ locks, drivers, releaseLocks: served ?? [] }, judge);
  // Where nothing is locked, nobody asks who holds it.
  const unnamed = served === undefined && sightings.length > 0;
  return {
    sightings,
    gaps: [
      ...(unnamed ? [withoutReleaseLocks(releaseLocks, question)] : []),
      ...(served ? [] : withoutDrivers(drivers, question)),
    ],
    drivers,
    lockkeeper: 'refusal' in releaseLocks ? 'hidden' : served ? 'there' : 'absent',
  };
}

/** The newest revisions that are pending. Their holders are not in the records. */
async function readLocks(
  { client, reader, requests }: Pick<Cluster, 'client' | 'reader' | 'requests'>,
  driver: Driver,
  question: Question,
  signal: AbortSignal,
): Promise<readonly Lock[]> {
  if (question.name !== undefined) {
    const finder = createRecordFinder({ reader, drivers: [driver], records: createRecordStore(requests) });
    const found = await finder.findInPayload(question, signal);
    return found ? [found.lock] : [];
  }
  const { namespace } = question;
  const where = namespace === undefined ? {} : { namespace };
  const { items } = await client.list(driver, { ...where, labelSelector: PENDING_SELECTOR }, signal);
  const pending = items.map((item) => readRevision(driver, item)).filter((found) => found !== undefined);
  return createRecordFinder({ reader, drivers: [driver], pending }).list(namespace, signal);
}

export interface RecordFinderOptions {
  readonly reader: Cluster['reader'];
  readonly drivers: readonly Driver[];
  /** What `list` looks at. */
  readonly pending?: readonly Revision[];
  /** For `findInPayload`; without it, the labels alone tell. */
  readonly records?: RecordStore;
}

/** Finds locks by Helm's records alone. */
export function createRecordFinder(options: RecordFinderOptions): LockFinder {
  const { reader, drivers, pending = [], records } = options;
  const statusInPayload = records && createPayloadStatusReader(records);
  return createLockFinder({
    drivers,
    reader,
    suspects: () => pending.map(({ release }) => release),
    holders: { lockOf: (revision) => ({ revision, holder: undefined }) },
    ...(statusInPayload && {
      async statusInPayload(revision, signal) {
        const read = await unlessRefused(statusInPayload(revision, signal));
        return 'found' in read ? read.found : undefined; // without the right to read it, its label is all that is known
      },
    }),
  });
}

export async function unlessRefused<T>(reading: Promise<T>): Promise<Read<T>> {
  try {
    return { found: await reading };
  } catch (error) {
    if ((error as { status?: unknown }).status === 403) return { refusal: error as Error };
    throw error;
  }
}

function place({ namespace }: Question): string {
  return namespace === undefined ? 'in all namespaces' : `in namespace ${namespace}`;
}

function blind(reads: readonly Read<unknown>[], question: Question): Failure {
  const refusals = reads.flatMap((read) => ('refusal' in read ? [`  ${read.refusal.message}`] : []));
  const elsewhere = question.namespace === undefined ? ', or name a namespace with -n' : '';
  const way = `ask for the right to list and watch releaselocks.lockkeeper.dev, which the role view usually has, or secrets, ${place(question)}${elsewhere}`;
  return new Failure(EXIT.forbidden, `you may not see who deploys ${place(question)}: ${way}`, refusals);
}

function withoutReleaseLocks(read: Read<unknown>, question: Question): string {
  const why =
    'refusal' in read
      ? `you may not list releaselocks.lockkeeper.dev ${place(question)}`
      : 'Lockkeeper is not installed in this cluster';
  return `${why}: the locks are read from Helm's records, which do not tell who holds them, nor how many wait`;
}

function withoutDrivers(drivers: readonly Driver[], question: Question): string[] {
  return DRIVERS.filter((driver) => !drivers.includes(driver)).map(
    (driver) => `you may not list ${driver} ${place(question)}: releases that Helm keeps there are not seen`,
  );
}
