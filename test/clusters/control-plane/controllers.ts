/**
 * Stand-ins for two controllers, for API servers that come as ready-made binaries, without kube-controller-manager:
 * one empties namespaces that are deleted, the other deletes what has lost all its owners. Like the real ones, each
 * calls by its own service account, learns by watches what happens, and tries again what failed. Deletions in the
 * foreground, and owners that leave orphans behind, are not heeded.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type ApiClient, type Connection, connect, type RequestOptions } from '../client.ts';
import { untilDone } from '../embedded/controllers.ts';
import type { StoredObject } from '../kubernetes-object.ts';
import { deletableCollections, pathOfVersion, resourcesOf } from './discovery.ts';

type Api = Pick<ApiClient, 'request' | 'watch'>;

/** Of what most dependents are. Others are looked after from the first time that they are an owner. */
const DEPENDENTS = ['/api/v1/secrets', '/api/v1/configmaps', '/api/v1/pods', '/apis/batch/v1/jobs'];

const DELETE_OPTIONS = { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: 'Background' };

/** @param admin who may impersonate the controllers */
export function startControllers(admin: Connection, signal: AbortSignal): void {
  const client = connect(admin);
  signal.addEventListener('abort', () => client.close(), { once: true });
  startNamespaceController(as(client, 'namespace-controller', signal), signal);
  startGarbageCollector(as(client, 'generic-garbage-collector', signal), signal);
}

function as(client: ApiClient, controller: string, signal: AbortSignal): Api {
  const headers = { 'impersonate-user': `system:serviceaccount:kube-system:${controller}` };
  const withUser = (options?: RequestOptions) => ({ signal, ...options, headers });
  return {
    request: (method, path, body, options) => client.request(method, path, body, withUser(options)),
    watch: (path, options) => client.watch(path, withUser(options)),
  };
}

/** Deletes the contents of each namespace that is deleted, then lets the namespace go. */
function startNamespaceController(api: Api, signal: AbortSignal): void {
  const underWay = new Set<string>();

  async function empty(name: string): Promise<boolean> {
    const path = `/api/v1/namespaces/${name}`;
    const { code, body } = await api.request<StoredObject & { spec: { finalizers?: string[] } }>('GET', path);
    const { finalizers = [] } = code === 200 ? body.spec : {};
    if (code !== 404 && code !== 200) return false;
    if (!body.metadata?.deletionTimestamp || !finalizers.includes('kubernetes')) return true;
    const collections = (await deletableCollections(api)).map((collection) =>
      collection.replace('NAMESPACE', `namespaces/${name}`),
    );
    for (const collection of collections) await api.request('DELETE', collection, DELETE_OPTIONS);
    for (const collection of collections) if (!(await isEmpty(api, collection))) return false;
    const spec = { finalizers: finalizers.filter((finalizer) => finalizer !== 'kubernetes') };
    return (await api.request('PUT', `${path}/finalize`, { ...body, spec })).code < 400;
  }

  async function finalize({ metadata: { name, deletionTimestamp } }: StoredObject): Promise<void> {
    if (!deletionTimestamp || underWay.has(name)) return;
    underWay.add(name);
    await untilDone(() => empty(name).catch(() => false), signal);
    underWay.delete(name);
  }

  void follow(api, '/api/v1/namespaces', signal, {
    onList: (namespaces) => namespaces.forEach(finalize),
    onEvent: (type, namespace) => type !== 'DELETED' && finalize(namespace),
  });
}

async function isEmpty(api: Api, collection: string): Promise<boolean> {
  const { code, body } = await api.request<{ items: unknown[] }>('GET', `${collection}?limit=1`);
  return code === 200 && body.items.length === 0;
}

type OwnerReference = Readonly<Record<'apiVersion' | 'kind' | 'name' | 'uid', string>>;

