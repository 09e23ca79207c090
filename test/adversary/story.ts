/** What the log tells of one release, a line for each request: to be read beside a violation. */
import type { Entry } from './log.ts';

export function storyOf(entries: readonly Entry[], release: string): string[] {
  return entries
    .filter((entry) => isAbout(entry, release))
    .toSorted((one, other) => one.askedAt - other.askedAt)
    .map(line);
}

/** Announcements and the deletions of pods concern every release. */
function isAbout({ resource, name, verb }: Entry, release: string): boolean {
  return name.includes(release) || name === 'told' || (resource === 'pods' && verb === 'delete');
}

function line({
  askedAt,
  answeredAt,
  verb,
  resource,
  name,
  user,
  podUid,
  code,
  message,
  answer,
}: Entry): string {
  const { uid, resourceVersion, labels } = answer?.metadata ?? {};
  const who = podUid === undefined ? user : `${user} in pod ${podUid}`;
  const what = [labels?.status, answer?.data?.told, uid ?? answer?.details?.uid, resourceVersion, message];
  const took = `${new Date(askedAt).toISOString()} +${answeredAt - askedAt} ms`;
  return `${took} ${verb} ${resource}/${name} by ${who}: ${code} ${what.filter(Boolean).join(' ')}`;
}
