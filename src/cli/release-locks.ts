/** ReleaseLocks as the command line reads them: what Lockkeeper knows of a lock, beyond Helm's record. */
import type { Judgement, Lock, Pod } from '../gate/lock.ts';
import type { Driver } from '../helm/release.ts';
import { orNone, type Requests } from '../kubernetes/requests.ts';

export interface ReleaseLock {
  readonly metadata: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly spec: {
    readonly driver: Driver;
    readonly revision: number;
    readonly status: string;
    readonly recordUID: string;
    readonly since: string;
    readonly holder?: { readonly user: string; readonly pod?: Pod };
  };
  /** Left out until Lockkeeper has judged it. */
  readonly status?: {
    readonly verdict?: Judgement['verdict'];
    readonly reason?: string;
    readonly lastActivity?: string;
    readonly waiting?: number;
  };
}

/** On a ReleaseLock: it may be deleted while it is live, by those who may delete `releaselocks/force`. */
const FORCE = 'lockkeeper.dev/force';

/** Of those in a namespace, or in all; of one release, if its name is given. */
export function releaseLocksPath(namespace: string | undefined, name?: string): string {
  const within = namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`;
  const query =
    name === undefined ? '' : `?${new URLSearchParams({ fieldSelector: `metadata.name=${name}` })}`;
  return `/apis/lockkeeper.dev/v1alpha1${within}/releaselocks${query}`;
}

/** Undefined where nobody serves them. */
export async function readReleaseLocks(
  { read }: Pick<Requests, 'read'>,
  path: string,
  signal: AbortSignal,
): Promise<readonly ReleaseLock[] | undefined> {
  const list = read<{ items: readonly ReleaseLock[] }>(path, { accept: 'application/json' }, signal);
  return (await orNone(list))?.items;
}

/** What `kubectl delete rlock` does, but for this very lock only. */
export async function deleteReleaseLock(
  { apply, write }: Pick<Requests, 'apply' | 'write'>,
  { metadata: { namespace, name, uid } }: ReleaseLock,
  force: boolean,
  signal: AbortSignal,
): Promise<void> {
  const path = `${releaseLocksPath(namespace)}/${encodeURIComponent(name)}`;
  if (force) {
    const metadata = { name, namespace, uid, annotations: { [FORCE]: 'true' } };
    const marked = { apiVersion: 'lockkeeper.dev/v1alpha1', kind: 'ReleaseLock', metadata };
    await apply(`${path}?fieldManager=lockkeeper-cli&force=true`, marked, signal);
  }
  await write('DELETE', path, { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid } }, signal);
}

/** The lock that it is about, as its record would tell. */
export function lockIn({ metadata: { namespace, name }, spec, status }: ReleaseLock): Lock {
  const createdAt = Date.parse(spec.since);
  const { driver, revision: number, recordUID: uid, holder } = spec;
  const lastWriteAt = status?.lastActivity ? Date.parse(status.lastActivity) : createdAt;
  return {
    revision: {
      release: { driver, namespace, name },
      number,
      status: spec.status,
      uid,
      resourceVersion: '',
      createdAt,
      lastWriteAt,
    },
    holder: holder && { user: holder.user, pod: holder.pod },
  };
}
