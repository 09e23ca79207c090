/** The cluster that a command is about, over connections of its own. */
import type { KubeConfig } from '@kubernetes/client-node';
import { systemClock } from '../clock.ts';
import { userName } from '../gate/user-name.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import type { Connection } from '../kubernetes/connection.ts';
import type { Requests } from '../kubernetes/requests.ts';
import type { RevisionReader } from '../locks/newest-revision.ts';
import { EXIT, Failure } from './exit.ts';
import { type KubeconfigChoice, loadKubeconfig, namespaceOf, type Place } from './kubeconfig.ts';
import { attributesOf, type Right } from './rights.ts';

export interface Cluster {
  readonly kubeConfig: KubeConfig;
  /** Where a command looks that was not told where. */
  readonly namespace: string;
  readonly connection: Connection;
  readonly requests: Requests;
  readonly client: KubernetesClient;
  readonly reader: RevisionReader;
  /** The user of the kubeconfig, by a name that is safe to store; `somebody` if the API server does not say. */
  whoAmI(signal: AbortSignal): Promise<string>;
  /** Whether this user has a right; undefined if the API server does not say. */
  mayI(right: Right, signal: AbortSignal): Promise<boolean | undefined>;
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
      whoAmI: (signal) => reviews.whoAmI(signal).then(userName, () => 'somebody'),
      mayI: (right, signal) => reviews.mayI(attributesOf(right), signal).catch(() => undefined),
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
