/**
 * Create, update, patch and delete, in the order of the real API server: fill in the metadata, validate,
 * ask the webhooks, store. Storage is last, so two racing creates both pass admission and one of them then
 * meets AlreadyExists.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import {
  isJsonObject,
  type KubernetesObject,
  type ObjectMetadata,
  type StoredObject,
} from '../kubernetes-object.ts';
import type { Admission } from './admission.ts';
import { trackFields } from './managed-fields.ts';
import type { ResourceTarget } from './request-info.ts';
import { apiVersionOf, keyOf } from './resources.ts';
import { alreadyExists, badRequest, conflict, failure, forbidden, invalid, notFound } from './status.ts';
import type { Store } from './store.ts';
import { prepare, validate } from './strategy.ts';
import type { UserInfo } from './users.ts';
import type { Operation } from './webhook-matching.ts';

/** Who writes what, and how; the same for every kind of write. */
export interface WriteRequest extends ResourceTarget {
  readonly user: UserInfo;
  /** Who becomes the owner of the fields. */
  readonly manager: string;
  /** Nothing is stored, and webhooks are told. */
  readonly dryRun: boolean;
  /** The options that a review shows: `fieldManager`, `propagationPolicy`, … */
  readonly options: Readonly<Record<string, unknown>>;
  /** Aborted when the client hangs up. */
  readonly signal: AbortSignal;
  /** Sends a warning to the client. */
  readonly warn: (text: string) => void;
}

/** How an update makes the new state from the current one. May be called again after a conflict. */
export type Change = (current: StoredObject) => unknown;

export interface Preconditions {
  readonly uid?: string;
  readonly resourceVersion?: string;
}

export interface Writes {
  create(request: WriteRequest, body: unknown, operation?: 'Update' | 'Apply'): Promise<StoredObject>;
  update(request: WriteRequest, change: Change, operation?: 'Update' | 'Apply'): Promise<StoredObject>;
  /** The state before; `gone` is false while finalizers keep the object. */
  remove(
    request: WriteRequest,
    preconditions: Preconditions,
  ): Promise<{ object: StoredObject; gone: boolean }>;
}

/** As the real server: five attempts to apply a change to a state that moves under it. */
const ATTEMPTS = 5;

export function createWrites(store: Store, admission: Admission): Writes {
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
        name,
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
    throw forbidden(resource, name, why);
  }

  async function create(request: WriteRequest, body: unknown, operation: 'Update' | 'Apply' = 'Update') {
    const given = decode(request, body);
    const object = created(request, given, operation);
    checkNamespace(request, object.metadata.name);
    validate(request.resource, object);
    await admit(request, 'CREATE', object, null);
    const { namespace = '', name } = object.metadata;
    const key = keyOf(request.resource);
    if (store.get(key, namespace, name)) throw alreadyExists(request.resource, name);
    return request.dryRun ? withoutVersion(object) : store.insert(key, object);
  }

  async function update(request: WriteRequest, change: Change, operation: 'Update' | 'Apply' = 'Update') {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const before = current(request);
      const given = decode(request, change(before));
      checkIdentity(request, given, before);
      const next = updated(request, given, before, operation);
      validate(request.resource, next, before);
      // Seen: the old object of an update has lost its managedFields by then.
      const { managedFields: _managedFields, ...metadata } = before.metadata;
      await admit(request, 'UPDATE', next, { ...before, metadata: metadata as StoredObject['metadata'] });
      if (current(request) === before) return stored(request, before, next);
    }
    throw conflict(request.resource, request.name, MODIFIED);
  }

  function stored(request: WriteRequest, before: StoredObject, next: StoredObject): StoredObject {
    if (request.dryRun) return next;
    if (isSame(before, next)) return before;
    const { deletionTimestamp, finalizers } = next.metadata;
    const isEnded = deletionTimestamp !== undefined && (finalizers ?? []).length === 0;
    return isEnded
      ? store.remove(keyOf(request.resource), next)
      : store.replace(keyOf(request.resource), next);
  }

  async function remove(request: WriteRequest, preconditions: Preconditions) {
    for (;;) {
      const before = current(request);
      checkPreconditions(request, before, preconditions);
      checkMayBeDeleted(request);
      await admit(request, 'DELETE', null, before);
      if (current(request) === before) return removed(request, before);
    }
  }

  function removed(request: WriteRequest, before: StoredObject) {
    const key = keyOf(request.resource);
    const isKept = request.resource.kind === 'Namespace' || (before.metadata.finalizers ?? []).length > 0;
    if (request.dryRun) return { object: before, gone: !isKept };
    if (!isKept) return { object: store.remove(key, before), gone: true };
    if (before.metadata.deletionTimestamp !== undefined) return { object: before, gone: false };
    return { object: store.replace(key, terminating(request, before)), gone: false };
  }

  return { create, update, remove };
}

