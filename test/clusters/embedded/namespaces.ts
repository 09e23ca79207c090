/** What the namespace controller does: empty a namespace that is being deleted, then let it go. */
import { keyOf, type Resource } from './resources.ts';
import type { Store } from './store.ts';
import { serviceAccount, type UserInfo, withAuthenticatedGroup } from './users.ts';
import type { WriteRequest } from './write-request.ts';
import type { Writes } from './writes.ts';

const CONTROLLER: UserInfo = withAuthenticatedGroup(serviceAccount('kube-system', 'namespace-controller'));

/** Deletes the contents, with admission, then the namespace; what a webhook refuses keeps both. */
export async function finalizeNamespace(
  namespace: string,
  resources: readonly Resource[],
  store: Store,
  writes: Writes,
  signal: AbortSignal,
): Promise<void> {
  const request = {
    manager: 'kube-controller-manager',
    dryRun: false,
    options: {},
    subresource: '',
    user: CONTROLLER,
  };
  for (const resource of resources.filter(({ namespaced }) => namespaced)) {
    for (const { metadata } of store.list(keyOf(resource), namespace)) {
      const one: WriteRequest = {
        ...request,
        resource,
        namespace,
        name: metadata.name,
        signal,
        warn: () => {},
      };
      await writes.remove(one, { uid: metadata.uid });
    }
  }
  const ended = store.get('/namespaces', '', namespace);
  if (ended) store.remove('/namespaces', ended);
}
