/**
 * Says yes after it has read the metadata of the revision below; with BENCH_READS=2, at the same time also of the one that is
 * to be created, as Lockkeeper does. It reads as Lockkeeper reads: over its connections, with its time limits.
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
const both = process.env.BENCH_READS === '2';

await serve((release, revision) => {
  const { signal } = new AbortController();
  const read = (number: number) => client.get('secrets', 'prod', recordName(release, number), signal);
  return Promise.all(both ? [read(revision), read(revision - 1)] : [read(revision - 1)]);
});
