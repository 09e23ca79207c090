/** Lists in pages. A continuation goes on behind the last key of the page before. */
import type { StoredObject } from '../kubernetes-object.ts';
import type { ListMetadata } from './representation.ts';
import { keyOf, type Resource } from './resources.ts';
import type { Predicate } from './selectors.ts';
import { badRequest, expired, failure } from './status.ts';
import { keyIn, type Store } from './store.ts';

export interface Page {
  readonly items: readonly StoredObject[];
  readonly metadata: ListMetadata;
}

export interface ListRequest {
  readonly resource: Resource;
  /** Undefined: all namespaces. */
  readonly namespace: string | undefined;
  readonly matches: Predicate<StoredObject>;
  readonly query: URLSearchParams;
}

/**
 * All pages are served from one snapshot, that of the first.
 * @throws ApiError 400, 410 or 504
 */
export function listPage(store: Store, { resource, namespace, matches, query }: ListRequest): Page {
  const from = parseContinue(query.get('continue'));
  checkVersion(store, query);
  const revision = from?.revision ?? exactRevision(query) ?? store.revision();
  const found = store.listAt(revision, keyOf(resource), namespace, from?.after);
  if (!found) throw from ? tooOldToContinue() : expired('The provided resource version is too old');
  const items = [...found].filter(matches);
  const limit = limitOf(query);
  const last = items[limit - 1];
  if (!last || items.length === limit) return { items, metadata: { resourceVersion: String(revision) } };
  const metadata = {
    resourceVersion: String(revision),
    continue: makeContinue(revision, keyIn(last.metadata.namespace, last.metadata.name)),
    // The real server counts keys, so it does not know how many of them a selector leaves.
    ...(!isSelective(query) && { remainingItemCount: items.length - limit }),
  };
  return { items: items.slice(0, limit), metadata };
}

/** As the real server: a list from its cache, which is what version 0 asks for, has no pages. */
function limitOf(query: URLSearchParams): number {
  if (query.get('resourceVersion') === '0') return Number.POSITIVE_INFINITY;
  return Number(query.get('limit') ?? 0) || Number.POSITIVE_INFINITY;
}

function isSelective(query: URLSearchParams): boolean {
  return Boolean(query.get('labelSelector') || query.get('fieldSelector'));
}

function exactRevision(query: URLSearchParams): number | undefined {
  return query.get('resourceVersionMatch') === 'Exact' ? Number(query.get('resourceVersion')) : undefined;
}

function makeContinue(revision: number, after: string): string {
  return Buffer.from(JSON.stringify({ revision, after })).toString('base64url');
}

function parseContinue(token: string | null): { revision: number; after: string } | undefined {
  if (!token) return undefined;
  try {
    return JSON.parse(Buffer.from(token, 'base64url').toString());
  } catch {
    throw badRequest('invalid continue token: continue key is not valid: illegal base64 data');
  }
}

function tooOldToContinue() {
  return expired(
    'The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.',
  );
}

/** What Go says of a version that is no number, or undefined. */
export function problemOfVersion(query: URLSearchParams): string | undefined {
  const given = query.get('resourceVersion') ?? '';
  if (/^\d*$/.test(given)) return undefined;
  return `resourceVersion: Invalid value: "${given}": strconv.ParseUint: parsing "${given}": invalid syntax`;
}

/** @throws ApiError 400 for what is no version, 504 for one that does not exist yet */
export function checkVersion(store: Store, query: URLSearchParams): void {
  const problem = problemOfVersion(query);
  if (problem) throw badRequest(`invalid resource version: ${problem}`);
  const given = query.get('resourceVersion') ?? '';
  const wanted = Number(given);
  if (wanted <= store.revision()) return;
  const why = 'Too large resource version';
  throw failure(504, 'Timeout', `Timeout: ${why}: ${wanted}, current: ${store.revision()}`, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: why }],
    retryAfterSeconds: 1,
  });
}
