/**
 * Does to the API server what Helm does, at a hundredth of its cost, and stands still wherever the adversary wants it to.
 *
 * What it does, and where that is known from:
 *
 * - reads the history by labels, and numbers by one (design §3, trap 4); only an upgrade refuses to begin over a pending
 *   revision (trap 1), and one of no history is an install (`upgrade --install`);
 * - with `--history-max`, deletes the oldest records first, but never the one that is deployed, and gives up if it may not
 *   (trap 5; `removeLeastRecent` in Helm's pkg/storage/storage.go);
 * - creates the pending record, and comes back after a 429 when it is told to, ten times at most (trap 6);
 * - writes whole records without a resourceVersion, once for each hook and at the end (traps 9 and 13), the one below as
 *   superseded before its own as deployed (test/control-plane/ordinary-commands.ts has the order from audit logs); an
 *   upgrade that fails writes back the one below as it knew it (docs/decisions.md, “The fence forbids more”);
 * - with `--atomic`, rolls back by itself after a failure, also if it could not write that it failed (trap 15);
 * - an uninstall makes the newest one uninstalling, then deletes all that it has read.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Driver, isPending, parseRevisionNumber, recordName } from '../../src/helm/release.ts';
import type { ApiClient } from '../clusters/client.ts';
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import { NAMESPACE } from './log.ts';
import { encodePayload } from './payload.ts';

export type Verb = 'upgrade' | 'rollback' | 'uninstall';

export interface Command {
  readonly verb: Verb;
  readonly release: string;
  readonly driver: Driver;
  /** 0 is no limit. */
  readonly historyMax: number;
  readonly atomic: boolean;
}

/** Where it waits until it is told to go on. */
export type Place = 'with the history read' | 'in its hook';

export interface Helper {
  readonly api: ApiClient;
  /** Resolves when it may send its next request; never, once it was killed. */
  alive(): Promise<void>;
  /** Resolves with the outcome of what it waits for. */
  arrive(place: Place): Promise<'deployed' | 'failed' | 'hook'>;
}

interface Revision {
  readonly number: number;
  readonly status: string;
}

/** How often client-go sends a request again that was answered 429. */
const RETRIES = 10;

/** Runs one command to its end. Resolves with how it ended, in the words of whoever ended it. */
export async function runSyntheticHelm(command: Command, helper: Helper): Promise<string> {
  try {
    const revisions = await readHistory(command, helper);
    if (command.verb === 'uninstall') return await uninstall(command, helper, revisions);
    return await deploy(command, helper, revisions);
  } catch (error) {
    return (error as Error).message;
  }
}

async function deploy(command: Command, helper: Helper, revisions: readonly Revision[]): Promise<string> {
  const newest = revisions.at(-1);
  if (newest === undefined && command.verb === 'rollback') return 'there is nothing to roll back to';
  if (newest && isPending(newest.status) && command.verb === 'upgrade')
    return 'another operation is in progress';
  const pending = newest ? (`pending-${command.verb}` as const) : 'pending-install';
  await helper.arrive('with the history read');
  await prune(command, helper);
  const number = (newest?.number ?? 0) + 1;
  await create(command, helper, { number, status: pending });
  let outcome = await helper.arrive('in its hook');
  for (; outcome === 'hook'; outcome = await helper.arrive('in its hook')) {
    await put(command, helper, { number, status: pending });
  }
  const deployed = revisions.filter(({ status }) => status === 'deployed');
  if (outcome === 'failed') return fail(command, helper, number, deployed);
  for (const below of deployed) await put(command, helper, { ...below, status: 'superseded' });
  await put(command, helper, { number, status: 'deployed' });
  return 'deployed';
}

async function fail(
  command: Command,
  helper: Helper,
  number: number,
  deployed: readonly Revision[],
): Promise<string> {
  if (command.verb === 'upgrade') {
    for (const below of deployed) await put(command, helper, below).catch(() => {});
  }
  const failing = put(command, helper, { number, status: 'failed' });
  if (!command.atomic || command.verb === 'rollback') {
    await failing;
    return 'failed';
  }
  await failing.catch(() => {});
  return runSyntheticHelm({ ...command, verb: 'rollback', atomic: false }, helper);
}

