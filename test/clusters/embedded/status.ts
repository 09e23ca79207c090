/**
 * The errors of the API, each with the code, reason and words of the real API server, because Helm and
 * kubectl print them.
 * @see https://github.com/kubernetes/apimachinery/blob/master/pkg/api/errors/errors.go
 */

export interface StatusDetails {
  name?: string;
  group?: string;
  kind?: string;
  uid?: string;
  causes?: { reason?: string; message?: string; field?: string }[];
  retryAfterSeconds?: number;
}

export interface Status {
  kind: 'Status';
  apiVersion: 'v1';
  metadata: { continue?: string };
  status: string;
  message?: string;
  reason?: string;
  details?: StatusDetails;
  code: number;
}

/** Thrown anywhere below a request; the server answers with its status. */
export class ApiError extends Error {
  readonly status: Status;

  constructor(status: Status) {
    super(status.message);
    this.status = status;
  }
}

/** What an error is about: a resource by its plural name, with its group. */
export interface Subject {
  readonly plural: string;
  readonly group: string;
}

export function failure(code: number, reason: string, message: string, details?: StatusDetails): ApiError {
  return new ApiError({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason,
    ...(details && { details }),
    code,
  });
}

/** `secrets`, or `jobs.batch`. */
export function qualified({ plural, group }: Subject): string {
  return group === '' ? plural : `${plural}.${group}`;
}

export function detailsOf(subject: Subject, name: string): StatusDetails {
  return { name, ...(subject.group !== '' && { group: subject.group }), kind: subject.plural };
}

export const badRequest = (message: string) => failure(400, 'BadRequest', message);

export const unauthorized = () => failure(401, 'Unauthorized', 'Unauthorized');

export const forbidden = (subject: Subject, name: string, why: string, causes?: StatusDetails['causes']) =>
  failure(403, 'Forbidden', `${qualified(subject)}${name === '' ? '' : ` "${name}"`} is forbidden: ${why}`, {
    ...detailsOf(subject, name),
    ...(causes && { causes }),
  });

export const notFound = (subject: Subject, name: string) =>
  failure(404, 'NotFound', `${qualified(subject)} "${name}" not found`, detailsOf(subject, name));

export function isNotFound(error: unknown): boolean {
  return error instanceof ApiError && error.status.code === 404;
}

/** What clients print as "the server could not find the requested resource". */
export const unknownPath = (method: string, path: string) =>
  failure(404, 'NotFound', `the embedded cluster does not know ${method} ${path}`, {});

export const methodNotAllowed = (method: string, path: string) =>
  failure(405, 'MethodNotAllowed', `the embedded cluster does not support ${method} on ${path}`, {});

export const notAcceptable = (message: string) => failure(406, 'NotAcceptable', message);

export const alreadyExists = (subject: Subject, name: string) =>
  failure(409, 'AlreadyExists', `${qualified(subject)} "${name}" already exists`, detailsOf(subject, name));

export const conflict = (subject: Subject, name: string, why: string) =>
  failure(
    409,
    'Conflict',
    `Operation cannot be fulfilled on ${qualified(subject)} "${name}": ${why}`,
    detailsOf(subject, name),
  );

export const expired = (message: string) => failure(410, 'Expired', message);

export const tooLarge = (limit: number) =>
  failure(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${limit}`);

export const unsupportedMediaType = (accepted: readonly string[]) =>
  failure(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`,
  );

/** `problem` is a field, a colon, and what is wrong with it. */
export const invalid = (kind: string, group: string, name: string, field: string, problem: string) =>
  failure(422, 'Invalid', `${kind}${group && `.${group}`} "${name}" is invalid: ${field}: ${problem}`, {
    name,
    ...(group !== '' && { group }),
    kind,
    causes: [{ message: problem, field }],
  });

export const internalError = (message: string) =>
  failure(500, 'InternalError', `Internal error occurred: ${message}`, { causes: [{ message }] });
