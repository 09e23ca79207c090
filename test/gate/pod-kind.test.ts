/** Which pods run one job, and which serve many. */
import t from 'tap';
import { jobPodOf, podKindOf } from '../../src/gate/pod-kind.ts';

t.test('by the kind of their owner', async (t) => {
  const ownedBy = (...kinds: string[]) => podKindOf({ ownerReferences: kinds.map((kind) => ({ kind })) });
  for (const kind of ['ReplicaSet', 'StatefulSet', 'DaemonSet', 'ReplicationController', 'Node'])
    t.equal(ownedBy(kind), 'gateway', kind);
  for (const kind of ['Job', 'TaskRun', 'EphemeralRunner', 'Workflow']) t.equal(ownedBy(kind), 'job', kind);
  t.equal(ownedBy(), 'job', 'nobody');
  t.equal(ownedBy('Job', 'ReplicaSet'), 'gateway', 'of several owners, one that serves decides');
  t.equal(podKindOf({ ownerReferences: [{}] }), 'job', 'an owner without a kind');
  t.equal(podKindOf({}), 'job', 'metadata without owners and annotations');
});

t.test('an annotation decides where there is one', async (t) => {
  const pod = (runsHelm: string, kind: string) =>
    podKindOf({ annotations: { 'lockkeeper.dev/runs-helm': runsHelm }, ownerReferences: [{ kind }] });
  t.equal(pod('true', 'ReplicaSet'), 'job', 'helm-controller runs Helm itself');
  t.equal(pod('false', 'Job'), 'gateway');
  t.equal(pod('maybe', 'ReplicaSet'), 'gateway', 'any other value says nothing');
  t.equal(pod('', 'Job'), 'job');
});

t.test('only the end of a job pod is the end of its holder', async (t) => {
  const pod = { namespace: 'ci', name: 'runner', uid: 'pod-1' };
  const holder = { user: 'runner', pod };
  t.equal(jobPodOf({ ...holder, podKind: 'job' }), pod);
  t.equal(jobPodOf({ ...holder, podKind: 'gateway' }), undefined);
  t.equal(jobPodOf(holder), undefined, 'its pod was not read');
  t.equal(jobPodOf(undefined), undefined);
});
