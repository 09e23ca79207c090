/** The locks of the cluster, read live. The watch says where to look, and no more. */
import type { Target } from '../gate/clearing.ts';
import type { Lock } from '../gate/lock.ts';
import type { KnownHolders, Reader } from '../gate/ports.ts';
import {
  type Driver,
  isPending,
  isSelectable,
  type Release,
  type Revision,
  releaseKey,
} from '../helm/release.ts';

export interface FoundLock {
  readonly lock: Lock;
  /** All revisions of its release, newest first. */
  readonly revisions: readonly Revision[];
}

export interface LockFinder {
  /** The lock of one release, or undefined if it is free. */
  find(target: Target, signal: AbortSignal): Promise<FoundLock | undefined>;
  /**
   * The same, also where the label says that the newest revision has ended and its payload says that it is pending: Helm
   * reads the payload. It costs a read of the whole record of a release that is free.
   */
  findInPayload(target: Target, signal: AbortSignal): Promise<FoundLock | undefined>;
  /** All locks of a namespace, or of all; by namespace and name. */
  list(namespace: string | undefined, signal: AbortSignal): Promise<Lock[]>;
}

export interface LockFinderOptions {
  readonly drivers: readonly Driver[];
  readonly reader: Pick<Reader, 'all'> & NewestReader;
  /** The releases that have a pending revision, as the watch says. */
  readonly suspects: () => readonly Release[];
  readonly holders: Pick<KnownHolders, 'lockOf'>;
  /**
   * The status in the payload of a record; undefined if it is gone, or cannot be read for certain. Left out where payloads are
   * not read: labels alone tell then.
   */
  readonly statusInPayload?: (revision: Revision, signal: AbortSignal) => Promise<string | undefined>;
}

export interface NewestReader {
  /** The newest revision of each of these releases of one namespace. */
  newest(
    driver: Driver,
    namespace: string,
    names: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly Revision[]>;
}

/** Names in one selector: with 53 characters each, a request's path stays below 8 KiB, which every proxy takes. */
const NAMES_AT_ONCE = 100;

/** Lists made at once: as many as there are connections for them. */
const LISTS_AT_ONCE = 2;

export function createLockFinder(options: LockFinderOptions): LockFinder {
  const { drivers, reader, suspects, holders, statusInPayload } = options;

  /** @param statusOf what counts as the status of the newest revision */
  async function findBy(
    { driver, namespace, name }: Target,
    signal: AbortSignal,
    statusOf: (newest: Revision) => Promise<string> | string,
  ): Promise<FoundLock | undefined> {
    for (const candidate of driver === undefined ? drivers : [driver]) {
      const revisions = await reader.all({ driver: candidate, namespace, name }, signal);
      const [stored] = revisions;
      const status = stored && (await statusOf(stored));
      if (stored === undefined || !isPending(status)) continue;
      const newest = { ...stored, status };
      return { lock: holders.lockOf(newest), revisions: [newest, ...revisions.slice(1)] };
    }
    return undefined;
  }

  return {
    find: (target, signal) => findBy(target, signal, ({ status }) => status),
    findInPayload: (target, signal) =>
      findBy(target, signal, async (newest) => {
        if (isPending(newest.status)) return newest.status;
        return (await statusInPayload?.(newest, signal)) ?? newest.status;
      }),

    async list(namespace, signal) {
      const asked = suspects().filter(
        (release) => namespace === undefined || release.namespace === namespace,
      );
      const found = await readNewest(reader, asked, signal);
      return found
        .filter(({ status }) => isPending(status))
        .toSorted((a, b) => compare(a.release, b.release))
        .map(holders.lockOf);
    },
  };
}

/** The newest revision of each of these releases, where there is one; in as few lists as it takes. */
export async function readNewest(
  reader: NewestReader,
  releases: readonly Release[],
  signal: AbortSignal,
): Promise<Revision[]> {
  const found: Revision[] = [];
  for await (const part of readNewestInParts(reader, releases, signal)) {
    if ('error' in part) throw part.error;
    found.push(...part.newest);
  }
  return found;
}

/** What was found of some releases of one namespace, or why nothing was. */
export type Part = { readonly releases: readonly Release[] } & (
  | { readonly newest: readonly Revision[] }
  | { readonly error: unknown }
);

/**
 * The same for those who can use a part of it: a namespace that is too large to be listed in time says nothing of others.
 * @throws the signal's reason, once that is aborted
 */
export async function* readNewestInParts(
  reader: NewestReader,
  releases: readonly Release[],
  signal: AbortSignal,
): AsyncGenerator<Part> {
  const queries = toQueries(releases);
  for (let start = 0; start < queries.length; start += LISTS_AT_ONCE) {
    const some = queries.slice(start, start + LISTS_AT_ONCE);
    const parts = await Promise.all(some.map((query) => readPart(reader, query, signal)));
    signal.throwIfAborted();
    yield* parts;
  }
}

async function readPart(reader: NewestReader, query: Query, signal: AbortSignal): Promise<Part> {
  const { driver, namespace, releases } = query;
  const names = releases.map(({ name }) => name).filter(isSelectable);
  try {
    return {
      releases,
      newest: names.length === 0 ? [] : await reader.newest(driver, namespace, names, signal),
    };
  } catch (error) {
    return { releases, error };
  }
}

interface Query {
  readonly driver: Driver;
  readonly namespace: string;
  readonly releases: readonly Release[];
}

/** One list for all releases of a namespace, since a list costs the API server the same whatever it selects. */
function toQueries(releases: readonly Release[]): Query[] {
  const each = new Map(releases.map((release) => [releaseKey(release), release]));
  const groups = new Map<string, Release[]>();
  for (const release of each.values()) {
    const key = `${release.driver}/${release.namespace}`;
    const group = groups.get(key);
    if (group) group.push(release);
    else groups.set(key, [release]);
  }
  return [...groups.values()].flatMap((group) => {
    const [{ driver, namespace }] = group as [Release];
    const count = Math.ceil(group.length / NAMES_AT_ONCE);
    return Array.from({ length: count }, (_, index) => ({
      driver,
      namespace,
      releases: group.slice(index * NAMES_AT_ONCE, (index + 1) * NAMES_AT_ONCE),
    }));
  });
}

function compare(a: Release, b: Release): number {
  return sortKey(a) < sortKey(b) ? -1 : 1;
}

function sortKey({ namespace, name, driver }: Release): string {
  return [namespace, name, driver].join(' ');
}
