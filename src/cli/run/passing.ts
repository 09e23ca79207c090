/** What the proxy makes of a request and its answer: which headers go on, and which requests make a record. */
import type { IncomingMessage } from 'node:http';
import { type Driver, type RecordMetadata, type Release, readRevision } from '../../helm/release.ts';

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** RFC 9110, §7.6.1: of one connection, and no business of the next one. */
const OF_ONE_CONNECTION = [
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

const RECORDS = /^\/api\/v1\/namespaces\/[^/]+\/(secrets|configmaps)(\?|$)/;

export function changes({ method }: Pick<IncomingMessage, 'method'>): boolean {
  return method !== 'GET' && method !== 'HEAD';
}

/** A record, or another Secret or ConfigMap: its name tells. */
export function createsRecord({ method, url = '' }: Pick<IncomingMessage, 'method' | 'url'>): boolean {
  return method === 'POST' && RECORDS.test(url) && !url.includes('dryRun=');
}

/** To the API server: with our log-in in place of Helm's. */
export function headersFor(
  request: Pick<IncomingMessage, 'method' | 'url' | 'headers'>,
  login: Readonly<Record<string, string>>,
): Record<string, string | string[]> {
  const passed = without(request.headers, [...OF_ONE_CONNECTION, 'authorization', 'host']);
  if (!createsRecord(request)) return { ...login, ...passed };
  // client-go takes JSON as well as the protobuf that it asks for, and we can read JSON.
  return { ...login, ...without(passed, ['accept-encoding']), accept: 'application/json' };
}

/** To Helm. */
export function headersFrom(headers: Headers): Record<string, string | string[]> {
  return without(headers, OF_ONE_CONNECTION);
}

function without(headers: Headers, names: readonly string[]): Record<string, string | string[]> {
  const kept = Object.entries(headers).filter(
    ([name, value]) => value !== undefined && !names.includes(name),
  );
  return Object.fromEntries(kept) as Record<string, string | string[]>;
}

/** What was made: a record of Helm's, as far as its name is one. */
export interface Made {
  readonly uid: string;
  readonly release: Release;
}

/** The record that was created, or the message of the Status that says why not. */
export function readAnswer(
  url: string,
  body: Buffer,
): { readonly made?: Made | undefined; readonly message?: string | undefined } {
  try {
    const { metadata = {}, message } = JSON.parse(body.toString()) as {
      metadata?: RecordMetadata;
      message?: string;
    };
    const driver: Driver = /\/configmaps(\?|$)/.test(url) ? 'configmaps' : 'secrets';
    const revision = readRevision(driver, metadata);
    return { message, made: revision && { uid: revision.uid, release: revision.release } };
  } catch {
    return {}; // of something on the way that is no API server
  }
}
