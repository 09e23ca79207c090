/** Which object a client means: one that is another by now is neither changed nor deleted. */
import { isJsonObject, type StoredObject } from '../kubernetes-object.ts';
import { conflict, invalid } from './status.ts';
import type { WriteRequest } from './write-request.ts';

export interface Preconditions {
  readonly uid?: string | null;
  readonly resourceVersion?: string | null;
}

type Named = Pick<WriteRequest, 'resource' | 'namespace' | 'name'>;

/**
 * What a deletion checks before it asks anybody.
 * @see https://github.com/kubernetes/apiserver/blob/master/pkg/registry/rest/delete.go
 * @throws ApiError 409
 */
export function checkBeforeDelete(
  { resource, name }: Named,
  { metadata }: StoredObject,
  preconditions: Preconditions,
): void {
  // Seen in the real server: these two name the kind, not the resource.
  const subject = { plural: resource.kind, group: resource.group };
  const uid = preconditions.uid ?? metadata.uid;
  if (uid !== metadata.uid) {
    const why = `the UID in the precondition (${uid}) does not match the UID in record (${metadata.uid}). The object might have been deleted and then recreated`;
    throw conflict(subject, name, why);
  }
  const version = preconditions.resourceVersion ?? metadata.resourceVersion;
  if (version !== metadata.resourceVersion) {
    const why = `the ResourceVersion in the precondition (${version}) does not match the ResourceVersion in record (${metadata.resourceVersion}). The object might have been modified`;
    throw conflict(subject, name, why);
  }
}

/**
 * The same, in the words of the storage: it has the last word on every write.
 * @see https://github.com/kubernetes/apiserver/blob/master/pkg/storage/interfaces.go
 * @throws ApiError 409
 */
export function checkInStorage(
  request: Named,
  { metadata }: StoredObject,
  { uid, resourceVersion }: Preconditions,
): void {
  checkField(request, 'UID', uid ?? metadata.uid, metadata.uid);
  const found = metadata.resourceVersion;
  checkField(request, 'ResourceVersion', resourceVersion ?? found, found);
}

/**
 * Returns what a patch made. Unlike PUT and DELETE, a patch does not take a uid for a precondition.
 * @throws ApiError 422 when it changed the uid
 */
export function withSameUid({ resource, name }: Named, before: StoredObject, patched: unknown): unknown {
  const metadata = isJsonObject(patched) && isJsonObject(patched.metadata) ? patched.metadata : {};
  const uid = metadata.uid || before.metadata.uid;
  if (uid === before.metadata.uid) return patched;
  const problem = `Invalid value: "${uid}": field is immutable`;
  throw invalid(resource.kind, resource.group, name, 'metadata.uid', problem);
}

function checkField({ resource, namespace, name }: Named, field: string, wanted: string, found: string) {
  if (wanted === found) return;
  const key = ['/registry', resource.plural, ...(namespace === '' ? [] : [namespace]), name].join('/');
  const problem = `Precondition failed: ${field} in precondition: ${wanted}, ${field} in object meta: ${found}`;
  const why = `StorageError: invalid object, Code: 4, Key: ${key}, ResourceVersion: 0, AdditionalErrorMsg: ${problem}`;
  throw conflict(resource, name, why);
}
