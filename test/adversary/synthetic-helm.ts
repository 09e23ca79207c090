/**
 * Does to the API server what Helm does, at a hundredth of its cost, and stands still wherever the adversary wants it to.
 *
 * What it does, and where that is known from:
 *
 * - reads the history by labels, and numbers by one; only an upgrade refuses to begin over a pending revision, and one of no
 *   history is an install (`upgrade --install`);
 * - with `--history-max`, deletes the oldest records first, but never the one that is deployed, and gives up if it may not
 *   (`removeLeastRecent` in Helm's pkg/storage/storage.go);
 * - creates the pending record, and comes back after a 429 when it is told to, ten times at most, as with any request;
 * - writes whole records without a resourceVersion, once for each hook and at the end, the one below as superseded before its
 *   own as deployed (test/control-plane/ordinary-commands.ts has the order from audit logs); an upgrade that fails writes
 *   back the one below as it knew it (docs/decisions.md, “The fence forbids more”);
 * - with `--atomic`, an upgrade rolls back by itself after a failure, also if it could not write that it failed; an install
 *   uninstalls by itself, without having written anything (`failRelease` in pkg/action/install.go);
 * - an uninstall makes the newest one uninstalling. If that is refused, Helm notes it in its debug log, and goes on: it deletes
 *   what the release made, and then all records that it has read, or with `--keep-history` makes the newest one uninstalled
 *   (pkg/action/uninstall.go). One that heeds the refusal stops there.
 */
import { type Driver, isPending } from '../../src/helm/release.ts';
import type { ApiClient } from '../clusters/client.ts';
import { openStorage, type Revision, type Storage } from './helm-storage.ts';
import { migrate, reconcile, restore } from './synthetic-tools.ts';

/** What Helm does, and three tools that write its records. */
export type Verb = 'upgrade' | 'rollback' | 'uninstall' | 'reconcile' | 'migrate' | 'restore';

export interface Command {
  readonly verb: Verb;
  readonly release: string;
  readonly driver: Driver;
  /** 0 is no limit. */
  readonly historyMax: number;
  readonly atomic: boolean;
  /** Of an uninstall. */
  readonly keepHistory: boolean;
  /** Whether a tool stops when its first write is refused. Helm itself does not, when it uninstalls. */
  readonly isStrict: boolean;
}

/** Where it waits until it is told to go on. */
export type Place = 'with the history read' | 'in its hook';

export interface Helper {
  readonly api: Pick<ApiClient, 'request'>;
  /** Resolves when it may send its next request; never, once it was killed. */
  alive(): Promise<void>;
  /** Resolves with the outcome of what it waits for. */
  arrive(place: Place): Promise<'deployed' | 'failed' | 'hook'>;
}

/** Runs one command to its end. Resolves with how it ended, in the words of the program that ended it. */
export async function runSyntheticHelm(command: Command, helper: Helper): Promise<string> {
  const storage = openStorage({ ...command, ...helper });
  try {
    return await perform(command, helper, storage);
  } catch (error) {
    return (error as Error).message;
  }
}

async function perform(command: Command, helper: Helper, storage: Storage): Promise<string> {
  const revisions = await storage.history();
  switch (command.verb) {
    case 'upgrade':
    case 'rollback':
      return deploy(command, helper, storage, revisions);
    case 'uninstall':
      return uninstall(command, helper, storage, revisions);
    case 'reconcile':
      await reconcile(storage, revisions);
      return runSyntheticHelm({ ...command, verb: 'upgrade' }, helper);
    case 'migrate':
      await helper.arrive('with the history read');
      return migrate(storage, revisions, command.isStrict);
    case 'restore':
      await helper.arrive('with the history read');
      return restore(storage, revisions);
  }
}

async function deploy(
  command: Command,
  helper: Helper,
  storage: Storage,
  revisions: readonly Revision[],
): Promise<string> {
  const newest = revisions.at(-1);
  if (newest === undefined && command.verb === 'rollback') return 'there is nothing to roll back to';
  if (newest && isPending(newest.status) && command.verb === 'upgrade')
    return 'another operation is in progress';
  const pending = newest ? `pending-${command.verb}` : 'pending-install';
  await helper.arrive('with the history read');
  await prune(command, storage);
  const own = { number: (newest?.number ?? 0) + 1, status: pending };
  await storage.create(own);
  let outcome = await helper.arrive('in its hook');
  for (; outcome === 'hook'; outcome = await helper.arrive('in its hook')) await storage.put(own);
  const deployed = revisions.filter(({ status }) => status === 'deployed');
  if (outcome === 'failed') return fail(command, helper, storage, own, deployed);
  for (const below of deployed) await storage.put({ ...below, status: 'superseded' });
  await storage.put({ ...own, status: 'deployed' });
  return 'deployed';
}

async function fail(
  command: Command,
  helper: Helper,
  storage: Storage,
  own: Revision,
  deployed: readonly Revision[],
): Promise<string> {
  const { atomic, verb } = command;
  if (atomic && own.status === 'pending-install') {
    const undo = { ...command, verb: 'uninstall', keepHistory: false, isStrict: false } as const;
    return runSyntheticHelm(undo, helper);
  }
  if (verb === 'upgrade') {
    for (const below of deployed) await storage.put(below).catch(() => {});
  }
  const failing = storage.put({ ...own, status: 'failed' });
  if (!atomic || verb === 'rollback') {
    await failing;
    return 'failed';
  }
  await failing.catch(() => {});
  return runSyntheticHelm({ ...command, verb: 'rollback', atomic: false }, helper);
}

async function uninstall(
  { keepHistory, isStrict }: Command,
  helper: Helper,
  storage: Storage,
  revisions: readonly Revision[],
): Promise<string> {
  const newest = revisions.at(-1);
  if (newest === undefined) return 'release: not found';
  const isUninstalled = newest.status === 'uninstalled';
  if (isUninstalled && keepHistory) return 'the release is already deleted';
  await helper.arrive('with the history read');
  if (!isUninstalled) {
    const marking = storage.put({ ...newest, status: 'uninstalling' });
    if (isStrict) await marking;
    else await marking.catch(() => {});
    // What the release made is deleted, which takes a while.
    await helper.arrive('in its hook');
  }
  if (keepHistory) await bury(storage, newest);
  else for (const { number } of revisions) await storage.remove(number);
  return 'uninstalled';
}

/** As Helm 3.17 and later do, with no regard for errors. */
async function bury(storage: Storage, newest: Revision): Promise<void> {
  await storage.put({ ...newest, status: 'uninstalled' }).catch(() => {});
  const deployed = (await storage.history()).filter(({ status }) => status === 'deployed');
  for (const other of deployed) await storage.put({ ...other, status: 'superseded' }).catch(() => {});
}

/** Before each creation: it reads anew. */
async function prune({ historyMax }: Command, storage: Storage): Promise<void> {
  if (historyMax === 0) return;
  const all = await storage.history();
  const deployed = all.findLast(({ status }) => status === 'deployed');
  const surplus = all.length - (historyMax - 1);
  const oldest = all.filter((revision) => revision !== deployed).slice(0, Math.max(0, surplus));
  for (const { number } of oldest) await storage.remove(number);
}
