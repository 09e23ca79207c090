/** DeleteOptions: from the body when there is one, and only else from the query, as in the real server. */
import { isJsonObject, type JsonObject } from '../kubernetes-object.ts';
import type { Preconditions } from './preconditions.ts';
import { badRequest } from './status.ts';

/** What of the options matters here. */
export interface DeleteOptions {
  readonly preconditions: Preconditions;
  readonly dryRun: boolean;
  /** As a review shows them. */
  readonly shown: JsonObject;
}

/** @throws ApiError 400 when the body is something else */
export function readDeleteOptions(body: unknown, query: URLSearchParams): DeleteOptions {
  const shown = body === undefined ? fromQuery(query) : fromBody(body);
  const { preconditions, dryRun } = shown;
  return {
    preconditions: (preconditions ?? {}) as Preconditions,
    dryRun: Array.isArray(dryRun) && dryRun.includes('All'),
    shown,
  };
}

function fromBody(body: unknown): JsonObject {
  if (!isJsonObject(body)) throw badRequest('the body is not an object');
  const { kind = 'DeleteOptions', apiVersion: _apiVersion, ...given } = body;
  if (kind !== 'DeleteOptions') throw badRequest('decoded object cannot be converted to DeleteOptions');
  return given;
}

/** Preconditions cannot be said in a query. */
function fromQuery(query: URLSearchParams): JsonObject {
  const seconds = query.get('gracePeriodSeconds');
  const policy = query.get('propagationPolicy');
  return {
    ...(seconds !== null && { gracePeriodSeconds: Number(seconds) }),
    ...(policy !== null && { propagationPolicy: policy }),
    ...(query.has('dryRun') && { dryRun: query.getAll('dryRun') }),
  };
}
