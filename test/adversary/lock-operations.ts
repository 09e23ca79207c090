/** What people do to locks: they clear them, edit labels by hand, or forge reviews about them. */
import { setTimeout as delay } from 'node:timers/promises';
import { forgedReview } from './forged-review.ts';
import { removePod } from './identities.ts';
import { NAMESPACE } from './log.ts';
import type { OperationOf } from './operations.ts';
import { background, pick, type Stage, type StageRelease } from './stage.ts';
import { type PendingRecord, pendingRecords, type World } from './world.ts';

export async function clear(stage: Stage, operation: OperationOf<'clear'>): Promise<boolean> {
  const { world, seen, releases } = stage;
  const { name } = pick(releases, operation.release) as StageRelease;
  const before = seen.get(name);
  const now = await newestPending(world, name);
  if (now !== undefined) seen.set(name, now);
  const record = operation.isLate ? before : now;
  if (record === undefined) return false;
  return background(stage, clearRecord(world, record, operation));
}

async function newestPending({ admin }: World, release: string): Promise<PendingRecord | undefined> {
  return (await pendingRecords(admin, release)).sort((a, b) => b.revision - a.revision)[0];
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

export async function relabel(stage: Stage, operation: OperationOf<'relabel'>): Promise<boolean> {
  const { world, releases } = stage;
  const { name } = pick(releases, operation.release) as StageRelease;
  const record = await newestPending(world, name);
  if (record === undefined) return false;
  const headers = { 'content-type': 'application/merge-patch+json' };
  const change = { metadata: { labels: operation.labels } };
  return background(stage, world.admin.request('PATCH', record.path, change, { headers }));
}

/** So many reviews, each over a connection of its own, that each replica gets some. */
const REVIEWS = 6;

/** How long a forger's pod lives after its reviews were sent. */
const POD_LIVES_MS = 500;

let forgeries = 0;

export async function forge(stage: Stage, operation: OperationOf<'forge'>): Promise<boolean> {
  const { world, releases } = stage;
  const { name } = pick(releases, operation.release) as StageRelease;
  const record = await newestPending(world, name);
  if (record === undefined) return false;
  forgeries += 1;
  return background(stage, sendForgeries(world, record, operation, `forged-${forgeries}`));
}

async function sendForgeries(
  world: World,
  record: PendingRecord,
  { as, pod, watches }: OperationOf<'forge'>,
  name: string,
): Promise<void> {
  const { admin, replicas, identities, review } = world;
  const lanes = replicas.places.map(({ lane }) => lane);
  const forger = pod === 'their own' ? await identities.inJobPod(name, 'nobody') : undefined;
  if (watches === 'stall') for (const lane of lanes) lane.stall(true);
  if (watches === 'cut') for (const lane of lanes) lane.cutWatches();
  const body = forgedReview(record, { as, name, podUid: forger?.pod?.uid ?? crypto.randomUUID() });
  await Promise.all(Array.from({ length: REVIEWS }, () => review(body)));
  if (watches === 'stall') for (const lane of lanes) lane.stall(false);
  if (forger === undefined) return;
  forger.close();
  await delay(POD_LIVES_MS);
  await removePod(admin, name);
}
