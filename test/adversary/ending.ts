/** The end of a run: whoever is left is dead, nobody disturbs any more, and every lock has to end. */
import { setTimeout as delay } from 'node:timers/promises';
import { passTime, removePod, type Stage } from './deeds.ts';
import { NAMESPACE } from './log.ts';
import { BOUND_MS } from './rules-of-locks.ts';
import { type PendingRecord, pendingRecords } from './world.ts';

/** Between two looks at what is left. */
const LOOK_MS = 200;

/** Longer than any lock in the adversary's clusters counts as live. */
const STALE_MINUTES = 16;

export async function killAll({ clients, underWay, world }: Stage): Promise<void> {
  for (const client of clients) client.kill();
  await Promise.all(clients.map(({ done }) => done));
  await Promise.all(underWay);
  for (const { lane } of world.replicas.places) lane.stall(false);
}

/** What the dead leave behind ends by itself, or as soon as somebody asks for it. */
export async function endLocks(stage: Stage): Promise<void> {
  const { world, clients } = stage;
  const { admin, tell } = world;
  await Promise.all(clients.flatMap(({ pod }) => (pod === undefined ? [] : removePod(admin, pod))));
  await tell({ what: 'calm' });
  const inPods = new Set(await podUids(stage));
  await untilNone(stage, ({ uid }) => inPods.has(uid));
  if ((await locks(stage)).length > 0) await passTime(world, STALE_MINUTES);
  const asked = async (left: readonly PendingRecord[]) => {
    for (const { release } of left)
      await world.rest('DELETE', `/api/v1/namespaces/${NAMESPACE}/locks/${release}`);
  };
  await untilNone(stage, () => true, asked);
  await tell({ what: 'end' });
}

/** The records of those who worked in pods: their ReleaseLocks say so. */
async function podUids({ world: { admin } }: Stage): Promise<string[]> {
  const entries = await admin.list(`/apis/lockkeeper.dev/v1alpha1/namespaces/${NAMESPACE}/releaselocks`);
  const specs = entries.map(({ spec }) => spec as { recordUID: string; holder?: { pod?: object } });
  return specs.flatMap(({ recordUID, holder }) => (holder?.pod === undefined ? [] : recordUID));
}

/** The newest of each release, while it is pending: those below it lock nothing. */
async function locks({ world: { admin }, releases }: Stage): Promise<PendingRecord[]> {
  const pending = (await pendingRecords(admin)).filter(({ release }) => releases.includes(release));
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
export async function tidyUp({ world: { admin }, clients }: Stage): Promise<void> {
  const owned = encodeURIComponent('owner=helm');
  for (const driver of ['secrets', 'configmaps']) {
    await admin.request('DELETE', `/api/v1/namespaces/${NAMESPACE}/${driver}?labelSelector=${owned}`);
  }
  const managed = encodeURIComponent('app.kubernetes.io/managed-by=Helm');
  await admin.request('DELETE', `/api/v1/namespaces/${NAMESPACE}/configmaps?labelSelector=${managed}`);
  await admin.request('DELETE', `/apis/batch/v1/namespaces/${NAMESPACE}/jobs?propagationPolicy=Background`);
  await Promise.all(clients.flatMap(({ pod }) => (pod === undefined ? [] : removePod(admin, pod))));
}