async function uninstall(command: Command, helper: Helper, revisions: readonly Revision[]): Promise<string> {
  const newest = revisions.at(-1);
  if (newest === undefined) return 'release: not found';
  await put(command, helper, { ...newest, status: 'uninstalling' });
  for (const { number } of revisions) await remove(command, helper, number);
  return 'uninstalled';
}

/** Before each creation: it reads anew. */
async function prune(command: Command, helper: Helper): Promise<void> {
  if (command.historyMax === 0) return;
  const all = await readHistory(command, helper);
  const deployed = all.findLast(({ status }) => status === 'deployed');
  const surplus = all.length - (command.historyMax - 1);
  const oldest = all.filter((revision) => revision !== deployed).slice(0, Math.max(0, surplus));
  for (const { number } of oldest) await remove(command, helper, number);
}

async function readHistory({ driver, release }: Command, { api, alive }: Helper): Promise<Revision[]> {
  await alive();
  const selector = encodeURIComponent(`owner=helm,name=${release}`);
  const { code, body } = await api.request<{ items: StoredObject[]; message?: string }>(
    'GET',
    `${collection(driver)}?labelSelector=${selector}`,
  );
  if (code >= 300) throw new Error(`${code} ${body.message}`);
  return body.items
    .map(({ metadata: { labels = {} } }) => ({
      number: parseRevisionNumber(labels.version) ?? 0,
      status: labels.status ?? '',
    }))
    .sort((one, other) => one.number - other.number);
}

async function create(command: Command, helper: Helper, revision: Revision): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    await helper.alive();
    const path = collection(command.driver);
    const { code, body, headers } = await helper.api.request<{ message?: string }>(
      'POST',
      path,
      toRecord(command, revision),
    );
    if (code < 300) return;
    const isLast = attempt === RETRIES;
    if (code !== 429 || isLast) throw new Error(`${code} ${body.message}`);
    await delay(Number(headers['retry-after'] ?? 1) * 1000);
  }
}

async function put(command: Command, { api, alive }: Helper, revision: Revision): Promise<void> {
  await alive();
  const record = toRecord(command, revision);
  const path = `${collection(command.driver)}/${record.metadata.name}`;
  const { code, body } = await api.request<{ message?: string }>('PUT', path, record);
  if (code >= 300) throw new Error(`${code} ${body.message}`);
}

async function remove({ driver, release }: Command, { api, alive }: Helper, number: number): Promise<void> {
  await alive();
  const path = `${collection(driver)}/${recordName(release, number)}`;
  const { code, body } = await api.request<{ message?: string }>('DELETE', path);
  if (code >= 300 && code !== 404) throw new Error(`${code} ${body.message}`);
}

function collection(driver: Driver): string {
  return `/api/v1/namespaces/${NAMESPACE}/${driver}`;
}

/** With a number that JavaScript cannot hold, and text that JSON may write in two ways: a clear must keep both. */
const CONFIG = '{"big":12345678901234567890.10,"text":"caf\u00e9 \\u00e9 \\/ \u2028"}';

let written = 0;

function toRecord({ driver, release }: Command, { number, status }: Revision) {
  written += 1;
  const info = `{"first_deployed":"${new Date().toISOString()}","deleted":"","description":"write ${written}","status":"${status}"}`;
  const json = `{"name":"${release}","info":${info},"config":${CONFIG},"version":${number},"namespace":"${NAMESPACE}"}`;
  return {
    metadata: {
      name: recordName(release, number),
      labels: { owner: 'helm', name: release, status, version: String(number) },
    },
    ...(driver === 'secrets' && { type: 'helm.sh/release.v1' }),
    data: { release: encodePayload(driver, json) },
  };
}
