/** The end of a run: whoever is left is dead, nobody disturbs any more, and every lock has to end. */
import { setTimeout as delay } from 'node:timers/promises';
import { passTime } from './cluster-operations.ts';
import { KEPT_LABEL, removePod } from './identities.ts';
import { NAMESPACE } from './log.ts';
import { BOUND_MS } from './rules-of-locks.ts';
import type { Stage } from './stage.ts';
import { type PendingRecord, pendingRecords } from './world.ts';

/** Between two looks at what is left. */
const LOOK_MS = 200;

/** Longer than any lock in the adversary’s clusters counts as live, also by clocks that are up to 24 minutes behind. */
const STALE_MINUTES = 45;

export async function killAll({ clients, underWay, world }: Stage): Promise<void> {
  for (const client of clients) client.kill();
  await Promise.all(clients.map(({ done }) => done));
  await Promise.all(underWay);
  for (const { lane } of world.replicas.places) {
    lane.stall(false);
    lane.setClock(0, false);
  }
}

/** What the dead leave behind ends by itself, or as soon as somebody asks for it. */
export async function endLocks(stage: Stage): Promise<void> {
  const { world } = stage;
  const { tell } = world;
  await removePods(stage);
  await tell({ what: 'calm' });
  const inPods = new Set(await heldByPods(stage));
  await untilNone(stage, ({ uid }) => inPods.has(uid));
  if ((await locks(stage)).length > 0) await passTime(world, STALE_MINUTES);
  const asked = async (left: readonly PendingRecord[]) => {
    for (const { release } of left)
      await world.rest('DELETE', `/api/v1/namespaces/${NAMESPACE}/locks/${release}`);
  };
  await untilNone(stage, () => true, asked);
  await tell({ what: 'end' });
}

async function removePods({ world: { admin }, clients }: Stage): Promise<void> {
  await Promise.all(clients.map(async ({ pod }) => pod && removePod(admin, pod.name)));
}

/** The records of those who worked in job pods: their ReleaseLocks say so. */
async function heldByPods({ world: { admin }, clients }: Stage): Promise<string[]> {
  const pods = clients.map(({ pod }) => pod?.uid);
  const entries = await admin.list(`/apis/lockkeeper.dev/v1alpha1/namespaces/${NAMESPACE}/releaselocks`);
  const specs = entries.map(({ spec }) => spec as { recordUID: string; holder?: { pod?: { uid: string } } });
  return specs.flatMap(({ recordUID, holder }) =>
    holder?.pod !== undefined && pods.includes(holder.pod.uid) ? recordUID : [],
  );
}

/** The newest of each release, while it is pending: those below it lock nothing. */
async function locks({ world: { admin }, releases }: Stage): Promise<PendingRecord[]> {
  const pending = (await pendingRecords(admin)).filter(({ release }) =>
    releases.some(({ name }) => name === release),
  );
  const isNewest = await Promise.all(
    pending.map(async ({ path, name, release, revision }) => {
      const collection = path.slice(0, -name.length - 1);
      const selector = encodeURIComponent(`owner=helm,name=${release}`);
      const all = await admin.list(`${collection}?labelSelector=${selector}`);
      return all.every(({ metadata: { labels } }) => Number(labels?.version) <= revision);
    }),
  );
  return pending.filter((_, index) => isNewest[index]);
}

/** Gives up after the time in which each should have ended: what is left then is for the checker. */
async function untilNone(
  stage: Stage,
  isMeant: (record: PendingRecord) => boolean,
  ask: (left: readonly PendingRecord[]) => Promise<void> = async () => {},
): Promise<void> {
  const deadline = performance.now() + BOUND_MS;
  while (performance.now() < deadline) {
    const left = (await locks(stage)).filter(isMeant);
    if (left.length === 0) return;
    await ask(left);
    await delay(LOOK_MS);
  }
}

/** So that the next run need not look through it. */
export async function tidyUp(stage: Stage): Promise<void> {
  const { admin } = stage.world;
  const owned = encodeURIComponent('owner=helm');
  for (const driver of ['secrets', 'configmaps']) {
    await admin.request('DELETE', `/api/v1/namespaces/${NAMESPACE}/${driver}?labelSelector=${owned}`);
  }
  const managed = encodeURIComponent('app.kubernetes.io/managed-by=Helm');
  await admin.request('DELETE', `/api/v1/namespaces/${NAMESPACE}/configmaps?labelSelector=${managed}`);
  const jobs = `labelSelector=${encodeURIComponent(`!${KEPT_LABEL}`)}&propagationPolicy=Background`;
  await admin.request('DELETE', `/apis/batch/v1/namespaces/${NAMESPACE}/jobs?${jobs}`);
  await removePods(stage);
  await Promise.all(stage.gateways.map(({ close }) => close()));
}
