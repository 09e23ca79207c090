/**
 * From what a client sends to what can be stored: the fields that the server owns are filled in, whatever
 * the client said of them, and what a client says of uid and version is held against the current state.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import {
  isJsonObject,
  type KubernetesObject,
  type ObjectMetadata,
  type StoredObject,
} from '../kubernetes-object.ts';
import { checkTypes, unrecognized } from './decoding.ts';
import { trackFields } from './managed-fields.ts';
import { checkInStorage } from './preconditions.ts';
import { apiVersionOf } from './resources.ts';
import { badRequest, conflict, failure, invalid } from './status.ts';
import { prepare } from './strategy.ts';
import type { WriteRequest } from './write-request.ts';

/** What Helm and kubectl print of a lost race. */
export const MODIFIED =
  'the object has been modified; please apply your changes to the latest version and try again';

/** How and when something is written, for what the server stamps on it. */
export interface Stamp {
  /** What a server-side apply says; undefined in every other write. */
  readonly applied: KubernetesObject | undefined;
  /** As `timestamp` prints it. */
  readonly time: string;
}

/** @throws ApiError 400 when the body is not an object of the requested resource and namespace */
export function decode({ resource, namespace, name }: WriteRequest, body: unknown): KubernetesObject {
  if (!isJsonObject(body)) throw unrecognized(resource, 'the body is not an object');
  const apiVersion = apiVersionOf(resource);
  const given: KubernetesObject = { apiVersion, kind: resource.kind, metadata: {}, ...body };
  checkTypes(resource, given);
  if ((given.metadata.namespace ?? namespace) !== namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }
  if (name !== '' && !given.metadata.name) {
    throw badRequest(
      `the name of the object (${name} based on URL) was undeterminable: name must be provided`,
    );
  }
  if (name !== '' && given.metadata.name !== name) {
    throw badRequest(
      `the name of the object (${given.metadata.name}) does not match the name on the URL (${name})`,
    );
  }
  return given;
}

export function created(request: WriteRequest, given: KubernetesObject, stamp: Stamp): StoredObject {
  const { resource, namespace } = request;
  if (given.metadata.resourceVersion) {
    throw failure(500, '', 'resourceVersion should not be set on objects to be created');
  }
  const { status: _status, ...rest } = given;
  // A status is written as such, and only for kinds that have one.
  const accepted = resource.hasStatus ? (rest as KubernetesObject) : given;
  const object = withMetadata(request, accepted, {
    name: nameOf(request, given.metadata),
    ...(resource.namespaced && { namespace }),
    uid: randomUUID(),
    resourceVersion: '',
    creationTimestamp: stamp.time,
  });
  return tracked(request, undefined, object, stamp);
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
  stamp: Stamp,
): StoredObject {
  const managedFields = trackFields(previous, next, { manager, subresource, ...stamp });
  if (managedFields.length > 0) return { ...next, metadata: { ...next.metadata, managedFields } };
  return next;
}

/** A client that names a uid or a version means that one and no other. */
export function checkIdentity(request: WriteRequest, given: KubernetesObject, before: StoredObject): void {
  const { resource, name } = request;
  const { uid, resourceVersion } = given.metadata;
  checkInStorage(request, before, { uid: uid || null });
  if (resourceVersion && !/^\d+$/.test(resourceVersion)) {
    throw failure(500, '', `strconv.ParseUint: parsing "${resourceVersion}": invalid syntax`);
  }
  if (resourceVersion && resourceVersion !== before.metadata.resourceVersion)
    throw conflict(resource, name, MODIFIED);
}

export function updated(
  request: WriteRequest,
  given: KubernetesObject,
  before: StoredObject,
  stamp: Stamp,
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
  const next = withMetadata(request, merged, own as StoredObject['metadata']);
  return tracked(request, withOwnersOf(given, before), next, stamp);
}

/** Who sends owners means them: they may be changed like any field. */
function withOwnersOf(given: KubernetesObject, before: StoredObject): StoredObject {
  const { managedFields = [] } = given.metadata;
  if (managedFields.length === 0) return before;
  return { ...before, metadata: { ...before.metadata, managedFields } };
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

export function isSame(before: StoredObject, next: StoredObject): boolean {
  const comparable = (object: StoredObject) => ({
    ...object,
    // An owner is a change, a later time is none.
    metadata: {
      ...object.metadata,
      managedFields: (object.metadata.managedFields ?? []).map((entry) => ({ ...entry, time: '' })),
    },
  });
  return isDeepStrictEqual(comparable(before), comparable(next));
}

/** An object to be created has no version yet, and its reviews do not show an empty one. */
export function withoutVersion(object: StoredObject): StoredObject {
  if (object.metadata.resourceVersion !== '') return object;
  const { resourceVersion: _resourceVersion, ...metadata } = object.metadata;
  return { ...object, metadata: metadata as StoredObject['metadata'] };
}
