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
 * Unlike the real server, which serves all pages from one snapshot, later pages show the state at the time
 * they are asked for, under the version of the first; a watch from that version brings the same result.
 * @throws ApiError 400, 410 or 504
 */
export function listPage(store: Store, { resource, namespace, matches, query }: ListRequest): Page {
  const from = parseContinue(query.get('continue'));
  checkVersion(store, from?.revision ?? 0, query);
  const limit = Number(query.get('limit') ?? 0) || Number.POSITIVE_INFINITY;
  const items: StoredObject[] = [];
  let next: string | undefined;
  for (const object of store.list(keyOf(resource), namespace, from?.after)) {
    if (!matches(object)) continue;
    const last = items.at(-1);
    if (last && items.length === limit) {
      next = keyIn(last.metadata.namespace, last.metadata.name);
      break;
    }
    items.push(object);
  }
  const revision = from?.revision ?? store.revision();
  const metadata = {
    resourceVersion: String(revision),
    ...(next && { continue: makeContinue(revision, next) }),
  };
  return { items, metadata };
}

function makeContinue(revision: number, after: string): string {
  return Buffer.from(JSON.stringify({ revision, after })).toString('base64url');
}

function parseContinue(token: string | null): { revision: number; after: string } | undefined {
  if (!token) return undefined;
  try {
    return JSON.parse(Buffer.from(token, 'base64url').toString());
  } catch {
    throw badRequest('continue key is not valid');
  }
}

function checkVersion(store: Store, continued: number, query: URLSearchParams): void {
  if (continued > 0 && continued < store.compacted()) {
    throw expired(
      'The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.',
    );
  }
  const wanted = Number(query.get('resourceVersion') ?? 0);
  if (wanted > store.revision()) {
    const why = `Too large resource version: ${wanted}, current: ${store.revision()}`;
    throw failure(504, 'Timeout', why, {
      causes: [{ reason: 'ResourceVersionTooLarge', message: why }],
      retryAfterSeconds: 1,
    });
  }
}