const OPTIONS = { CREATE: 'CreateOptions', UPDATE: 'UpdateOptions', DELETE: 'DeleteOptions' } as const;

const MODIFIED =
  'the object has been modified; please apply your changes to the latest version and try again';

/** RFC 3339 in whole seconds, as Go prints times of the API. */
function timestamp(): string {
  return `${new Date().toISOString().slice(0, 19)}Z`;
}

/** @throws ApiError 400 when the body is not an object of the requested resource and namespace */
function decode({ resource, namespace, name }: WriteRequest, body: unknown): KubernetesObject {
  if (!isJsonObject(body)) throw badRequest('the body is not an object');
  const apiVersion = apiVersionOf(resource);
  const given: KubernetesObject = { apiVersion, kind: resource.kind, metadata: {}, ...body };
  if (given.apiVersion !== apiVersion || given.kind !== resource.kind) {
    throw badRequest(
      `the API version in the data (${given.apiVersion}, Kind=${given.kind}) does not match the expected API version (${apiVersion}, Kind=${resource.kind})`,
    );
  }
  if (!isJsonObject(given.metadata)) throw badRequest('metadata is not an object');
  if ((given.metadata.namespace ?? namespace) !== namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }
  if (name !== '' && (given.metadata.name ?? name) !== name) {
    throw badRequest(
      `the name of the object (${given.metadata.name}) does not match the name on the URL (${name})`,
    );
  }
  return given;
}

function created(
  request: WriteRequest,
  given: KubernetesObject,
  operation: 'Update' | 'Apply',
): StoredObject {
  const { resource, namespace } = request;
  if (given.metadata.resourceVersion) {
    throw failure(500, 'InternalError', 'resourceVersion should not be set on objects to be created');
  }
  const object = withMetadata(request, given, {
    name: nameOf(request, given.metadata),
    ...(resource.namespaced && { namespace }),
    uid: randomUUID(),
    resourceVersion: '',
    creationTimestamp: timestamp(),
  });
  return tracked(request, undefined, object, operation);
}

/** As the real server: five random characters without vowels, so that no words appear. */
function nameOf({ resource, name }: WriteRequest, metadata: ObjectMetadata): string {
  const given = metadata.name ?? name;
  if (given !== '') return given;
  if (!metadata.generateName) {
    throw invalid(
      resource.kind,
      resource.group,
      '',
      'metadata.name',
      'Required value: name or generateName is required',
    );
  }
  const alphabet = 'bcdfghjklmnpqrstvwxz2456789';
  return `${metadata.generateName}${[...randomBytes(5)].map((byte) => alphabet[byte % alphabet.length]).join('')}`;
}

/** The fields that the server owns win over what the client sent. */
function withMetadata(
  request: WriteRequest,
  given: KubernetesObject,
  own: StoredObject['metadata'],
): StoredObject {
  const { apiVersion: _apiVersion, kind, metadata, ...rest } = given;
  const { managedFields: _managedFields, deletionTimestamp: _deletionTimestamp, ...free } = metadata;
  const { name, namespace, uid, resourceVersion, creationTimestamp, ...others } = own;
  const object: StoredObject = {
    kind,
    apiVersion: apiVersionOf(request.resource),
    metadata: {
      name,
      ...(free.generateName !== undefined && { generateName: free.generateName }),
      ...(namespace !== undefined && { namespace }),
      uid,
      resourceVersion,
      creationTimestamp,
      ...withoutServerFields(free),
      ...others,
    },
    ...rest,
  };
  return prepare(request.resource, object);
}

