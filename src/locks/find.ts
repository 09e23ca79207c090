/** The locks of the cluster, read live. The watch says where to look, and no more. */
import type { Target } from '../gate/clearing.ts';
import type { Lock } from '../gate/lock.ts';
import type { KnownHolders, Reader } from '../gate/ports.ts';
import { type Driver, isPending, isSelectable, type Release, type Revision } from '../helm/release.ts';

export interface FoundLock {
  readonly lock: Lock;
  /** All revisions of its release, newest first. */
  readonly revisions: readonly Revision[];
}

export interface LockFinder {
  /** The lock of one release, or undefined if it is free. */
  find(target: Target, signal: AbortSignal): Promise<FoundLock | undefined>;
  /** All locks of a namespace, or of all; by namespace and name. */
  list(namespace: string | undefined, signal: AbortSignal): Promise<Lock[]>;
}

export interface LockFinderOptions {
  readonly drivers: readonly Driver[];
  readonly reader: Pick<Reader, 'all'> & NewestReader;
  /** The releases that have a pending revision, as the watch says. */
  readonly suspects: () => readonly Release[];
  readonly holders: Pick<KnownHolders, 'lockOf'>;
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

export function createLockFinder({ drivers, reader, suspects, holders }: LockFinderOptions): LockFinder {
  return {
    async find({ driver, namespace, name }, signal) {
      for (const candidate of driver === undefined ? drivers : [driver]) {
        const revisions = await reader.all({ driver: candidate, namespace, name }, signal);
        const [newest] = revisions;
        if (newest && isPending(newest.status)) return { lock: holders.lockOf(newest), revisions };
      }
      return undefined;
    },

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
  const queries = toQueries(releases.filter(({ name }) => isSelectable(name)));
  const found: Revision[] = [];
  for (let start = 0; start < queries.length; start += LISTS_AT_ONCE) {
    const some = queries.slice(start, start + LISTS_AT_ONCE);
    const lists = some.map((query) => reader.newest(query.driver, query.namespace, query.names, signal));
    found.push(...(await Promise.all(lists)).flat());
  }
  return found;
}

interface Query {
  readonly driver: Driver;
  readonly namespace: string;
  readonly names: readonly string[];
}

/** One list for all releases of a namespace, since a list costs the API server the same whatever it selects. */
function toQueries(releases: readonly Release[]): Query[] {
  const groups = Object.values(Object.groupBy(releases, ({ driver, namespace }) => `${driver}/${namespace}`));
  return groups.flatMap((group = []) => {
    const names = [...new Set(group.map(({ name }) => name))];
    const [{ driver, namespace }] = group as [Release];
    const count = Math.ceil(names.length / NAMES_AT_ONCE);
    return Array.from({ length: count }, (_, index) => ({
      driver,
      namespace,
      names: names.slice(index * NAMES_AT_ONCE, (index + 1) * NAMES_AT_ONCE),
    }));
  });
}

function compare(a: Release, b: Release): number {
  return sortKey(a) < sortKey(b) ? -1 : 1;
}

function sortKey({ namespace, name, driver }: Release): string {
  return [namespace, name, driver].join(' ');
}
