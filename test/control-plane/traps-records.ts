/** Helm's records, read and written past Helm. */
import { gunzipSync, gzipSync } from 'node:zlib';
import type { ApiClient } from '../clusters/client.ts';
import type { StoredObject } from '../clusters/kubernetes-object.ts';

/** What is in a record; only what the traps are about. */
export interface Release {
  version: number;
  info: { status: string; [field: string]: unknown };
  /** The values of its user. */
  config?: Readonly<Record<string, unknown>>;
  [field: string]: unknown;
}

export interface Coding {
  /** As Helm does. Default: true. */
  readonly gzip?: boolean;
}

/** As `pkg/storage/driver/util.go` of Helm does it, and the API server on top for a Secret. */
export function readRelease({ kind, data }: StoredObject): Release {
  const { release } = data as { release: string };
  const helms = kind === 'ConfigMap' ? release : Buffer.from(release, 'base64').toString();
  return JSON.parse(gunzipSync(Buffer.from(helms, 'base64')).toString());
}

export function encodeRelease(kind: string, release: Release, { gzip = true }: Coding = {}): string {
  const json = Buffer.from(JSON.stringify(release));
  const helms = (gzip ? gzipSync(json) : json).toString('base64');
  return kind === 'ConfigMap' ? helms : Buffer.from(helms).toString('base64');
}

/** Changes the status inside a record and on its label, each if it is given. */
export async function writeStatus(
  admin: ApiClient,
  record: StoredObject,
  { inside, label }: { inside?: string; label?: string },
  coding?: Coding,
): Promise<void> {
  const release = readRelease(record);
  if (inside !== undefined) release.info.status = inside;
  const { metadata, kind } = record;
  await admin.replace(pathOf(record), {
    ...record,
    metadata: { ...metadata, labels: { ...metadata.labels, ...(label !== undefined && { status: label }) } },
    data: { release: encodeRelease(kind, release, coding) },
  });
}

/** Stores a record again, under another number. */
export async function copyRecord(admin: ApiClient, record: StoredObject, number: number): Promise<void> {
  const { metadata, kind, type } = record;
  const [, stem = ''] = /^(.*)\.v\d+$/.exec(metadata.name) ?? [];
  const release = { ...readRelease(record), version: number };
  await admin.create(collectionOf(record), {
    kind,
    type,
    metadata: { name: `${stem}.v${number}`, labels: { ...metadata.labels, version: String(number) } },
    data: { release: encodeRelease(kind, release) },
  });
}

export function pathOf(record: StoredObject): string {
  return `${collectionOf(record)}/${record.metadata.name}`;
}

function collectionOf({ kind, metadata: { namespace } }: StoredObject): string {
  return `/api/v1/namespaces/${namespace}/${kind === 'ConfigMap' ? 'configmaps' : 'secrets'}`;
}
