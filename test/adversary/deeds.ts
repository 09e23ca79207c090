/** Does to the world what an operation says; to whom, its numbers choose among those that are there. */
import { setTimeout as delay } from 'node:timers/promises';
import { DRIVERS } from '../../src/helm/release.ts';
import type { ApiClient } from '../clusters/client.ts';
import { type Client, startReal, startSynthetic } from './clients.ts';
import { NAMESPACE } from './log.ts';
import type { Kind, Operation, OperationOf } from './operations.ts';
import type { Place } from './replicas.ts';
import { type PendingRecord, pendingRecords, type World } from './world.ts';

/** One run: releases of its own, and whoever works on them. */
export interface Stage {
  readonly world: World;
  /** Names of its releases. */
  readonly releases: readonly string[];
  readonly clients: Client[];
  /** What is still going on of what was begun. */
  readonly underWay: Set<Promise<unknown>>;
  /** The pending record of each release that was seen last. */
  readonly seen: Map<string, PendingRecord>;
}

const RELEASES = ['api', 'web', 'db'];

let runs = 0;

/** Each release has a first revision, in both drivers. */
export async function newStage(world: World): Promise<Stage> {
  runs += 1;
  const releases = RELEASES.map((name) => `${name}-${runs}`);
  const installs = releases.flatMap((release) =>
    DRIVERS.map(async (driver) => {
      const command = { verb: 'upgrade', release, driver, historyMax: 0, atomic: false } as const;
      const client = startSynthetic(command, await world.identity(undefined), false);
      client.end('deployed');
      await client.done;
    }),
  );
  await Promise.all(installs);
  return { world, releases, clients: [], underWay: new Set(), seen: new Map() };
}

/** Resolves when it is done or well under way, with whether there was anybody to do it to. */
export async function perform(stage: Stage, operation: Operation): Promise<boolean> {
  const isDone = await act(stage, operation);
  await delay(operation.pauseMs);
  return isDone;
}

async function act(stage: Stage, operation: Operation): Promise<boolean> {
  switch (operation.op) {
    case 'start':
      return start(stage, operation);
    case 'end':
      return withClient(stage, operation, (client) => client.end(operation.outcome));
    case 'hook':
    case 'freeze':
    case 'resume':
    case 'kill': {
      const { op } = operation;
      return withClient(stage, operation, (client) => client[op]());
    }
    case 'endPod':
      return endPod(stage, operation);
    case 'clear':
      return clear(stage, operation);
    case 'SIGKILL':
    case 'SIGTERM':
      return end(stage, operation);
    case 'cut':
    case 'stall':
      return disturb(stage, operation);
    case 'block':
      return block(stage, operation);
    case 'restart':
      return restart(stage);
    case 'rotate':
      return rotate(stage);
    case 'time':
      return passTime(stage.world, operation.minutes);
  }
}

/** What is awaited at the end of a run, and may fail there only. */
function background(stage: Stage, doing: Promise<unknown>): true {
  stage.underWay.add(doing);
  doing.then(
    () => stage.underWay.delete(doing),
    () => {},
  );
  return true;
}

function pick<T>(all: readonly T[], index: number): T | undefined {
  return all[index % Math.max(1, all.length)];
}

let pods = 0;

async function start(stage: Stage, operation: OperationOf<'start'>): Promise<boolean> {
  const { world, releases } = stage;
  const { verb, driver, historyMax, atomic, isSlow, inPod, by, atOnce } = operation;
  const release = pick(releases, operation.release) as string;
  const starting = Array.from({ length: by === 'synthetic' ? atOnce : 1 }, async () => {
    pods += 1;
    const identity = await world.identity(inPod ? `${release}-${pods}` : undefined);
    const command = { verb: verb as 'upgrade', release, driver, historyMax, atomic };
    if (by === 'synthetic') return startSynthetic(command, identity, isSlow);
    return startReal(by as '4.1.4', command, identity, world.cluster, world.admin);
  });
  stage.clients.push(...(await Promise.all(starting)));
  return true;
}

function withClient(
  { clients }: Stage,
  { client }: { readonly client: number },
  deed: (client: Client) => void,
): boolean {
  const chosen = pick(
    clients.filter((candidate) => !candidate.isOver()),
    client,
  );
  if (chosen !== undefined) deed(chosen);
  return chosen !== undefined;
}

const PODS = `/api/v1/namespaces/${NAMESPACE}/pods`;

async function endPod(
  { world: { admin }, clients }: Stage,
  operation: OperationOf<'endPod'>,
): Promise<boolean> {
  const inPods = clients.filter(({ pod, isOver }) => pod !== undefined && !isOver());
  const client = pick(inPods, operation.client);
  if (client === undefined) return false;
  if (operation.isKilled) client.kill();
  await removePod(admin, client.pod as string);
  if (operation.isReplaced) {
    const spec = { serviceAccountName: 'runner', containers: [{ name: 'runner', image: 'none' }] };
    await admin.request('POST', PODS, { metadata: { name: client.pod }, spec });
  }
  return true;
}

/** With nobody on its node to wait for; it may be gone already. */
export async function removePod(admin: ApiClient, name: string): Promise<void> {
  await admin.request('DELETE', `${PODS}/${name}?gracePeriodSeconds=0`);
}

