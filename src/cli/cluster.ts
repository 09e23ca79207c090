/** The cluster that a command is about, over connections of its own. */
import type { KubeConfig } from '@kubernetes/client-node';
import { systemClock } from '../clock.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import type { Connection } from '../kubernetes/connection.ts';
import type { Requests } from '../kubernetes/requests.ts';
import type { RevisionReader } from '../locks/newest-revision.ts';
import { EXIT, Failure } from './exit.ts';
import { type KubeconfigChoice, loadKubeconfig, namespaceOf, type Place } from './kubeconfig.ts';

export interface Cluster {
  readonly kubeConfig: KubeConfig;
  /** Where a command looks that was not told where. */
  readonly namespace: string;
  readonly connection: Connection;
  readonly requests: Requests;
  readonly client: KubernetesClient;
  readonly reader: RevisionReader;
  /** Who asks, as the API server names them; `somebody` if it does not say. */
  whoAmI(signal: AbortSignal): Promise<string>;
}

/** Resolves with what `work` resolves with; lets go of the cluster then. */
export async function withCluster<T>(
  choice: KubeconfigChoice,
  place: Place,
  work: (cluster: Cluster) => Promise<T>,
): Promise<T> {
  const kubeConfig = await loadKubeconfig(choice, place);
  const [
    { connect },
    { createRequests },
    { createKubernetesClient },
    { createRevisionReader },
    { createReviews },
  ] = await Promise.all([
    import('../kubernetes/connection.ts'),
    import('../kubernetes/requests.ts'),
    import('../kubernetes/client.ts'),
    import('../locks/newest-revision.ts'),
    import('../kubernetes/reviews.ts'),
  ]);
  const connection = connectOrSayWhy(() => connect(kubeConfig, { clock: systemClock }));
  const requests = createRequests({ connection, pool: 'errands' });
  const client = createKubernetesClient(requests);
  const reviews = createReviews(requests);
  try {
    return await work({
      kubeConfig,
      namespace: namespaceOf(kubeConfig),
      connection,
      requests,
      client,
      reader: createRevisionReader(client),
      whoAmI: (signal) => reviews.whoAmI(signal).catch(() => 'somebody'),
    });
  } finally {
    await connection.close();
  }
}

function connectOrSayWhy(connect: () => Connection): Connection {
  try {
    return connect();
  } catch (error) {
    throw new Failure(EXIT.unreachable, (error as Error).message);
  }
}
