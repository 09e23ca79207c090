/** What befalls the replicas and the API server. */
import { setTimeout as delay } from 'node:timers/promises';
import type { OperationOf } from './operations.ts';
import type { Place } from './replicas.ts';
import { background, pick, type Stage } from './stage.ts';
import type { World } from './world.ts';

export async function endReplica(stage: Stage, operation: OperationOf<'replica'>): Promise<boolean> {
  const { world } = stage;
  const up = world.replicas.places.filter(({ replica }) => replica !== undefined);
  const place = pick(up, operation.replica);
  // A rolling update waits until the other replicas are there.
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

export function disturbWatches(stage: Stage, { op, replica, forMs }: OperationOf<'watches'>): boolean {
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

export function setClock(stage: Stage, operation: OperationOf<'clock'>): boolean {
  const { replica, offMs, isMixed, forMs } = operation;
  const { lane } = pick(stage.world.replicas.places, replica) as Place;
  lane.setClock(offMs, isMixed);
  return background(
    stage,
    delay(forMs).then(() => lane.setClock(0, false)),
  );
}

export async function block(stage: Stage, { forMs }: OperationOf<'block'>): Promise<boolean> {
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

export async function restart({ world: { cluster, fault } }: Stage): Promise<boolean> {
  const well = await fault();
  await cluster.restartApiServer();
  await well();
  return true;
}

/** Empties the Secret, as a person does who wants another authority. */
export async function rotate({ world: { admin } }: Stage): Promise<boolean> {
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