async function clear(stage: Stage, operation: OperationOf<'clear'>): Promise<boolean> {
  const { world, seen, releases } = stage;
  const release = pick(releases, operation.release) as string;
  const before = seen.get(release);
  const now = (await pendingRecords(world.admin, release)).sort((a, b) => b.revision - a.revision)[0];
  if (now !== undefined) seen.set(release, now);
  const record = operation.isLate ? before : now;
  if (record === undefined) return false;
  return background(stage, clearRecord(world, record, operation));
}

async function clearRecord(
  world: World,
  record: PendingRecord,
  { how, force }: OperationOf<'clear'>,
): Promise<void> {
  const { admin, tell, rest } = world;
  if (how === 'kubectl delete secret') return void (await admin.request('DELETE', record.path));
  if (how === 'kubectl delete rlock') return deleteReleaseLock(world, record.release, force);
  if (force) await tell({ what: 'force', uid: record.uid });
  const locks = `/api/v1/namespaces/${NAMESPACE}/locks`;
  await rest('DELETE', `${locks}/${record.release}?strategy=${how}&force=${force}&uid=${record.uid}`);
}

const RELEASE_LOCKS = `/apis/lockkeeper.dev/v1alpha1/namespaces/${NAMESPACE}/releaselocks`;

async function deleteReleaseLock({ admin, tell }: World, release: string, force: boolean): Promise<void> {
  const path = `${RELEASE_LOCKS}/${release}`;
  if (force) {
    const { code, body } = await admin.request('GET', path);
    if (code !== 200) return;
    await tell({ what: 'force', uid: (body.spec as { recordUID: string }).recordUID });
    const mark = { metadata: { uid: body.metadata.uid, annotations: { 'lockkeeper.dev/force': 'true' } } };
    const headers = { 'content-type': 'application/merge-patch+json' };
    await admin.request('PATCH', path, mark, { headers });
  }
  await admin.request('DELETE', path);
}

async function end(stage: Stage, operation: OperationOf<'replica'>): Promise<boolean> {
  const { world } = stage;
  const up = world.replicas.places.filter(({ replica }) => replica !== undefined);
  const place = pick(up, operation.replica);
  // Whoever replaces a replica waits until the others are there.
  if (place === undefined || (operation.op === 'SIGTERM' && up.length < 2)) return false;
  return background(
    stage,
    operation.op === 'SIGKILL' ? kill(world, place, operation) : replace(world, place, operation),
  );
}

async function kill(
  { fault, replicas }: World,
  place: Place,
  { downMs, skewMinutes }: OperationOf<'replica'>,
) {
  const { replica } = place;
  place.replica = undefined;
  const well = await fault();
  replica?.kill('SIGKILL');
  replicas.balancer.cut(place.port);
  await replica?.ended;
  await replicas.revive(place, downMs, skewMinutes * 60_000);
  await well();
}

/** Nobody may notice. */
async function replace({ replicas }: World, place: Place, { downMs, skewMinutes }: OperationOf<'replica'>) {
  const { replica } = place;
  place.replica = undefined;
  replica?.kill('SIGTERM');
  await replica?.ended;
  await replicas.revive(place, downMs, skewMinutes * 60_000);
}

function disturb(stage: Stage, { op, replica, forMs }: OperationOf<'watches'>): boolean {
  const { lane } = pick(stage.world.replicas.places, replica) as Place;
  if (op === 'cut') {
    lane.cutWatches();
    return true;
  }
  lane.stall(true);
  return background(
    stage,
    delay(forMs).then(() => lane.stall(false)),
  );
}

async function block(stage: Stage, { forMs }: OperationOf<'block'>): Promise<boolean> {
  const { fault, replicas } = stage.world;
  const well = await fault();
  for (const { lane } of replicas.places) lane.block(true);
  const wait = async () => {
    await delay(forMs);
    for (const { lane } of replicas.places) lane.block(false);
    await well();
  };
  return background(stage, wait());
}

async function restart({ world: { cluster, fault } }: Stage): Promise<boolean> {
  const well = await fault();
  await cluster.restartApiServer();
  await well();
  return true;
}

/** Empties the Secret, as a person does who wants another authority. */
async function rotate({ world: { admin } }: Stage): Promise<boolean> {
  const path = '/api/v1/namespaces/lockkeeper/secrets/lockkeeper-ca';
  await admin.patch(path, { data: { 'tls.crt': '', 'tls.key': '' } });
  return true;
}

export async function passTime({ cluster, tell }: World, minutes: number): Promise<boolean> {
  const ms = minutes * 60_000;
  await tell({ what: 'time', ms, state: 'begins' });
  await cluster.letTimePass(ms);
  await tell({ what: 'time', ms, state: 'ends' });
  return true;
}

/** Of an operation, for counts. */
export function kindOf({ op }: Operation): Kind {
  switch (op) {
    case 'hook':
    case 'freeze':
    case 'resume':
    case 'kill':
      return 'move';
    case 'SIGKILL':
    case 'SIGTERM':
      return 'replica';
    case 'cut':
    case 'stall':
      return 'watches';
    default:
      return op;
  }
}
