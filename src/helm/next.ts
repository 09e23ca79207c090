/**
 * What works after a lock was cleared. Helm decides by the newest revision that is stored, and by whether
 * any is deployed; each rule here is what Helm 3.9, 3.17 and 4.1 were seen to do (test/e2e/next.ts).
 */
import { helmCommand } from './command.ts';
import { isPending, type Release, type Revision, recordName } from './release.ts';

/** On these, Helm upgrades. */
const UPGRADABLE: readonly string[] = ['deployed', 'failed', 'superseded'];

/** On these, Helm upgrades only if an older revision is deployed. */
const UPGRADABLE_BESIDE_DEPLOYED: readonly string[] = ['uninstalled', 'uninstalling', 'unknown'];

/**
 * The Helm commands that work now with every Helm from 3.9 to 4.1, best first; never none. `CHART` stands
 * for the user's chart. `remaining` are all revisions of the release that are stored, in any order.
 *
 * If the newest of them is itself pending, it is the lock now, and the gate would hold every deploy, also
 * a rollback, which Helm alone would let through. The one line is then the request that clears it: unlike
 * `kubectl delete` it names the revision, and is checked once more.
 */
export function nextCommands(release: Release, remaining: readonly Revision[]): string[] {
  const { namespace, name } = release;
  const helm = (command: string) => helmCommand(release, command);

  const newest = newestOf(remaining);
  if (newest === undefined) return [helm(`install ${name} CHART`), helm(`upgrade --install ${name} CHART`)];
  if (isPending(newest.status)) {
    return [`DELETE /api/v1/namespaces/${namespace}/locks/${name}?revision=${newest.number}`];
  }

  const deployed = newestOf(remaining, 'deployed');
  // A rollback that fails marks the newest revision as superseded, even a failed one: deployed is the better word.
  const good = deployed ?? newestOf(remaining, 'superseded');
  const upgradable =
    UPGRADABLE.includes(newest.status) ||
    (deployed !== undefined && UPGRADABLE_BESIDE_DEPLOYED.includes(newest.status));
  const replaceable = newest.status === 'uninstalled' && !upgradable;

  const commands = [
    ...(upgradable ? [helm(`upgrade ${name} CHART`)] : []),
    ...(upgradable && !replacesOnUpgrade(remaining) ? [helm(`upgrade --install ${name} CHART`)] : []),
    ...(replaceable ? [helm(`install --replace ${name} CHART`)] : []),
    ...(good !== undefined ? [helm(`rollback ${name} ${good.number}`)] : []),
  ];
  // Nothing to build on: what is left can only be taken away. Helm does so whatever the status is.
  return commands.length > 0 ? commands : [helm(`uninstall ${name}`)];
}

/**
 * Whether `upgrade --install` may be an `install --replace`: since 3.14.4, Helm asks for the status of the
 * last revision in the order of the names, in which v9 comes after v10. If that one is uninstalled, the
 * newest may not be replaceable; or it is, and what was deployed stays so beside what is installed.
 */
function replacesOnUpgrade(remaining: readonly Revision[]): boolean {
  const key = ({ release, number }: Revision) => recordName(release.name, number);
  const last = remaining.reduce((a, b) => (key(b) > key(a) ? b : a));
  return last.status === 'uninstalled';
}

function newestOf(revisions: readonly Revision[], status?: string): Revision | undefined {
  return revisions
    .filter((revision) => status === undefined || revision.status === status)
    .reduce<Revision | undefined>((a, b) => (a === undefined || b.number > a.number ? b : a), undefined);
}
