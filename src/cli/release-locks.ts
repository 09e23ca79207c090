/** ReleaseLocks as the command line reads and deletes them: what Lockkeeper knows of a lock, beyond Helm's record. */
import type { Holder, Lock } from '../gate/lock.ts';
import { FORCE, isMarked } from '../gate/marks.ts';
import type { Driver } from '../helm/release.ts';
import type { ReleaseLockSpec, ReleaseLockStatus } from '../kubernetes/release-locks.ts';
import { orNone, type Requests } from '../kubernetes/requests.ts';

export interface ReleaseLock {
  readonly metadata: {
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
    readonly resourceVersion?: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: ReleaseLockSpec & { readonly driver: Driver };
  /** Left out until Lockkeeper has judged it. A newer Lockkeeper may have verdicts that are not known here. */
  readonly status?: ReleaseLockStatus;
}

const GROUP_VERSION = '/apis/lockkeeper.dev/v1alpha1';

/** Of those in a namespace, or in all; of one release, if its name is given. */
export function releaseLocksPath(namespace: string | undefined, name?: string): string {
  const within = namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`;
  const query =
    name === undefined ? '' : `?${new URLSearchParams({ fieldSelector: `metadata.name=${name}` })}`;
  return `${GROUP_VERSION}${within}/releaselocks${query}`;
}

/** Undefined where nobody serves them. */
export async function readReleaseLocks(
  { read }: Pick<Requests, 'read'>,
  path: string,
  signal: AbortSignal,
): Promise<readonly ReleaseLock[] | undefined> {
  const get = <T>(from: string) => orNone(read<T>(from, { accept: 'application/json' }, signal));
  try {
    return (await get<{ items: readonly ReleaseLock[] }>(path))?.items;
  } catch (error) {
    if ((error as { status?: unknown }).status !== 403) throw error;
    // An API server refuses before it looks whether there is such a resource. Discovery is open to all who have a login.
    const discovered = await get(GROUP_VERSION).catch(() => 'hidden');
    if (discovered === undefined) return undefined;
    throw error;
  }
}

/** As a person marks it before they delete it. An API server refuses it if this is another object by now. */
export async function annotate(
  { apply }: Pick<Requests, 'apply'>,
  { metadata: { namespace, name, uid } }: ReleaseLock,
  annotations: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<void> {
  const metadata = { name, namespace, uid, annotations };
  const marked = { apiVersion: 'lockkeeper.dev/v1alpha1', kind: 'ReleaseLock', metadata };
  await apply(`${pathOf(namespace, name)}?fieldManager=lockkeeper-cli&force=true`, marked, signal);
}

export interface Preconditions {
  readonly uid: string;
  readonly resourceVersion?: string;
}

/** What `kubectl delete rlock` does, but for this very lock only, or for this very version of it. */
export async function deleteReleaseLock(
  { write }: Pick<Requests, 'write'>,
  { metadata: { namespace, name } }: ReleaseLock,
  preconditions: Preconditions,
  signal: AbortSignal,
): Promise<void> {
  const options = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions };
  await write('DELETE', pathOf(namespace, name), options, signal);
}

function pathOf(namespace: string, name: string): string {
  return `${releaseLocksPath(namespace)}/${encodeURIComponent(name)}`;
}

/** Whether somebody marked it, so that it is cleared although it is live. */
export function isForced({ metadata: { annotations = {} } }: ReleaseLock): boolean {
  return isMarked(annotations, FORCE);
}

/** The lock that it is about, as its record would tell. */
export function lockIn({ metadata: { namespace, name }, spec, status }: ReleaseLock): Lock {
  const createdAt = Date.parse(spec.since);
  const { driver, revision: number, recordUID: uid } = spec;
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
    holder: holderIn(spec),
  };
}

function holderIn({ holder }: ReleaseLockSpec): Holder | undefined {
  if (holder === undefined) return undefined;
  const { pod, neverAutoClear, ...rest } = holder;
  return { ...rest, pod, ...(neverAutoClear === true && { neverAutoClear }) };
}
