/**
 * The wire format of `admission.k8s.io/v1`: a review comes in, is checked and reduced to the few facts that
 * the gate decides on, and an answer goes out. Nothing outside this file copies a review's uid.
 */
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import type { TLocalizedValidationError } from 'typebox/error';
import type { Driver } from '../helm/release.ts';
import type { Client } from './lock.ts';

const Nullable = <T extends Type.TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]));

/** What every review has. */
const EnvelopeSchema = Type.Object({
  apiVersion: Type.Literal('admission.k8s.io/v1'),
  kind: Type.Literal('AdmissionReview'),
  request: Type.Object({
    uid: Type.String({ minLength: 1 }),
    operation: Type.String(),
    resource: Type.Object({ group: Type.String(), version: Type.String(), resource: Type.String() }),
  }),
});

const RecordSchema = Type.Object({
  type: Nullable(Type.String()),
  metadata: Nullable(
    Type.Object({
      name: Nullable(Type.String()),
      uid: Nullable(Type.String()),
      labels: Nullable(Type.Record(Type.String(), Type.String())),
      annotations: Nullable(Type.Record(Type.String(), Type.String())),
    }),
  ),
  data: Type.Optional(Type.Unknown()),
});

/** What is read of a review of a Secret or a ConfigMap; Go writes null for what is empty. */
const RecordRequestSchema = Type.Object({
  namespace: Nullable(Type.String()),
  name: Nullable(Type.String()),
  dryRun: Nullable(Type.Boolean()),
  userInfo: Type.Object({
    username: Nullable(Type.String()),
    extra: Nullable(Type.Record(Type.String(), Type.Union([Type.Array(Type.String()), Type.Null()]))),
  }),
  object: Nullable(RecordSchema),
  oldObject: Nullable(RecordSchema),
});

const envelope = Compile(EnvelopeSchema);
const recordRequest = Compile(RecordRequestSchema);

type Envelope = Static<typeof EnvelopeSchema>;
type RecordRequest = Static<typeof RecordRequestSchema>;

/** What the gate may know of a request. The payload is behind a function, so that no log line can show it. */
export interface Review {
  readonly operation: string;
  /** Undefined when the object is neither a Secret nor a ConfigMap. */
  readonly driver: Driver | undefined;
  readonly namespace: string;
  readonly name: string;
  /** `type` of the object; only Secrets have one. */
  readonly type: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** The uid of the object; for a creation, the one that it will have once it is stored. */
  readonly objectUid: string;
  readonly dryRun: boolean;
  readonly client: Client;
  /** `data.release`: Helm's encoded record, or the empty string. */
  readonly payload: () => string;
}

/** A body is a review, or is not; a problem with a uid can still be answered as a review. */
export type ParsedBody =
  | { readonly uid: string; readonly review: Review }
  | { readonly uid: string | undefined; readonly problem: string };

/** Checks a request's body. `problem` says in words where the body departs from an AdmissionReview. */
export function parseAdmissionReview(body: unknown): ParsedBody {
  if (!envelope.Check(body)) return { uid: uidOf(body), problem: problemIn('', envelope.Errors(body)) };
  const { request } = body;
  const driver = driverOf(request.resource);
  if (driver === undefined) {
    return { uid: request.uid, review: toReview(request.operation, undefined, { userInfo: {} }) };
  }
  return recordRequest.Check(request)
    ? { uid: request.uid, review: toReview(request.operation, driver, request) }
    : { uid: request.uid, problem: problemIn('request.', recordRequest.Errors(request)) };
}

function problemIn(prefix: string, errors: readonly TLocalizedValidationError[]): string {
  // Of the branches that a value may take, the longest path is the one that it tried to be.
  const deepest = errors.reduce((one, other) =>
    other.instancePath.length > one.instancePath.length ? other : one,
  );
  const path = `${prefix}${deepest.instancePath.slice(1).replaceAll('/', '.')}`.replace(/\.$/, '');
  const must =
    deepest.keyword === 'const' ? `must be ${JSON.stringify(deepest.params.allowedValue)}` : deepest.message;
  return `not an AdmissionReview of admission.k8s.io/v1: ${path || 'the body'} ${must}`;
}

function driverOf({ group, resource }: Envelope['request']['resource']): Driver | undefined {
  return group === '' && (resource === 'secrets' || resource === 'configmaps') ? resource : undefined;
}

function toReview(operation: string, driver: Driver | undefined, request: RecordRequest): Review {
  // A deletion shows what is to be deleted.
  const object = (operation === 'DELETE' ? request.oldObject : request.object) ?? {};
  return {
    operation,
    driver,
    namespace: request.namespace ?? '',
    // With generateName the request has no name yet, but the object has.
    name: object.metadata?.name || request.name || '',
    type: object.type ?? undefined,
    labels: object.metadata?.labels ?? {},
    annotations: object.metadata?.annotations ?? {},
    objectUid: object.metadata?.uid ?? '',
    dryRun: request.dryRun ?? false,
    client: toClient(request.userInfo),
    payload: () => payloadOf(object.data),
  };
}

/** The keys under which the API server says which pod a token is bound to (Kubernetes 1.22 and later). */
const POD_NAME = 'authentication.kubernetes.io/pod-name';
const POD_UID = 'authentication.kubernetes.io/pod-uid';

function toClient({ username, extra }: RecordRequest['userInfo']): Client {
  const user = username || 'an unnamed user';
  const [name] = extra?.[POD_NAME] ?? [];
  const [uid] = extra?.[POD_UID] ?? [];
  // A token is bound to a pod of its service account's own namespace.
  const namespace = /^system:serviceaccount:([^:]+):/.exec(user)?.[1];
  const pod = name && uid && namespace ? { namespace, name, uid } : undefined;
  return { user, pod };
}

function payloadOf(data: unknown): string {
  const release = data !== null && typeof data === 'object' && 'release' in data ? data.release : '';
  return typeof release === 'string' ? release : '';
}

function uidOf(body: unknown): string | undefined {
  const request = body !== null && typeof body === 'object' && 'request' in body ? body.request : undefined;
  const uid = request !== null && typeof request === 'object' && 'uid' in request ? request.uid : undefined;
  return typeof uid === 'string' && uid !== '' ? uid : undefined;
}

/** What the gate answers. 400, 409 and 429 are shown to the client as the HTTP status of its own request. */
export type Verdict =
  | { readonly allowed: true; readonly warnings: readonly string[] }
  | { readonly allowed: false; readonly denial: Denial };

export type Denial =
  | { readonly code: 400; readonly message: string }
  | { readonly code: 409; readonly message: string }
  | { readonly code: 429; readonly message: string; readonly retryAfterSeconds: number };

/** The `reason` that Kubernetes' own clients expect beside each code (apimachinery's StatusReason). */
const REASONS = { 400: 'BadRequest', 409: 'Conflict', 429: 'TooManyRequests' } as const;

/** The answer to the review with this uid, as the API server wants it. */
export function toAdmissionReview(uid: string, verdict: Verdict): object {
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: verdict.allowed
      ? { uid, allowed: true, ...(verdict.warnings.length > 0 && { warnings: verdict.warnings }) }
      : { uid, allowed: false, status: toStatus(verdict.denial) },
  };
}

function toStatus(denial: Denial): object {
  return {
    status: 'Failure',
    code: denial.code,
    reason: REASONS[denial.code],
    message: denial.message,
    ...(denial.code === 429 && { details: { retryAfterSeconds: denial.retryAfterSeconds } }),
  };
}
