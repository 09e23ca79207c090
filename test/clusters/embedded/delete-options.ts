/** DeleteOptions: from the body when there is one, and only else from the query, as in the real server. */
import { isJsonObject, type JsonObject } from '../kubernetes-object.ts';
import type { Preconditions } from './preconditions.ts';
import { badRequest, invalid } from './status.ts';

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
    dryRun: isDryRun('DeleteOptions', (dryRun ?? []) as readonly string[]),
    shown,
  };
}

/** @throws ApiError 422 when it is something else than `All` */
export function isDryRun(kind: string, values: readonly string[]): boolean {
  if (values.some((value) => value !== 'All')) {
    const problem = `Unsupported value: ${JSON.stringify(values)}: supported values: "All"`;
    throw invalid(kind, 'meta.k8s.io', '', 'dryRun', problem);
  }
  return values.length > 0;
}

function fromBody(body: unknown): JsonObject {
  if (!isJsonObject(body)) {
    throw badRequest("couldn't get version/kind; json parse error: json: cannot unmarshal what is no object");
  }
  const { kind = 'DeleteOptions', apiVersion = 'meta.k8s.io/v1', ...given } = body;
  if (kind !== 'DeleteOptions') {
    throw badRequest(`no kind "${kind}" is registered for version "${apiVersion}" in scheme`);
  }
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
