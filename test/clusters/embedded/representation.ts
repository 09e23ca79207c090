/** How stored objects look on the wire: whole, metadata only, or as rows of a table. */
import type { StoredObject } from '../kubernetes-object.ts';
import type { Transform } from './media-types.ts';
import { apiVersionOf, internalGroup, type Resource } from './resources.ts';
import { notAcceptable } from './status.ts';
import { tableOf } from './tables.ts';

export interface ListMetadata {
  readonly resourceVersion: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
}

export interface Representation {
  /** @throws ApiError 406 when the client asked for a list */
  one(object: StoredObject): object;
  /** @throws ApiError 406 when the client asked for a single object */
  list(items: readonly StoredObject[], metadata: ListMetadata): object;
  /** An object that carries nothing but a resourceVersion, and the annotation that ends the initial events. */
  bookmark(revision: number, endsInitialEvents?: boolean): object;
}

/** `now` is the time that ages are counted to, in milliseconds since 1970. */
export function createRepresentation(
  resource: Resource,
  transform: Transform,
  query: URLSearchParams,
  now: () => number,
): Representation {
  switch (transform) {
    case 'none':
      return whole(resource);
    case 'Table':
      return table(resource, query.get('includeObject'), now);
    default:
      return metadataOnly(resource, transform);
  }
}

function whole(resource: Resource): Representation {
  const apiVersion = apiVersionOf(resource);
  return {
    one: (object) => object,
    list: (items, metadata) => ({
      kind: `${resource.kind}List`,
      apiVersion,
      metadata,
      // As the real server: the list says once what its items are.
      items: items.map(({ kind: _kind, apiVersion: _apiVersion, ...item }) => item),
    }),
    bookmark: (...what) => ({ kind: resource.kind, apiVersion, metadata: bookmarkMetadata(...what) }),
  };
}

function metadataOnly(resource: Resource, transform: Transform): Representation {
  const kind = { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1' };
  return {
    one(object) {
      if (transform !== 'PartialObjectMetadata') {
        throw notAcceptable(
          `you requested ${transform}, but the requested object is not a list (*${internalGroup(resource)}.${resource.kind})`,
        );
      }
      return { ...kind, metadata: object.metadata };
    },
    list(items, metadata) {
      if (transform !== 'PartialObjectMetadataList') {
        throw notAcceptable(
          `you requested ${transform}, but the requested object is a list (*${internalGroup(resource)}.${resource.kind}List)`,
        );
      }
      return {
        kind: 'PartialObjectMetadataList',
        apiVersion: 'meta.k8s.io/v1',
        metadata,
        // Seen on the real server, of this kind of list only: Go writes an empty slice that nobody made as null.
        items: items.length === 0 ? null : items.map((object) => ({ ...kind, metadata: object.metadata })),
      };
    },
    bookmark: (...what) => ({ ...kind, metadata: bookmarkMetadata(...what) }),
  };
}

function table(resource: Resource, includeObject: string | null, now: () => number): Representation {
  const rows = (items: readonly StoredObject[], metadata: ListMetadata) =>
    tableOf(resource, items, metadata, includeObject, now());
  return {
    one: (object) => rows([object], { resourceVersion: object.metadata.resourceVersion }),
    list: rows,
    bookmark: (revision) => rows([], { resourceVersion: String(revision) }),
  };
}

function bookmarkMetadata(revision: number, endsInitialEvents = false) {
  return {
    resourceVersion: String(revision),
    ...(endsInitialEvents && { annotations: { 'k8s.io/initial-events-end': 'true' } }),
  };
}
