/**
 * What the garbage collector does: delete what has lost the last of its owners, in the background. Policies
 * other than Background are not heeded, and an owner that never was is not missed.
 */
import type { StoredObject } from '../kubernetes-object.ts';
import { type ControllerDependencies, deletionBy, untilDone } from './controllers.ts';
import { apiVersionOf, keyOf, type Resource } from './resources.ts';
import type { Change } from './store.ts';

type OwnerReference = Readonly<Record<'apiVersion' | 'kind' | 'name' | 'uid', string>>;

export function startGarbageCollector({ resources, store, writes, stopping }: ControllerDependencies): void {
  /** By the uid of an owner: whatever referred to it, by its own uid. */
  const dependents = new Map<string, Map<string, Change>>();

  function isThere({ apiVersion, kind, name, uid }: OwnerReference, namespace: string): boolean {
    return resources
      .filter((resource) => apiVersionOf(resource) === apiVersion && resource.kind === kind)
      .map((resource) => store.get(keyOf(resource), resource.namespaced ? namespace : '', name))
      .some((owner) => owner?.metadata.uid === uid);
  }

  function collect({ resource: key, object: { metadata } }: Change): Promise<void> {
    const { name, namespace = '', uid } = metadata;
    const resource = resources.find((candidate) => keyOf(candidate) === key) as Resource;
    const more = { isCollection: false, preconditions: { uid } };
    const request = deletionBy('generic-garbage-collector', { resource, namespace, name }, stopping, more);
    return untilDone(async () => {
      const object = store.get(key, namespace, name);
      const isKept = object && ownersOf(object).some((owner) => isThere(owner, namespace));
      if (object?.metadata.uid !== uid || isKept) return true;
      const removal = writes.remove(request, { uid });
      return removal.then(
        () => true,
        () => false,
      );
    }, stopping);
  }

  store.subscribe((change) => {
    const { uid } = change.object.metadata;
    for (const owner of ownersOf(change.object)) {
      const known = dependents.get(owner.uid) ?? new Map<string, Change>();
      dependents.set(owner.uid, known.set(uid, change));
    }
    if (change.verb !== 'DELETED') return;
    for (const dependent of dependents.get(uid)?.values() ?? []) void collect(dependent);
    dependents.delete(uid);
  });
}

function ownersOf({ metadata }: StoredObject): readonly OwnerReference[] {
  return (metadata.ownerReferences ?? []) as OwnerReference[];
}
