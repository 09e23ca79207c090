/** The operations of the REST interface, as Fastify and the OpenAPI document take them. */
import { STATUS_CODES } from 'node:http';
import type { TSchema } from 'typebox';
import {
  ClearedSchema,
  ClearQuery,
  LocksSchema,
  NamespaceParams,
  NoQuery,
  Ref,
  ReleaseParams,
  WaitLineSchema,
  WaitQuery,
} from './schemas.ts';

interface Operation {
  readonly summary: string;
  readonly description?: string;
  readonly params?: TSchema;
  readonly query: TSchema;
  /** What is answered when all goes well, by status. */
  readonly success: object;
  /** What may go wrong beside what may always. */
  readonly problems?: readonly number[];
}

/** What may go wrong with every request. */
const COMMON_PROBLEMS = [400, 401, 403, 429, 502, 503];

function describe({ summary, description, params, query, success, problems = [] }: Operation) {
  const errors = [...COMMON_PROBLEMS, ...problems].map((status) => [
    status,
    {
      description: STATUS_CODES[status],
      content: { 'application/problem+json': { schema: Ref('Problem') } },
    },
  ]);
  return {
    summary,
    ...(description !== undefined && { description }),
    tags: ['locks'],
    security: [{ token: [] }],
    ...(params && { params }),
    querystring: query,
    response: { ...success, ...Object.fromEntries(errors) },
  };
}

function ok(description: string, schema: TSchema, type = 'application/json'): object {
  return { 200: { description, content: { [type]: { schema } } } };
}

export const LIST_ALL = describe({
  summary: 'List the locks of all namespaces',
  query: NoQuery,
  success: ok('By namespace and release.', LocksSchema),
});

export const LIST = describe({
  summary: 'List the locks of a namespace',
  params: NamespaceParams,
  query: NoQuery,
  success: ok('By release.', LocksSchema),
});

export const GET = describe({
  summary: 'Show the lock of a release',
  params: ReleaseParams,
  query: NoQuery,
  success: ok(
    'The header `lockkeeper-record-uid` has what `uid` takes when the lock is cleared.',
    Ref('Lock'),
  ),
  problems: [404],
});

export const WAIT = describe({
  summary: 'Wait until a release is free',
  description:
    'One answer at the end; or, with `Accept: application/x-ndjson`, 200 at once, a line of JSON at least every 15 seconds, so ' +
    'that no proxy takes the connection for dead, and the outcome in the last line: `{"status":204}` or a problem.',
  params: ReleaseParams,
  query: WaitQuery,
  success: {
    ...ok('With `Accept: application/x-ndjson`.', WaitLineSchema, 'application/x-ndjson'),
    204: { type: 'null', description: 'The release is free.' },
  },
  problems: [409],
});

export const CLEAR = describe({
  summary: 'Clear the lock of a release',
  description:
    'Clears a stale lock, and leaves a live one alone (409) unless it is forced. Whatever happens to the record meanwhile ' +
    'makes it fail with 409, and nothing is lost.',
  params: ReleaseParams,
  query: ClearQuery,
  success: ok('The lock as it was, and what works now.', ClearedSchema),
  problems: [404, 409, 422],
});
