/** Live reads of a release's revisions, by metadata only. */
import type { Reader } from '../gate/ports.ts';
import {
  type Driver,
  neighboursOf,
  type Release,
  type Revision,
  readRevision,
  recordName,
  releasesSelector,
} from '../helm/release.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import type { NewestReader } from './find.ts';

export type RevisionReader = Reader & NewestReader;

export function createRevisionReader(client: KubernetesClient): RevisionReader {
  /** All revisions of these releases of one namespace, newest first. */
  async function list(
    driver: Driver,
    namespace: string,
    names: readonly string[],
    signal: AbortSignal,
  ): Promise<Revision[]> {
    const { items } = await client.list(
      driver,
      { namespace, labelSelector: releasesSelector(names) },
      signal,
    );
    return items
      .map((metadata) => readRevision(driver, metadata))
      .filter((found) => found !== undefined)
      .filter((found) => names.includes(found.release.name))
      .toSorted((a, b) => b.number - a.number);
  }

  async function all({ driver, namespace, name }: Release, signal: AbortSignal): Promise<Revision[]> {
    return list(driver, namespace, [name], signal);
  }

  async function at({ driver, namespace, name }: Release, number: number, signal: AbortSignal) {
    const metadata = await client.get(driver, namespace, recordName(name, number), signal);
    return metadata && readRevision(driver, metadata);
  }

  return {
    all,
    at,
    async newest(driver, namespace, names, signal) {
      const revisions = await list(driver, namespace, names, signal);
      const newest = new Map(revisions.toReversed().map((revision) => [revision.release.name, revision]));
      return [...newest.values()];
    },
    /**
     * Helm numbers by one, so three reads by name, made at once, answer; only a gap in the history costs a list. The one above
     * is read because a number may be free again: two deploys came and went since this client looked, and Helm removed the
     * first of them from the history.
     */
    async neighbours(release, number, signal) {
      const [above, stored, below] = await Promise.all([
        at(release, number + 1, signal),
        at(release, number, signal),
        number === 1 ? undefined : at(release, number - 1, signal),
      ]);
      if (number === 1 || below !== undefined) return { rival: above ?? stored, below };
      return neighboursOf(await all(release, signal), number);
    },
  };
}
