/**
 * Create, update, patch and delete, in the order of the real API server: fill in the metadata, validate,
 * ask the webhooks, store. Storage is last, so two racing creates both pass admission and one of them then
 * meets AlreadyExists.
 */
import type { KubernetesObject, StoredObject } from '../kubernetes-object.ts';
import type { Admission } from './admission.ts';
import { timestamp } from './clock.ts';
import {
  checkIdentity,
  created,
  decode,
  isSame,
  MODIFIED,
  type Stamp,
  updated,
  withoutVersion,
} from './incoming-objects.ts';
import { checkBeforeDelete, checkInStorage, type Preconditions } from './preconditions.ts';
import { keyOf } from './resources.ts';
import { alreadyExists, conflict, forbidden, notFound } from './status.ts';
import type { Store } from './store.ts';
import { validate } from './strategy.ts';
import type { Operation } from './webhook-matching.ts';
import type { WriteRequest } from './write-request.ts';

/** How an update makes the new state from the current one. May be called again after a conflict. */
export type Change = (current: StoredObject) => unknown;

export interface Writes {
  /** `applied` is what a server-side apply says; without it, this is any other write. */
  create(request: WriteRequest, body: unknown, applied?: KubernetesObject): Promise<StoredObject>;
  update(request: WriteRequest, change: Change, applied?: KubernetesObject): Promise<StoredObject>;
  /** The state before; `gone` is false while finalizers keep the object. */
  remove(
    request: WriteRequest,
    preconditions: Preconditions,
  ): Promise<{ object: StoredObject; gone: boolean }>;
}

/** As the real server: five attempts to apply a change to a state that moves under it. */
const ATTEMPTS = 5;

/** `now` is the time of the cluster in milliseconds since 1970. */
export function createWrites(store: Store, admission: Admission, now: () => number): Writes {
  function current({ resource, namespace, name }: WriteRequest): StoredObject {
    const found = store.get(keyOf(resource), namespace, name);
    if (!found) throw notFound(resource, name);
    return found;
  }

  function admit(
    request: WriteRequest,
    operation: Operation,
    object: StoredObject | null,
    old: StoredObject | null,
  ) {
    const name = (object ?? old)?.metadata.name ?? '';
    const isNamespace = request.resource.kind === 'Namespace';
    const options = { kind: OPTIONS[operation], apiVersion: 'meta.k8s.io/v1', ...request.options };
    return admission.review(
      {
        operation,
        resource: request.resource,
        subresource: request.subresource,
        namespace: isNamespace ? name : request.namespace,
        name: request.isCollection ? '' : name,
        object: object && withoutVersion(object),
        oldObject: old,
        user: request.user,
        dryRun: request.dryRun,
        options,
      },
      request.signal,
      request.warn,
    );
  }

  /** What the NamespaceLifecycle plug-in checks. */
  function checkNamespace({ resource, namespace }: WriteRequest, name: string) {
    if (!resource.namespaced) return;
    const found = store.get('/namespaces', '', namespace);
    if (!found) throw notFound({ plural: 'namespaces', group: '' }, namespace);
    if (found.metadata.deletionTimestamp === undefined) return;
    const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
    const cause = {
      reason: 'NamespaceTerminating',
      message: `namespace ${namespace} is being terminated`,
      field: 'metadata.namespace',
    };
    throw forbidden(resource, name, why, [cause]);
  }

  function stampOf(applied: KubernetesObject | undefined): Stamp {
    return { applied, time: timestamp(now()) };
  }

  async function create(request: WriteRequest, body: unknown, applied?: KubernetesObject) {
    const given = decode(request, body);
    const object = created(request, given, stampOf(applied));
    checkNamespace(request, object.metadata.name);
    validate(request.resource, object);
    await admit(request, 'CREATE', object, null);
    const { namespace = '', name } = object.metadata;
    const key = keyOf(request.resource);
    const there = store.get(key, namespace, name);
    if (there) throw alreadyExists(request.resource, name, there.metadata.deletionTimestamp !== undefined);
    return request.dryRun ? withoutVersion(object) : store.insert(key, object);
  }

  async function update(request: WriteRequest, change: Change, applied?: KubernetesObject) {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const before = current(request);
      const given = decode(request, change(before));
      checkIdentity(request, given, before);
      const next = updated(request, given, before, stampOf(applied));
      validate(request.resource, next, before);
      await admit(request, 'UPDATE', next, before);
      if (current(request) === before) return stored(request, before, next);
    }
    throw conflict(request.resource, request.name, MODIFIED);
  }

  function stored(request: WriteRequest, before: StoredObject, next: StoredObject): StoredObject {
    if (request.dryRun) return next;
    if (isSame(before, next)) return before;
    const { deletionTimestamp, finalizers } = next.metadata;
    // A namespace has one more finalizer, in its spec: it is for the namespace controller to end it.
    const isNamespace = request.resource.kind === 'Namespace';
    const isEnded = deletionTimestamp !== undefined && (finalizers ?? []).length === 0 && !isNamespace;
    return isEnded
      ? store.remove(keyOf(request.resource), next)
      : store.replace(keyOf(request.resource), next);
  }

  async function remove(request: WriteRequest, preconditions: Preconditions) {
    checkBeforeDelete(request, current(request), preconditions);
    checkMayBeDeleted(request);
    for (;;) {
      const before = current(request);
      checkInStorage(request, before, preconditions);
      await admit(request, 'DELETE', null, before);
      if (current(request) === before) return removed(request, before);
    }
  }

  function removed(request: WriteRequest, before: StoredObject) {
    const key = keyOf(request.resource);
    const isKept = request.resource.kind === 'Namespace' || (before.metadata.finalizers ?? []).length > 0;
    if (!isKept) return { object: request.dryRun ? before : store.remove(key, before), gone: true };
    if (before.metadata.deletionTimestamp !== undefined) return { object: before, gone: false };
    const next = terminating(request, before, timestamp(now()));
    return { object: request.dryRun ? next : store.replace(key, next), gone: false };
  }

  return { create, update, remove };
}

const OPTIONS = { CREATE: 'CreateOptions', UPDATE: 'UpdateOptions', DELETE: 'DeleteOptions' } as const;

const IMMORTAL = ['default', 'kube-system', 'kube-public'];

function checkMayBeDeleted({ resource, name }: WriteRequest): void {
  if (resource.kind !== 'Namespace' || !IMMORTAL.includes(name)) return;
  throw forbidden(resource, name, 'this namespace may not be deleted');
}

function terminating(
  { resource }: WriteRequest,
  object: StoredObject,
  deletionTimestamp: string,
): StoredObject {
  const metadata = { ...object.metadata, deletionTimestamp };
  if (resource.kind === 'Namespace') return { ...object, metadata, status: { phase: 'Terminating' } };
  return { ...object, metadata: { ...metadata, deletionGracePeriodSeconds: 0 } };
}
