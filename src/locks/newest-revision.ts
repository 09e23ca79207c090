/** Live reads of a release's revisions, by metadata only. */
import type { Reader } from '../gate/ports.ts';
import { type Release, type Revision, readRevision, recordName, releaseSelector } from '../helm/release.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';

export function createRevisionReader(client: KubernetesClient): Reader {
  async function all({ driver, namespace, name }: Release, signal: AbortSignal): Promise<Revision[]> {
    const list = await client.list(driver, { namespace, labelSelector: releaseSelector(name) }, signal);
    return list.items
      .map((metadata) => readRevision(driver, metadata))
      .filter((found) => found !== undefined)
      .filter((found) => found.release.name === name)
      .toSorted((a, b) => b.number - a.number);
  }

  return {
    all,
    /** Helm numbers by one, so one read by name answers; only a gap in the history costs a list. */
    async newestBelow(release, number, signal) {
      const { driver, namespace, name } = release;
      const previous = await client.get(driver, namespace, recordName(name, number - 1), signal);
      if (previous !== undefined) return readRevision(driver, previous);
      return (await all(release, signal)).find((revision) => revision.number < number);
    },
  };
}
