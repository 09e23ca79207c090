/**
 * Says yes after it has read the metadata of the revision below; with BENCH_READS=3, at the same time also of the one that is
 * to be created and of the one above, as Lockkeeper does. It reads as Lockkeeper reads: over its connections, with its time limits.
 */
import { KubeConfig } from '@kubernetes/client-node';
import { systemClock } from '../../src/clock.ts';
import { recordName } from '../../src/helm/release.ts';
import { createKubernetesClient } from '../../src/kubernetes/client.ts';
import { connect } from '../../src/kubernetes/connection.ts';
import { createRequests } from '../../src/kubernetes/requests.ts';
import { serve } from './serve.ts';

const kubeConfig = new KubeConfig();
kubeConfig.loadFromDefault();
const connection = connect(kubeConfig, { clock: systemClock });
const client = createKubernetesClient(createRequests({ connection, pool: 'requests' }));
const isAll = process.env.BENCH_READS === '3';

await serve((release, revision) => {
  const { signal } = new AbortController();
  const read = (number: number) => client.get('secrets', 'prod', recordName(release, number), signal);
  const numbers = isAll ? [revision + 1, revision, revision - 1] : [revision - 1];
  return Promise.all(numbers.map(read));
});
