/**
 * What etcd is to a real API server: objects by key, one revision counter, a log of changes to resume
 * watches from. Objects are never changed in place, so "still the same object" is a comparison by identity.
 */
import type { StoredObject } from '../kubernetes-object.ts';

export type WriteVerb = 'ADDED' | 'MODIFIED' | 'DELETED';

/** A change. `object` is the state after it; for DELETED the last state, with the revision of the deletion. */
export interface Change {
  readonly verb: WriteVerb;
  /** `keyOf` its resource. */
  readonly resource: string;
  readonly revision: number;
  readonly object: StoredObject;
  /** The state before; absent for ADDED. */
  readonly previous?: StoredObject;
  /** `performance.now()` when it was stored. */
  readonly at: number;
}

export interface Store {
  /** The revision of the latest change. */
  revision(): number;
  /** Changes up to this revision are forgotten. */
  compacted(): number;
  get(resource: string, namespace: string, name: string): StoredObject | undefined;
  /** In the order of their keys; starting behind `after`, a key that `keyIn` made. */
  list(resource: string, namespace?: string, after?: string): Iterable<StoredObject>;
  /** As `list`, but the state right after a revision; undefined when that is forgotten. */
  listAt(
    revision: number,
    resource: string,
    namespace?: string,
    after?: string,
  ): Iterable<StoredObject> | undefined;
  /** Keys must be free. Returns the object with its new resourceVersion. */
  insert(resource: string, object: StoredObject): StoredObject;
  /** The key must be taken. */
  replace(resource: string, object: StoredObject): StoredObject;
  remove(resource: string, object: StoredObject): StoredObject;
  /** Called at once for every change, in order. Returns the function that ends it. */
  subscribe(listener: (change: Change) => void): () => void;
  /** The changes after a revision, or undefined when they are forgotten. */
  since(revision: number): Iterable<Change> | undefined;
  /** Forgets every change so far. */
  compact(): void;
}

/** Memory is bounded: at least this many of the latest changes are kept for watches to resume from. */
const KEPT_CHANGES = 2_000;

interface Shelf {
  readonly objects: Map<string, StoredObject>;
  /** The keys of `objects`, sorted, as lists and their continuations need them. */
  readonly keys: string[];
}

export function keyIn(namespace: string | undefined, name: string): string {
  return `${namespace ?? ''}/${name}`;
}

export function createStore(): Store {
  const shelves = new Map<string, Shelf>();
  const listeners = new Set<(change: Change) => void>();
  let log: Change[] = [];
  let revision = 0;
  let compacted = 0;

  function shelf(resource: string): Shelf {
    const existing = shelves.get(resource);
    if (existing) return existing;
    const created: Shelf = { objects: new Map(), keys: [] };
    shelves.set(resource, created);
    return created;
  }

  function record(verb: WriteVerb, resource: string, object: StoredObject, previous?: StoredObject) {
    revision += 1;
    const versioned: StoredObject = {
      ...object,
      metadata: { ...object.metadata, resourceVersion: String(revision) },
    };
    const change: Change = {
      verb,
      resource,
      revision,
      object: versioned,
      ...(previous && { previous }),
      at: performance.now(),
    };
    log.push(change);
    if (log.length > 2 * KEPT_CHANGES) forget(KEPT_CHANGES);
    return change;
  }

  function forget(count: number) {
    compacted = log[count - 1]?.revision ?? compacted;
    log = log.slice(count);
  }

  function publish(change: Change): StoredObject {
    for (const listener of listeners) listener(change);
    return change.object;
  }

  function* list(resource: string, namespace?: string, after?: string) {
    const { objects, keys } = shelf(resource);
    const prefix = namespace === undefined ? '' : `${namespace}/`;
    // A copy, because the caller may write between two steps.
    for (const key of keys.slice(lowerBound(keys, after === undefined ? prefix : `${after}\0`))) {
      if (!key.startsWith(prefix)) return;
      const object = objects.get(key);
      if (object) yield object;
    }
  }

  function since(from: number) {
    if (from < compacted) return undefined;
    return log.slice(lowerBoundBy(log, (change) => change.revision > from));
  }

  function listAt(at: number, resource: string, namespace?: string, after?: string) {
    if (at === revision) return list(resource, namespace, after);
    const changes = since(at)?.filter((change) => change.resource === resource);
    if (!changes) return undefined;
    const then = new Map(shelf(resource).objects);
    for (const { verb, object, previous } of changes.reverse()) {
      const key = keyIn(object.metadata.namespace, object.metadata.name);
      if (verb === 'ADDED') then.delete(key);
      else then.set(key, previous as StoredObject);
    }
    const prefix = namespace === undefined ? '' : `${namespace}/`;
    const isAsked = (key: string) => key.startsWith(prefix) && (after === undefined || key > after);
    return [...then.keys()]
      .filter(isAsked)
      .sort((left, right) => (left < right ? -1 : 1))
      .map((key) => then.get(key) as StoredObject);
  }

  return {
    revision: () => revision,
    compacted: () => compacted,
    get: (resource, namespace, name) => shelf(resource).objects.get(keyIn(namespace, name)),
    list,
    listAt,
    insert(resource, object) {
      const { objects, keys } = shelf(resource);
      const key = keyIn(object.metadata.namespace, object.metadata.name);
      const change = record('ADDED', resource, object);
      keys.splice(lowerBound(keys, key), 0, key);
      objects.set(key, change.object);
      return publish(change);
    },
    replace(resource, object) {
      const { objects } = shelf(resource);
      const key = keyIn(object.metadata.namespace, object.metadata.name);
      const change = record('MODIFIED', resource, object, objects.get(key));
      objects.set(key, change.object);
      return publish(change);
    },
    remove(resource, object) {
      const { objects, keys } = shelf(resource);
      const key = keyIn(object.metadata.namespace, object.metadata.name);
      const change = record('DELETED', resource, object, object);
      keys.splice(lowerBound(keys, key), 1);
      objects.delete(key);
      return publish(change);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    since,
    compact: () => {
      compacted = revision;
      log = [];
    },
  };
}

function lowerBound(sorted: readonly string[], key: string): number {
  return lowerBoundBy(sorted, (candidate) => candidate >= key);
}

/** The index of the first element that is `reached`; all before it are not, all behind it are. */
function lowerBoundBy<T>(sorted: readonly T[], reached: (element: T) => boolean): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (reached(sorted[middle] as T)) high = middle;
    else low = middle + 1;
  }
  return low;
}
