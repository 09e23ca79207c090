/** How clients other than the deploying Helm write a record: Flux, helm-mapkubeapis, kubectl, and tools that restore. */
import type { Driver } from '../../src/helm/release.ts';
import { decodePayload, encodePayload } from '../adversary/payload.ts';
import type { KubernetesObject, StoredObject } from '../clusters/kubernetes-object.ts';
import type { HelmDriver } from '../e2e/world.ts';

/** What one write makes of a record. */
export interface Change {
  /** In the label. The empty string takes the label away. */
  readonly label?: string;
  /** In the payload, which is what Helm reads. */
  readonly payload?: string;
  /** More labels; null takes one away. */
  readonly labels?: Readonly<Record<string, string | null>>;
}

/** One request about a record that is stored. */
export interface RecordRequest {
  readonly method: string;
  readonly query: string;
  readonly body: unknown;
  readonly contentType: string;
}

/** In which ways a record can be written. */
export const WAYS = [
  'PUT',
  'merge patch',
  'strategic merge patch',
  'JSON patch',
  'server-side apply',
] as const;
export type Way = (typeof WAYS)[number];

const CONTENT_TYPES: Readonly<Record<Way, string>> = {
  PUT: 'application/json',
  'merge patch': 'application/merge-patch+json',
  'strategic merge patch': 'application/strategic-merge-patch+json',
  'JSON patch': 'application/json-patch+json',
  'server-side apply': 'application/apply-patch+yaml',
};

export function recordPath(driver: HelmDriver, release: string, revision: number): string {
  return `/api/v1/namespaces/prod/${driver}s/${recordNameOf(release, revision)}`;
}

function recordNameOf(release: string, revision: number): string {
  return `sh.helm.release.v1.${release}.v${revision}`;
}

/** The request that makes this change. Without a resourceVersion, as Helm and Flux send it: it overwrites what is stored. */
export function requestFor(stored: StoredObject, change: Change, way: Way): RecordRequest {
  const contentType = CONTENT_TYPES[way];
  const query = way === 'server-side apply' ? '?fieldManager=somebody&force=true' : '';
  if (way === 'PUT') return { method: 'PUT', query, body: changed(stored, change), contentType };
  const patch = patchFor(stored, change);
  const { apiVersion, kind } = stored;
  switch (way) {
    case 'JSON patch':
      return { method: 'PATCH', query, body: operationsFor(patch), contentType };
    case 'server-side apply':
      return { method: 'PATCH', query, body: JSON.stringify({ apiVersion, kind, ...patch }), contentType };
    default:
      return { method: 'PATCH', query, body: patch, contentType };
  }
}

/** The record of the next revision, as a restore or a migration creates it; of the same content but for its status. */
export function nextRecord(stored: StoredObject, status: string): KubernetesObject {
  const { name = '', version } = stored.metadata.labels ?? {};
  const revision = Number(version) + 1;
  const object = changed(stored, {
    label: status,
    payload: status,
    labels: { version: String(revision) },
  }) as KubernetesObject;
  return { ...object, metadata: { ...object.metadata, name: recordNameOf(name, revision) } };
}

type Labels = Readonly<Record<string, string | null>>;

interface Patch {
  readonly metadata: { readonly labels: Labels };
  readonly data?: { readonly release: string };
}

function patchFor(stored: StoredObject, { label, payload, labels }: Change): Patch {
  const status = label === undefined ? {} : { status: label === '' ? null : label };
  const release = payload === undefined ? undefined : payloadWith(stored, payload);
  return {
    metadata: { labels: { ...labels, ...status } },
    ...(release !== undefined && { data: { release } }),
  };
}

function changed(stored: StoredObject, change: Change): object {
  const { name, namespace, labels = {} } = stored.metadata;
  const patch = patchFor(stored, change);
  const all = Object.entries({ ...labels, ...patch.metadata.labels });
  return {
    ...stored,
    metadata: { name, namespace, labels: Object.fromEntries(all.filter(([, value]) => value !== null)) },
    data: { ...(stored.data as object), ...patch.data },
  };
}

function operationsFor({ metadata: { labels }, data }: Patch): object[] {
  const ofLabels = Object.entries(labels).map(([name, value]) => {
    const path = `/metadata/labels/${name}`;
    return value === null ? { op: 'remove', path } : { op: 'replace', path, value };
  });
  return data === undefined
    ? ofLabels
    : [...ofLabels, { op: 'replace', path: '/data/release', value: data.release }];
}

function payloadWith({ kind, data }: StoredObject, status: string): string {
  const driver: Driver = kind === 'Secret' ? 'secrets' : 'configmaps';
  const { release } = data as { release: string };
  const json = Buffer.from(decodePayload(driver, release), 'latin1').toString();
  const { info, ...rest } = JSON.parse(json);
  const description = `made ${status} by a test`;
  return encodePayload(driver, JSON.stringify({ ...rest, info: { ...info, status, description } }));
}
