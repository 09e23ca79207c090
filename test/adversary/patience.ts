/** What asks again while the API server restarts. What was asked of the one that ends is asked of the next, too. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ApiClient } from '../clusters/client.ts';
import type { StartedControlPlane } from '../clusters/control-plane/cluster.ts';

const LOST: readonly unknown[] = ['ECONNREFUSED', 'ECONNRESET', 'EPIPE'];

const PAUSE_MS = 100;

/** Of the administrator, and of whatever is started on it. */
export function patientControlPlane(cluster: StartedControlPlane): StartedControlPlane {
  const { token, kubeconfig, client } = cluster;
  return {
    ...cluster,
    token: again(token),
    kubeconfig: again(kubeconfig),
    client: async (user) => patientClient(await again(client)(user)),
  };
}

/** Without watches, which end. */
function patientClient(client: ApiClient): ApiClient {
  const { request, create, createNamespace, get, list, replace, patch, remove } = client;
  return {
    ...client,
    request: again(request) as ApiClient['request'],
    create: again(create),
    createNamespace: again(createNamespace),
    get: again(get),
    list: again(list),
    replace: again(replace),
    patch: again(patch),
    remove: again(remove),
  };
}

function again<Args extends unknown[], Answer>(ask: (...args: Args) => Promise<Answer>) {
  return async (...args: Args): Promise<Answer> => {
    for (;;) {
      try {
        return await ask(...args);
      } catch (error) {
        if (!LOST.includes((error as NodeJS.ErrnoException).code)) throw error;
        await delay(PAUSE_MS);
      }
    }
  };
}
