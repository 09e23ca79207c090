/** What one writes first: an informer of the Kubernetes client, which keeps every record of every release in memory. */
import { CoreV1Api, KubeConfig, makeInformer } from '@kubernetes/client-node';
import { pino } from 'pino';

const log = pino({ base: null });
const labelSelector = 'owner=helm';
const AGAIN_MS = 5_000;
const kubeConfig = new KubeConfig();
kubeConfig.loadFromDefault();
const api = kubeConfig.makeApiClient(CoreV1Api);
const list = () => api.listSecretForAllNamespaces({ labelSelector });
const informer = makeInformer(kubeConfig, '/api/v1/secrets', list, labelSelector);
informer.on('error', (error: Error) => {
  log.error({ reason: error.message }, 'failed');
  // As the client's own example does: it stops at the first error, and this process would end.
  setTimeout(() => void informer.start(), AGAIN_MS);
});
await informer.start();
log.info({ records: informer.list().length }, 'listed');
