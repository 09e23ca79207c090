/** What is stored of a release when a request about it comes: deployed, in flight, left behind, with gaps. */
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { descriptionOf } from '../adversary/payload.ts';
import type { EmbeddedCluster } from '../clusters/embedded/cluster.ts';
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import { record } from '../support/records.ts';
import { unsafeInside } from '../support/unsafe-text.ts';

/** Stands for the namespace that a request is about until it is sent: each has one of its own. */
export const NAMESPACE = 'namespace-of-this-request';

/** Stands for a uid that nobody has had yet. */
export const NEW_UID = 'uid-of-this-request';

/** Stands for the uid of what is stored as this revision, if anything is. */
export function uidOfStored(revision: number): string {
  return `uid-of-stored-revision-${revision}`;
}

/** Of the release that nearly all requests are about. */
export const RELEASE = 'api';

/** Longer than a lock may be silent, and shorter. */
const AGES = { stale: 3_600, live: 60 };

export interface Kept {
  readonly driver: 'secrets' | 'configmaps';
  readonly revision: number;
  readonly status: string;
  readonly age: keyof typeof AGES;
  /** Whether Lockkeeper can read it, and so mark it as failed. */
  readonly isReadable: boolean;
}

const STATUSES = ['pending-install', 'pending-upgrade', 'pending-rollback'];
const OTHER_STATUSES = ['deployed', 'superseded', 'failed', 'uninstalling', 'uninstalled', 'unknown', ''];

export const statuses = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...STATUSES) },
  { weight: 2, arbitrary: fc.constantFrom(...OTHER_STATUSES) },
);

export const histories: fc.Arbitrary<readonly Kept[]> = fc.uniqueArray(
  fc.record({
    driver: fc.oneof(
      { weight: 4, arbitrary: fc.constant('secrets' as const) },
      { weight: 1, arbitrary: fc.constant('configmaps' as const) },
    ),
    revision: fc.integer({ min: 1, max: 5 }),
    status: statuses,
    age: fc.constantFrom('stale', 'live'),
    isReadable: fc.oneof({ weight: 9, arbitrary: fc.constant(true) }, fc.constant(false)),
  }),
  { maxLength: 4, selector: ({ driver, revision }) => `${driver} ${revision}` },
);

/** All records that are stored, as the cluster tells of them while they are written. */
export interface Stored {
  /** Puts a history into a namespace that was never used. */
  put(namespace: string, history: readonly Kept[]): void;
  of(namespace: string): readonly StoredObject[];
  empty(namespace: string): Promise<void>;
}

export async function followStored(cluster: EmbeddedCluster): Promise<Stored> {
  const admin = await cluster.client();
  const records = new Map<string, Map<string, StoredObject>>();
  cluster.onWrite(({ verb, resource, object }) => {
    const driver = /^\/(secrets|configmaps)$/.exec(resource)?.[1];
    const { namespace = '', name } = object.metadata;
    if (driver === undefined) return;
    const path = `/api/v1/namespaces/${namespace}/${driver}/${name}`;
    const inNamespace = records.get(namespace) ?? new Map<string, StoredObject>();
    if (verb === 'DELETED') inNamespace.delete(path);
    else records.set(namespace, inNamespace.set(path, object));
    if (inNamespace.size === 0) records.delete(namespace);
  });

  return {
    put(namespace, history) {
      cluster.seed(history.map((kept) => toRecord(namespace, kept, cluster.clock.now())));
    },
    of: (namespace) => [...(records.get(namespace)?.values() ?? [])],
    async empty(namespace) {
      for (const path of records.get(namespace)?.keys() ?? []) await admin.remove(path);
    },
  };
}

/** Of each object that was written and that a terminal would obey: which, and the character. */
export function followDeceits(cluster: EmbeddedCluster): () => readonly string[] {
  const found = new Set<string>();
  cluster.onWrite(({ verb, object }) => {
    if (verb === 'DELETED') return;
    const { kind } = object;
    const unsafe = unsafeInside(shownOf(object));
    if (unsafe)
      found.add(`${kind} ${object.metadata.namespace}/${object.metadata.name} with ${unsafe} in it`);
  });
  return () => [...found];
}

/** What `kubectl get`, `kubectl describe` and `helm history` show of it. */
function shownOf(object: StoredObject): unknown {
  switch (object.kind) {
    case 'Event':
    case 'ReleaseLock':
      return { ...object, metadata: { ...object.metadata, managedFields: [] } };
    case 'Secret':
    case 'ConfigMap':
      return helmDescription(object);
    default:
      return undefined;
  }
}

/** Undefined for what is no record. */
function helmDescription({ kind, data }: StoredObject & { data?: { release?: string } }): unknown {
  try {
    return descriptionOf(kind === 'Secret' ? 'secrets' : 'configmaps', data ?? {});
  } catch {
    return undefined;
  }
}

function toRecord(namespace: string, { driver, revision, status, age, isReadable }: Kept, now: number) {
  const release = { name: RELEASE, info: { status, description: 'as it was' } };
  const payload = isReadable ? gzipSync(JSON.stringify(release)).toString('base64') : 'noise';
  const stored = record(RELEASE, revision, status, { namespace, driver, payload });
  const creationTimestamp = new Date(now - AGES[age] * 1000).toISOString().replace(/\.\d+Z$/, 'Z');
  return { ...stored, metadata: { ...stored.metadata, creationTimestamp } };
}
