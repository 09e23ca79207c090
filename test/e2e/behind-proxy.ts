import type { ServerResponse } from 'node:http';
import type { Test } from 'tap';
import type { Cluster } from '../clusters/cluster.ts';
import { writeKubeconfig } from '../clusters/kubeconfig.ts';
import { LOCKKEEPER } from '../support/lockkeeper.ts';
import { startPassage } from '../support/passage.ts';

/** A cluster as Lockkeeper sees it, whose watches can be cut, or kept from beginning anew. */
export async function behindProxy(t: Test, cluster: Cluster) {
  const open = new Set<ServerResponse>();
  let silence = Promise.resolve();
  const proxy = await startPassage(t, cluster, {
    async mayPass({ url = '' }) {
      if (url.includes('watch=true')) await silence;
      return true;
    },
    onAnswer({ url = '' }, response) {
      if (!url.includes('watch=true')) return;
      open.add(response);
      response.on('close', () => open.delete(response));
    },
  });
  const kubeconfig: Cluster['kubeconfig'] = async ({ user = LOCKKEEPER } = {}) => {
    const token = await cluster.token(user);
    return writeKubeconfig(cluster.folder, { ...proxy, token, user, namespace: undefined });
  };
  return {
    cluster: { ...cluster, kubeconfig } as Cluster,
    cutWatches() {
      for (const response of open) response.destroy();
    },
    /** No watch begins until the returned function is called. */
    silenceWatches(): () => void {
      const { promise, resolve } = Promise.withResolvers<void>();
      silence = promise;
      return resolve;
    },
  };
}
