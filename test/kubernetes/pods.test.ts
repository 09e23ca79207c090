/** Whether a pod has ended, from the answers of an API server. */
import t, { type Test } from 'tap';
import { createPodReader } from '../../src/kubernetes/pods.ts';
import { createRequests } from '../../src/kubernetes/requests.ts';
import { failure, never, startMeddling } from '../support/clearing.ts';

const PODS = '/api/v1/namespaces/prod/pods';

async function world(t: Test) {
  const meddling = await startMeddling(t);
  const requests = createRequests({ connection: meddling.connection, pool: 'errands' });
  const { admin } = meddling;
  const start = async () => {
    const { metadata } = await admin.create(PODS, { metadata: { name: 'runner-7f9c' } });
    return { namespace: 'prod', name: 'runner-7f9c', uid: metadata.uid };
  };
  return { ...meddling, start, ...createPodReader(requests) };
}

t.test('a pod has ended once it is gone, replaced or finished, and not before', async (t) => {
  const { start, howItEnded, admin } = await world(t);
  const pod = await start();
  const setPhase = (phase: string) => admin.patch(`${PODS}/${pod.name}/status`, { status: { phase } });
  t.equal(await howItEnded(pod, never), undefined, 'it has not said anything');
  for (const [phase, how] of [
    ['Pending', undefined],
    ['Running', undefined],
    ['Unknown', undefined],
    ['Succeeded', 'has finished (Succeeded)'],
    ['Failed', 'has finished (Failed)'],
  ] as const) {
    await setPhase(phase);
    t.equal(await howItEnded(pod, never), how, phase);
  }
  await setPhase('Running');
  await admin.patch(`${PODS}/${pod.name}`, { metadata: { finalizers: ['example.com/stays'] } });
  await admin.remove(`${PODS}/${pod.name}`);
  t.match(await admin.get(`${PODS}/${pod.name}`), { metadata: { deletionTimestamp: String } });
  t.equal(await howItEnded(pod, never), undefined, 'it is terminating, and may be at work');
  await admin.patch(`${PODS}/${pod.name}`, { metadata: { finalizers: null } });
  t.equal(await howItEnded(pod, never), 'is gone');
  const next = await start();
  t.equal(await howItEnded(pod, never), 'was replaced by another pod of that name');
  t.equal(await howItEnded(next, never), undefined);
});

t.test('what is no answer of an API server about that pod is no proof', async (t) => {
  const { start, howItEnded, cluster, admin } = await world(t);
  const pod = await start();
  await admin.remove(`${PODS}/${pod.name}`);
  for (const [given, status] of [
    ['a proxy that knows nothing of pods', 404],
    ['no right', 403],
    ['trouble', 500],
  ] as const) {
    const stop = cluster.faults.failRequests(({ path }) =>
      path.includes('/pods/') ? { status } : undefined,
    );
    t.match(await failure(howItEnded(pod, never)), { status }, given);
    stop();
  }
  t.equal(await howItEnded(pod, never), 'is gone');
});

t.test('a pod that nobody has said anything of may be running', async (t) => {
  for (const status of [undefined, {}, { phase: 'Running' }]) {
    const metadata = { name: 'runner-7f9c', namespace: 'prod', uid: 'uid-1' };
    const stored = { kind: 'Pod', metadata, ...(status && { status }) };
    const { howItEnded } = createPodReader({ read: async <T>() => stored as T });
    t.equal(await howItEnded({ namespace: 'prod', name: 'runner-7f9c', uid: 'uid-1' }, never), undefined);
  }
});

t.test('an answer that is no such pod proves nothing', async (t) => {
  const metadata = { name: 'runner-7f9c', namespace: 'prod', uid: 'uid-2' };
  const rows: [string, object][] = [
    ['nothing', {}],
    ['metadata without anything', { metadata: {} }],
    ['no kind', { metadata }],
    ['another kind', { kind: 'PodList', metadata }],
    ['another name', { kind: 'Pod', metadata: { ...metadata, name: 'x' } }],
    ['another namespace', { kind: 'Pod', metadata: { ...metadata, namespace: 'ci' } }],
    ['no uid', { kind: 'Pod', metadata: { ...metadata, uid: undefined } }],
    ['an empty uid', { kind: 'Pod', metadata: { ...metadata, uid: '' } }],
  ];
  const pod = { namespace: 'prod', name: 'runner-7f9c', uid: 'uid-1' };
  for (const [name, stored] of rows) {
    const { howItEnded } = createPodReader({ read: async <T>() => stored as T });
    await t.rejects(
      howItEnded(pod, never),
      { message: 'the answer about pod prod/runner-7f9c is no such pod' },
      name,
    );
  }
  const { howItEnded } = createPodReader({ read: async <T>() => ({ kind: 'Pod', metadata }) as T });
  t.equal(await howItEnded(pod, never), 'was replaced by another pod of that name');
});
