/**
 * The errors of the API, each with the code, reason and words of the real API server, because Helm and
 * kubectl print them.
 * @see https://github.com/kubernetes/apimachinery/blob/master/pkg/api/errors/errors.go
 */

export interface Cause {
  reason?: string;
  message?: string;
  field?: string;
}

export interface StatusDetails {
  name?: string;
  group?: string;
  kind?: string;
  uid?: string;
  causes?: Cause[];
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

/** `reason` is empty for what the real server passes on without a thought, such as a number that is none. */
export function failure(code: number, reason: string, message: string, details?: StatusDetails): ApiError {
  return new ApiError({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    ...(reason !== '' && { reason }),
    ...(details && { details }),
    code,
  });
}

/** `secrets`, or `jobs.batch`. */
export function qualified({ plural, group }: Subject): string {
  return group === '' ? plural : `${plural}.${group}`;
}

export function detailsOf(subject: Subject, name: string): StatusDetails {
  return {
    ...(name !== '' && { name }),
    ...(subject.group !== '' && { group: subject.group }),
    kind: subject.plural,
  };
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

export const alreadyExists = (subject: Subject, name: string, isBeingDeleted = false) =>
  failure(
    409,
    'AlreadyExists',
    `${isBeingDeleted ? 'object is being deleted: ' : ''}${qualified(subject)} "${name}" already exists`,
    detailsOf(subject, name),
  );

export const conflict = (subject: Subject, name: string, why: string) =>
  failure(
    409,
    'Conflict',
    `Operation cannot be fulfilled on ${qualified(subject)} "${name}": ${why}`,
    detailsOf(subject, name),
  );

/** Of a server-side apply that is not forced. */
export function applyConflict(conflicts: readonly { readonly with: string; readonly field: string }[]) {
  const by = Map.groupBy(conflicts, (conflict) => conflict.with);
  const parts = [...by].map(([manager, fields]) =>
    fields.length === 1
      ? `conflict with ${manager}: ${fields[0]?.field}`
      : `conflicts with ${manager}:${fields.map(({ field }) => `\n- ${field}`).join('')}`,
  );
  const count = conflicts.length === 1 ? '1 conflict' : `${conflicts.length} conflicts`;
  const text = parts.join(parts.length === 1 ? '' : '\n');
  return failure(409, 'Conflict', `Apply failed with ${count}: ${text}`, {
    causes: conflicts.map((conflict) => ({
      reason: 'FieldManagerConflict',
      message: `conflict with ${conflict.with}`,
      field: conflict.field,
    })),
  });
}

export const expired = (message: string) => failure(410, 'Expired', message);

export const tooLarge = (limit: number) =>
  failure(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${limit}`);

export const unsupportedMediaType = (accepted: readonly string[]) =>
  failure(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`,
  );

/** What the real server says before it looks at a patch. */
export const unsupportedPatch = () => failure(415, 'UnsupportedMediaType', '415: Unsupported Media Type', {});

/** `problem` is what is wrong with the field, in words that begin as those of the API do. */
export const invalid = (kind: string, group: string, name: string, field: string, problem: string) =>
  failure(422, 'Invalid', `${kind}${group && `.${group}`} "${name}" is invalid: ${field}: ${problem}`, {
    ...(name !== '' && { name }),
    ...(group !== '' && { group }),
    ...(kind !== '' && { kind }),
    causes: [{ reason: reasonOf(problem), message: problem, field }],
  });

const PROBLEMS = {
  'Required value': 'FieldValueRequired',
  Forbidden: 'FieldValueForbidden',
  'Too long': 'FieldValueTooLong',
  'Unsupported value': 'FieldValueNotSupported',
} as const;

function reasonOf(problem: string): string {
  const known = Object.entries(PROBLEMS).find(([words]) => problem.startsWith(words));
  return known?.[1] ?? 'FieldValueInvalid';
}

export const internalError = (message: string) =>
  failure(500, 'InternalError', `Internal error occurred: ${message}`, { causes: [{ message }] });
