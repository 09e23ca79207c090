/** Pods that end, are replaced, or come back. */
import { setTimeout as delay } from 'node:timers/promises';
import { type JobPod, PODS, removePod } from './identities.ts';
import { NAMESPACE } from './log.ts';
import type { OperationOf } from './operations.ts';
import { background, pick, type Stage } from './stage.ts';
import type { World } from './world.ts';

export async function endPod(stage: Stage, operation: OperationOf<'endPod'>): Promise<boolean> {
  const { world, clients } = stage;
  const inPods = clients.filter(({ pod, isOver }) => pod !== undefined && !isOver());
  const client = pick(inPods, operation.client);
  if (client === undefined) return false;
  const pod = client.pod as JobPod;
  const { admin } = world;
  const stored = operation.next === 'the same' ? await readStored(world, pod.name) : undefined;
  if (operation.isKilled) client.kill();
  await removePod(admin, pod.name);
  if (operation.next === 'another') {
    const spec = { serviceAccountName: 'runner', containers: [{ name: 'runner', image: 'none' }] };
    await admin.request('POST', PODS, { metadata: { name: pod.name }, spec });
  }
  return stored === undefined || background(stage, bringBack(world, pod, stored, operation.backMs));
}

export async function replaceGateway(
  { gateways }: Stage,
  operation: OperationOf<'replaceGateway'>,
): Promise<boolean> {
  await pick(gateways, operation.gateway)?.replace();
  return true;
}

/** As it is in etcd; undefined if it is gone already. */
async function readStored({ cluster }: World, name: string): Promise<string | undefined> {
  const { kvs = [] } = await askEtcd(cluster.etcd, 'range', { key: keyOf(name) });
  return kvs[0]?.value;
}

/**
 * The API server finds it there as if it had never been gone. A pod that has taken its name since stays: were it overwritten, it would
 * end without a word in the log.
 */
async function bringBack(
  { cluster, tell }: World,
  { name, uid }: JobPod,
  stored: string,
  afterMs: number,
): Promise<void> {
  await delay(afterMs);
  const key = keyOf(name);
  const { succeeded } = await askEtcd(cluster.etcd, 'txn', {
    compare: [{ key, target: 'CREATE', create_revision: '0' }],
    success: [{ request_put: { key, value: stored } }],
  });
  if (succeeded) await tell({ what: 'pod returned', uid });
}

function keyOf(name: string): string {
  return Buffer.from(`/registry/pods/${NAMESPACE}/${name}`).toString('base64');
}

interface Answer {
  readonly kvs?: readonly { readonly value: string }[];
  /** Of a transaction: whether what it compared was so. */
  readonly succeeded?: boolean;
}

async function askEtcd(etcd: string, what: 'range' | 'txn', question: object): Promise<Answer> {
  const response = await fetch(`${etcd}/v3/kv/${what}`, { method: 'POST', body: JSON.stringify(question) });
  if (!response.ok) throw new Error(`etcd: ${response.status} ${await response.text()}`);
  return (await response.json()) as Answer;
}