/** Deletes each object that names owners, none of which is there. */
function startGarbageCollector(api: Api, signal: AbortSignal): void {
  /** By uid: the path of an object that names owners, and the object as it was seen last. */
  const dependents = new Map<string, { readonly path: string; readonly object: StoredObject }>();
  /** By the path of a collection: settled once it is known which deletions the watch will tell. */
  const followed = new Map<string, Promise<void>>();

  function followCollection(path: string): Promise<void> {
    const known = followed.get(path);
    if (known) return known;
    const listed = Promise.withResolvers<void>();
    followed.set(path, listed.promise);
    void follow(api, path, signal, {
      onList(objects) {
        for (const object of objects) remember(path, object);
        listed.resolve();
        // Deletions that no watch was there to tell.
        for (const uid of dependents.keys()) void collect(uid);
      },
      onEvent(type, object) {
        const { uid } = object.metadata;
        if (type === 'DELETED') {
          dependents.delete(uid);
          for (const [dependent, { object }] of dependents) {
            if (ownersOf(object).some((owner) => owner.uid === uid)) void collect(dependent);
          }
        } else {
          remember(path, object);
          void collect(uid);
        }
      },
    });
    return listed.promise;
  }

  function remember(collection: string, object: StoredObject): void {
    const { uid, namespace, name } = object.metadata;
    if (ownersOf(object).length === 0) dependents.delete(uid);
    else dependents.set(uid, { path: pathOf(collection, namespace, name), object });
  }

  async function isThere({ apiVersion, kind, name, uid }: OwnerReference, namespace: string | undefined) {
    const resource = (await resourcesOf(api, apiVersion)).find((candidate) => candidate.kind === kind);
    // Of a kind that the server does not know nobody can say that it is gone.
    if (!resource) return true;
    const collection = `${pathOfVersion(apiVersion)}/${resource.name}`;
    // A deletion after this answer is told by the watch, which must be there by then.
    await followCollection(collection);
    const path = pathOf(collection, resource.namespaced ? namespace : undefined, name);
    const { code, body } = await api.request('GET', path);
    if (code !== 200 && code !== 404) throw new Error(`GET ${path}: ${code}`);
    return code === 200 && body.metadata.uid === uid;
  }

  async function attempt(uid: string): Promise<boolean> {
    const dependent = dependents.get(uid);
    if (!dependent) return true;
    for (const owner of ownersOf(dependent.object)) {
      if (await isThere(owner, dependent.object.metadata.namespace)) return true;
    }
    const options = { ...DELETE_OPTIONS, preconditions: { uid } };
    const { code } = await api.request('DELETE', dependent.path, options);
    // Gone, or another one of that name: both are none of our business any more.
    return code < 400 || code === 404 || code === 409;
  }

  const collect = (uid: string) => untilDone(() => attempt(uid).catch(() => false), signal);

  for (const path of DEPENDENTS) void followCollection(path);
}

function ownersOf({ metadata }: StoredObject): readonly OwnerReference[] {
  return (metadata.ownerReferences ?? []) as OwnerReference[];
}

/** `/api/v1/secrets` and a name make `/api/v1/namespaces/prod/secrets/name`. */
function pathOf(collection: string, namespace: string | undefined, name: string): string {
  const prefix = namespace === undefined ? '' : `namespaces/${namespace}/`;
  return `${collection.replace(/[^/]+$/, `${prefix}$&`)}/${name}`;
}

interface Follower {
  onList(objects: readonly StoredObject[]): void;
  onEvent(type: string, object: StoredObject): void;
}

const PAUSE_MS = 100;

/** Lists a collection, then watches it, and begins again whenever the watch ends. */
async function follow(api: Api, path: string, signal: AbortSignal, { onList, onEvent }: Follower) {
  while (!signal.aborted) {
    try {
      const { body } = await api.request<{
        metadata: { resourceVersion: string };
        items: StoredObject[];
      }>('GET', path);
      onList(body.items);
      const query = `watch=true&resourceVersion=${body.metadata.resourceVersion}`;
      for await (const { type, object } of api.watch(`${path}?${query}`)) {
        if (type === 'ERROR') break;
        onEvent(type, object);
      }
    } catch {
      // The API server is going, or too busy: either way there is nobody to tell.
    }
    await delay(PAUSE_MS, undefined, { signal }).catch(() => {});
  }
}