function withoutServerFields(metadata: ObjectMetadata): ObjectMetadata {
  const {
    name: _n,
    generateName: _g,
    namespace: _s,
    uid: _u,
    resourceVersion: _r,
    creationTimestamp: _c,
    ...rest
  } = metadata;
  return rest;
}

function tracked(
  { manager, subresource }: WriteRequest,
  previous: StoredObject | undefined,
  next: StoredObject,
  operation: 'Update' | 'Apply',
): StoredObject {
  const managedFields = trackFields(previous, next, { manager, operation, time: timestamp(), subresource });
  return { ...next, metadata: { ...next.metadata, managedFields } };
}

/** A client that names a uid or a version means that one and no other. */
function checkIdentity(
  { resource, name }: WriteRequest,
  given: KubernetesObject,
  before: StoredObject,
): void {
  const { uid, resourceVersion } = given.metadata;
  if (uid && uid !== before.metadata.uid) {
    const why = `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${before.metadata.uid}`;
    throw conflict(resource, name, why);
  }
  if (resourceVersion && resourceVersion !== before.metadata.resourceVersion)
    throw conflict(resource, name, MODIFIED);
}

function updated(
  request: WriteRequest,
  given: KubernetesObject,
  before: StoredObject,
  operation: 'Update' | 'Apply',
): StoredObject {
  const {
    managedFields: _managedFields,
    labels: _l,
    annotations: _a,
    finalizers: _f,
    ownerReferences: _o,
    ...own
  } = before.metadata;
  const merged = { ...given, ...(request.resource.hasStatus && parts(request, given, before)) };
  return tracked(request, before, withMetadata(request, merged, own as StoredObject['metadata']), operation);
}

/** PUT of an object leaves its status alone; PUT of its status leaves all else alone. */
function parts(
  { subresource }: WriteRequest,
  given: KubernetesObject,
  before: StoredObject,
): KubernetesObject {
  if (subresource === 'status') return { ...before, status: given.status };
  return { ...given, ...('status' in before && { status: before.status }) };
}

function isSame(before: StoredObject, next: StoredObject): boolean {
  const comparable = (object: StoredObject) => ({
    ...object,
    metadata: { ...object.metadata, managedFields: [] },
  });
  return isDeepStrictEqual(comparable(before), comparable(next));
}

/** An object to be created has no version yet, and its reviews do not show an empty one. */
function withoutVersion(object: StoredObject): StoredObject {
  if (object.metadata.resourceVersion !== '') return object;
  const { resourceVersion: _resourceVersion, ...metadata } = object.metadata;
  return { ...object, metadata: metadata as StoredObject['metadata'] };
}

function checkPreconditions(
  { resource, name }: WriteRequest,
  { metadata }: StoredObject,
  { uid, resourceVersion }: Preconditions,
): void {
  // Seen in the real server: these two name the kind, not the resource.
  const subject = { plural: resource.kind, group: resource.group };
  if (uid && uid !== metadata.uid) {
    const why = `the UID in the precondition (${uid}) does not match the UID in record (${metadata.uid}). The object might have been deleted and then recreated`;
    throw conflict(subject, name, why);
  }
  if (resourceVersion && resourceVersion !== metadata.resourceVersion) {
    const why = `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${metadata.resourceVersion}). The object might have been modified`;
    throw conflict(subject, name, why);
  }
}

const IMMORTAL = ['default', 'kube-system', 'kube-public'];

function checkMayBeDeleted({ resource, name }: WriteRequest): void {
  if (resource.kind !== 'Namespace' || !IMMORTAL.includes(name)) return;
  throw forbidden(resource, name, 'this namespace may not be deleted');
}

function terminating({ resource }: WriteRequest, object: StoredObject): StoredObject {
  const marked = { ...object, metadata: { ...object.metadata, deletionTimestamp: timestamp() } };
  return resource.kind === 'Namespace' ? { ...marked, status: { phase: 'Terminating' } } : marked;
}
