/** Live reads of a release's revisions, by metadata only. */
import { type Release, type Revision, readRevision, recordName, releaseSelector } from '../helm/release.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';

export interface RevisionReader {
  revision(release: Release, number: number, signal: AbortSignal): Promise<Revision | undefined>;
  newestBelow(release: Release, number: number, signal: AbortSignal): Promise<Revision | undefined>;
}

export function createRevisionReader(client: KubernetesClient): RevisionReader {
  async function revision(
    release: Release,
    number: number,
    signal: AbortSignal,
  ): Promise<Revision | undefined> {
    const name = recordName(release.name, number);
    const metadata = await client.get(release.driver, release.namespace, name, signal);
    return metadata && readRevision(release.driver, metadata);
  }

  return {
    revision,
    /** Helm numbers by one, so one read by name answers; only a gap in the history costs a list. */
    async newestBelow(release, number, signal) {
      const previous = await revision(release, number - 1, signal);
      if (previous !== undefined) return previous;
      const { driver, namespace, name } = release;
      const list = await client.list(driver, { namespace, labelSelector: releaseSelector(name) }, signal);
      return list.items
        .map((metadata) => readRevision(driver, metadata))
        .filter((found) => found !== undefined)
        .filter((found) => found.release.name === name && found.number < number)
        .toSorted((a, b) => b.number - a.number)[0];
    },
  };
}
