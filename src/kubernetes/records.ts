/**
 * Whole release records, for clearing a lock: the one place where a payload enters this process by being
 * asked for. Writes carry the version that they are based on, so that nobody's work is ever lost.
 */
import type { Driver, RecordMetadata } from '../helm/release.ts';
import { pathOf } from './client.ts';
import { KubernetesError, LOST, orNone, type Requests } from './requests.ts';

/** A Secret or ConfigMap as the API server has it; fields that are not named here are kept as they are. */
export interface StoredRecord {
  readonly metadata: RecordMetadata & { readonly name: string; readonly namespace: string };
  readonly data?: Readonly<Record<string, string>>;
}

/** The version that a write is based on. */
export interface Version {
  readonly uid: string;
  readonly resourceVersion: string;
}

export interface RecordStore {
  /** Undefined if there is none. */
  read(
    driver: Driver,
    namespace: string,
    name: string,
    signal: AbortSignal,
  ): Promise<StoredRecord | undefined>;
  /** Writes a record over the version that its metadata names; tells of the conflict if that is no longer stored. */
  replace(driver: Driver, record: StoredRecord, signal: AbortSignal): Promise<Conflict>;
  /**
   * Deletes this version of a record; tells of the conflict if it is no longer stored.
   * @throws KubernetesError 409 if a finalizer keeps it
   */
  remove(
    driver: Driver,
    namespace: string,
    name: string,
    version: Version,
    signal: AbortSignal,
  ): Promise<Conflict>;
}

/** What the API server said of a version that is no longer the stored one; undefined when all went well. */
export type Conflict = KubernetesError | undefined;

export function createRecordStore({ read, write }: Pick<Requests, 'read' | 'write'>): RecordStore {
  return {
    read(driver, namespace, name, signal) {
      const path = recordPath(driver, namespace, name);
      return orNone(read<StoredRecord>(path, { accept: 'application/json' }, signal));
    },
    replace: (driver, record, signal) =>
      unlessChanged(
        write('PUT', recordPath(driver, record.metadata.namespace, record.metadata.name), record, signal),
      ),
    async remove(driver, namespace, name, { uid, resourceVersion }, signal) {
      const path = recordPath(driver, namespace, name);
      const options = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid, resourceVersion } };
      const deleting = write<Deletion>('DELETE', path, options, signal);
      const conflict = await unlessChanged(deleting);
      if (conflict !== undefined) return conflict;
      const { metadata: { finalizers = [] } = {} } = await deleting;
      if (finalizers.length === 0) return undefined;
      const why = `it is kept until its finalizers are removed: ${finalizers.join(', ')}`;
      throw new KubernetesError(`DELETE ${path}`, 409, why);
    },
  };
}

/** A Status if the object is gone; the object itself if something keeps it for now. */
interface Deletion {
  readonly metadata?: { readonly finalizers?: readonly string[] };
}

function recordPath(driver: Driver, namespace: string, name: string): string {
  return `${pathOf(driver, namespace)}/${encodeURIComponent(name)}`;
}

/** Another version, another object of that name, or none: in each case somebody else was first. */
async function unlessChanged(writing: Promise<unknown>): Promise<Conflict> {
  try {
    await writing;
    return undefined;
  } catch (error) {
    if (error instanceof KubernetesError && LOST.includes(error.status)) return error;
    throw error;
  }
}
