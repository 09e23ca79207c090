/** What the namespace controller does: empty a namespace that is being deleted, then let it go. */
import { type ControllerDependencies, deletionBy, untilDone } from './controllers.ts';
import { keyOf, type Resource } from './resources.ts';
import { isNotFound } from './status.ts';

export interface NamespaceController {
  /**
   * Deletes the contents of a namespace that is being deleted, with admission, and then the namespace. What
   * a webhook refuses, or a finalizer keeps, keeps both; it is tried again until it works.
   */
  finalize(namespace: string): void;
}

export function createNamespaceController(dependencies: ControllerDependencies): NamespaceController {
  const { resources, store, writes, log, stopping } = dependencies;
  const namespaced = resources.filter((resource) => resource.namespaced);
  const underWay = new Set<string>();

  /** As a deletecollection: it ends at the first object that cannot be deleted. */
  async function removeAll(resource: Resource, namespace: string): Promise<void> {
    for (const { metadata } of store.list(keyOf(resource), namespace)) {
      const target = { resource, namespace, name: metadata.name };
      const request = deletionBy('namespace-controller', target, stopping, { isCollection: true });
      await writes.remove(request, {}).catch(passOverMissing);
    }
  }

  async function empty(namespace: string): Promise<Error | undefined> {
    let first: Error | undefined;
    for (const resource of namespaced) {
      await removeAll(resource, namespace).catch((error: Error) => {
        first ??= error;
      });
    }
    return first;
  }

  async function attempt(namespace: string): Promise<boolean> {
    const problem = await empty(namespace);
    if (problem) mention(namespace, problem);
    if (namespaced.some((resource) => isAny(store.list(keyOf(resource), namespace)))) return false;
    const ended = store.get('/namespaces', '', namespace);
    if (ended && (ended.metadata.finalizers ?? []).length > 0) return false;
    if (ended) store.remove('/namespaces', ended);
    return true;
  }

  const mentioned = new Set<string>();

  /** Once for each cause: there may be many attempts. */
  function mention(namespace: string, { message }: Error) {
    const text = `namespace ${namespace} stays, because its contents cannot be deleted: ${message}`;
    if (!mentioned.has(text) && !stopping.aborted) log(text);
    mentioned.add(text);
  }

  return {
    finalize(namespace) {
      if (underWay.has(namespace)) return;
      underWay.add(namespace);
      void untilDone(() => attempt(namespace), stopping).finally(() => underWay.delete(namespace));
    },
  };
}

/** Somebody else was faster: that is what was wanted. */
export function passOverMissing(error: unknown): void {
  if (!isNotFound(error)) throw error;
}

function isAny(objects: Iterable<unknown>): boolean {
  for (const _ of objects) return true;
  return false;
}
