/** The shape that all objects of the Kubernetes API share. */

export interface ManagedFieldsEntry {
  manager: string;
  operation: 'Update' | 'Apply';
  apiVersion: string;
  time: string;
  fieldsType: 'FieldsV1';
  fieldsV1: Fields;
  subresource?: string;
}

/** A set of fields as the API server writes it: `{"f:data":{"f:release":{}}}`. */
export interface Fields {
  [field: string]: Fields;
}

export interface ObjectMetadata {
  name?: string;
  generateName?: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  managedFields?: ManagedFieldsEntry[];
  [field: string]: unknown;
}

/** An object as a client writes it: the server fills in the rest of the metadata. */
export interface KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMetadata;
  [field: string]: unknown;
}

/** An object as the server stores it. Never changed in place: every write makes a new one. */
export type StoredObject = KubernetesObject & {
  metadata: ObjectMetadata & {
    name: string;
    uid: string;
    resourceVersion: string;
    creationTimestamp: string;
  };
};

export type JsonObject = { [key: string]: unknown };

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
