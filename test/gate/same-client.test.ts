/** Which client is the holder of a lock. */
import t from 'tap';
import type { Client, Holder } from '../../src/gate/lock.ts';
import { relationOf } from '../../src/gate/same-client.ts';

function pod(uid: string) {
  return { namespace: 'ci', name: 'runner-7f9c', uid };
}

const alice: Client = { user: 'alice', pod: undefined };
const runner: Client = { user: 'system:serviceaccount:ci:runner', pod: pod('pod-1') };
const session = (name: string, canonicalArn = 'arn:aws:iam::1:role/deployer'): Client => ({
  user: `deployer:${name}`,
  canonicalArn,
  pod: undefined,
});

t.test('by user and pod, by the kind of the pod, and by the role of EKS', async (t) => {
  const job: Holder = { ...runner, podKind: 'job' };
  const gateway: Holder = { ...runner, podKind: 'gateway' };
  const rows: [string, Client, Holder | undefined, string][] = [
    ['nobody knows who holds it', alice, undefined, 'unknown-holder'],
    ['the same person', alice, alice, 'same-client'],
    ['another person', { user: 'bob', pod: undefined }, alice, 'another-client'],
    ['the same job pod', runner, job, 'same-job-pod'],
    ['the next pod of that name', { ...runner, pod: pod('pod-2') }, job, 'another-client'],
    ['the user of a job pod, outside of it', { ...runner, pod: undefined }, job, 'another-client'],
    ['another user in the job pod', { ...runner, user: 'alice' }, job, 'another-client'],
    ['the same gateway pod', runner, gateway, 'same-client'],
    ['the next gateway pod', { ...runner, pod: pod('pod-2') }, gateway, 'same-client'],
    ['a pod of which nothing is known', { ...runner, pod: pod('pod-2') }, runner, 'same-client'],
    ['another session of one role', session('job-2'), session('job-1'), 'same-client'],
    [
      'a session of another role',
      session('job-2', 'arn:aws:iam::1:role/admin'),
      session('job-1'),
      'another-client',
    ],
    ['users without a role', { user: 'bob', pod: undefined }, alice, 'another-client'],
  ];
  for (const [given, client, holder, expected] of rows) t.equal(relationOf(client, holder), expected, given);
});
