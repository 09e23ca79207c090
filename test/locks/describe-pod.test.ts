/** What the metadata of a pod say of the holder in it. */
import t from 'tap';
import { parseSelector } from '../../src/kubernetes/label-selector.ts';
import type { PodMetadataFound } from '../../src/kubernetes/pod-metadata.ts';
import { createPodDescriber } from '../../src/locks/describe-pod.ts';
import { testLog } from '../support/log.ts';

const POD = { namespace: 'ci', name: 'runner-7f9c', uid: 'pod-1' };

t.test('its kind, and whether its locks are left to people', async (t) => {
  const { log, lines } = testLog();
  const except = parseSelector('helmcharts.helm.cattle.io/chart');
  const described = (found: PodMetadataFound) =>
    createPodDescriber({ reader: { read: async () => found }, except, log })(POD);
  t.strictSame(await described({}), { podKind: 'job' });
  t.strictSame(await described({ ownerReferences: [{ kind: 'ReplicaSet' }] }), { podKind: 'gateway' });
  const labels = { 'helmcharts.helm.cattle.io/chart': 'traefik' };
  t.strictSame(await described({ labels }), { podKind: 'job', neverAutoClear: true });
  t.strictSame(lines, []);
});

t.test('a pod that cannot be read is said', async (t) => {
  const { log, lines } = testLog();
  const read = async () => {
    throw new Error('pods is forbidden');
  };
  await t.rejects(createPodDescriber({ reader: { read }, except: [], log })(POD), {
    message: 'pods is forbidden',
  });
  t.match(lines, [
    {
      msg: 'the pod of a holder cannot be read, so its end will prove nothing',
      pod: 'ci/runner-7f9c',
      reason: 'Error: pods is forbidden',
    },
  ]);
});
