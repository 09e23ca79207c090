/** ReleaseLocks: the locks as objects, for kubectl. Writes carry the version that they are based on. */
import type { RecordMetadata } from '../helm/release.ts';
import { createObjectLister, type Lister, pathOf } from './client.ts';
import { isDone, orNone, type Requests } from './requests.ts';

export const RELEASE_LOCKS = 'releaselocks';

/** As deploy/chart/templates/crd.yaml defines them. Times are RFC 3339. */
export interface ReleaseLockSpec {
  readonly driver: string;
  readonly revision: number;
  /** Helm's. */
  readonly status: string;
  readonly recordUID: string;
  readonly since: string;
  readonly holder?: {
    readonly user: string;
    readonly canonicalArn?: string;
    readonly podKind?: 'job' | 'gateway';
    readonly neverAutoClear?: boolean;
    readonly pod?: { readonly namespace: string; readonly name: string; readonly uid: string };
  };
}

export interface ReleaseLockStatus {
  readonly verdict?: string;
  readonly reason?: string;
  readonly lastActivity?: string;
  readonly waiting?: number;
  readonly replicas?: readonly ReplicaCount[];
}

/** How many wait at one replica. */
export interface ReplicaCount {
  readonly name: string;
  readonly waiting: number;
  readonly at: string;
}

/** As the API server has it; fields that are not named here are kept as they are. */
export interface ReleaseLock {
  readonly metadata: RecordMetadata & {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly deletionTimestamp?: string;
  };
  /** Left out only where nobody checks what is stored. */
  readonly spec?: ReleaseLockSpec;
  readonly status?: ReleaseLockStatus;
}

export interface NewReleaseLock {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly ownerReferences: readonly object[];
  };
  readonly spec: ReleaseLockSpec;
}

/** Each write resolves to false, or to nothing, if somebody else was first: the watch tells what there is now. */
export interface ReleaseLockStore extends Lister<typeof RELEASE_LOCKS, ReleaseLock> {
  /** Resolves to what is stored, which has no status yet. */
  create(lock: NewReleaseLock, signal: AbortSignal): Promise<ReleaseLock | undefined>;
  /** Writes the specification over the version that the metadata name. */
  replaceSpec(lock: ReleaseLock, signal: AbortSignal): Promise<boolean>;
  /** Writes the status over the version that the metadata name. */
  replaceStatus(lock: ReleaseLock, signal: AbortSignal): Promise<boolean>;
  /** Deletes this very object, whatever has been written to it since. */
  remove(lock: ReleaseLock, signal: AbortSignal): Promise<boolean>;
}

const TYPE = { apiVersion: 'lockkeeper.dev/v1alpha1', kind: 'ReleaseLock' };

export function createReleaseLockStore(
  requests: Pick<Requests, 'read' | 'open' | 'write'>,
): ReleaseLockStore {
  const { write } = requests;
  return {
    ...createObjectLister<typeof RELEASE_LOCKS, ReleaseLock>(requests),
    create: (lock, signal) =>
      orNone(
        write<ReleaseLock>(
          'POST',
          pathOf(RELEASE_LOCKS, lock.metadata.namespace),
          { ...TYPE, ...lock },
          signal,
        ),
        [409],
      ),
    replaceSpec: (lock, signal) => isDone(write('PUT', path(lock), { ...TYPE, ...lock }, signal)),
    replaceStatus: (lock, signal) =>
      isDone(write('PUT', `${path(lock)}/status`, { ...TYPE, ...lock }, signal)),
    remove(lock, signal) {
      const { uid } = lock.metadata;
      const options = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid } };
      return isDone(write('DELETE', path(lock), options, signal));
    },
  };
}

/** The one of this name as it is stored now, by a list of one: the right to list is needed in any case. */
export async function findReleaseLock(
  { list }: Pick<ReleaseLockStore, 'list'>,
  { namespace, name }: { readonly namespace: string; readonly name: string },
  signal: AbortSignal,
): Promise<ReleaseLock | undefined> {
  const fieldSelector = `metadata.name=${name}`;
  const { items } = await list(RELEASE_LOCKS, { namespace, fieldSelector }, signal);
  return items[0];
}

export function createAnnotationsReader(store: Pick<ReleaseLockStore, 'list'>) {
  return async (namespace: string, name: string, signal: AbortSignal) =>
    (await findReleaseLock(store, { namespace, name }, signal))?.metadata.annotations ?? {};
}

function path({ metadata: { namespace, name } }: ReleaseLock): string {
  return `${pathOf(RELEASE_LOCKS, namespace)}/${encodeURIComponent(name)}`;
}
