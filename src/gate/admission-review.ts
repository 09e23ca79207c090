/**
 * The wire format of `admission.k8s.io/v1`: a review comes in, is checked and reduced to the few facts that
 * the gate decides on, and an answer goes out. Nothing outside this file copies a review's uid.
 */
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import type { Driver } from '../helm/release.ts';
import { printable } from '../printable.ts';
import { type Fault, firstFault } from './first-fault.ts';
import type { Client, Pod, User } from './lock.ts';
import { userName } from './user-name.ts';

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

/**
 * Kubernetes asks about what it has checked: other names no object can have (DNS-1123). But whoever can reach Lockkeeper can
 * forge a review, and names stand in paths and selectors of requests, and are remembered.
 */
const Name = Type.String({ pattern: '^[a-z0-9.-]*$', maxLength: 253 });
const Namespace = Type.String({ pattern: '^[a-z0-9-]*$', maxLength: 63 });

/** A UUID has 36. */
const Uid = Type.String({ pattern: '^[A-Za-z0-9-]*$', maxLength: 64 });

const ObjectSchema = Type.Object({
  type: Nullable(Type.String()),
  metadata: Nullable(
    Type.Object({
      name: Nullable(Name),
      uid: Nullable(Uid),
      labels: Nullable(Type.Record(Type.String(), Type.String())),
      annotations: Nullable(Type.Record(Type.String(), Type.String())),
    }),
  ),
  data: Type.Optional(Type.Unknown()),
  spec: Type.Optional(Type.Unknown()),
});

/** What is read of a review of a Secret, a ConfigMap or a ReleaseLock; Go writes null for what is empty. */
const RequestSchema = Type.Object({
  namespace: Nullable(Namespace),
  name: Nullable(Name),
  dryRun: Nullable(Type.Boolean()),
  userInfo: Type.Object({
    username: Nullable(Type.String()),
    uid: Nullable(Type.String()),
    groups: Nullable(Type.Array(Type.String())),
    extra: Nullable(Type.Record(Type.String(), Type.Union([Type.Array(Type.String()), Type.Null()]))),
  }),
  object: Nullable(ObjectSchema),
  oldObject: Nullable(ObjectSchema),
});

const envelope = Compile(EnvelopeSchema);
const requestOfOurs = Compile(RequestSchema);

type Resource = Static<typeof EnvelopeSchema>['request']['resource'];
type Request = Static<typeof RequestSchema>;

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
  /** Of an update: what is stored now, and is to be replaced. */
  readonly before?: StoredObject;
  /** From now on there is none: it takes a hundred times the room of all the rest. */
  readonly forgetPayload: () => void;
  /** What is to be done to a ReleaseLock; left out when the object is none. */
  readonly releaseLock?: ReleaseLockWrite;
}

/** What an update replaces. */
export interface StoredObject {
  readonly type: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface ReleaseLockWrite {
  /** Who does it, for questions about what else they may do. */
  readonly user: User;
  /** As it is stored, and as it shall be; undefined where there is nothing. */
  readonly before: ReleaseLockContent | undefined;
  readonly after: ReleaseLockContent | undefined;
}

export interface ReleaseLockContent {
  readonly annotations: Readonly<Record<string, string>>;
  /** Whatever somebody wrote. */
  readonly spec: unknown;
}

/** A body is a review, or is not; a problem with a uid can still be answered as a review. */
export type ParsedBody =
  | { readonly uid: string; readonly review: Review }
  | { readonly uid: string | undefined; readonly problem: string };

/** Checks a request's body. `problem` says in words where the body departs from an AdmissionReview. */
export function parseAdmissionReview(body: unknown): ParsedBody {
  if (!envelope.Check(body)) return { uid: uidOf(body), problem: problemIn('', EnvelopeSchema, body) };
  const { request } = body;
  const { uid, operation, resource } = request;
  const driver = driverOf(resource);
  if (driver === undefined && !isReleaseLock(resource)) {
    return { uid, review: toReview(operation, undefined, { userInfo: {} }) };
  }
  if (!requestOfOurs.Check(request)) {
    return { uid, problem: problemIn('request', RequestSchema, request) };
  }
  const review = toReview(operation, driver, request);
  return { uid, review: driver === undefined ? { ...review, releaseLock: toWrite(request) } : review };
}

function problemIn(where: string, schema: Type.TSchema, value: unknown): string {
  // There is one: the same schema has found the value to be wrong.
  const { path, must } = firstFault(schema, value) as Fault;
  return notAReview(`${printable([where, path].filter(Boolean).join('.')) || 'the body'} ${must}`);
}

/** What is wrong with a body, for whoever sent it. */
export function notAReview(problem: string): string {
  return `not an AdmissionReview of admission.k8s.io/v1: ${problem}`;
}

function driverOf({ group, resource }: Resource): Driver | undefined {
  return group === '' && (resource === 'secrets' || resource === 'configmaps') ? resource : undefined;
}

function isReleaseLock({ group, resource }: Resource): boolean {
  return group === 'lockkeeper.dev' && resource === 'releaselocks';
}

function toReview(operation: string, driver: Driver | undefined, request: Request): Review {
  // A deletion shows what is to be deleted.
  const object = (operation === 'DELETE' ? request.oldObject : request.object) ?? {};
  let { data } = object;
  return {
    operation,
    driver,
    namespace: request.namespace ?? '',
    // With generateName the request has no name yet, but the object has.
    name: object.metadata?.name || request.name || '',
    type: object.type ?? undefined,
    labels: toLabels(object),
    annotations: object.metadata?.annotations ?? {},
    objectUid: object.metadata?.uid ?? '',
    dryRun: request.dryRun ?? false,
    client: toClient(request.userInfo),
    payload: () => payloadOf(data),
    ...(operation === 'UPDATE' && { before: toStored(request.oldObject) }),
    forgetPayload: () => {
      data = undefined;
    },
  };
}

function toStored(object: Request['oldObject']): StoredObject {
  const { type, metadata } = object ?? {};
  return {
    type: type ?? undefined,
    labels: toLabels(object),
    annotations: metadata?.annotations ?? {},
  };
}

/** An API server sends no labels that are unsafe to show, but a forged review can. */
function toLabels(object: Request['object']): Review['labels'] {
  const labels = Object.entries(object?.metadata?.labels ?? {});
  return Object.fromEntries(labels.map(([key, value]) => [key, printable(value)]));
}

function toWrite({ userInfo, object, oldObject }: Request): ReleaseLockWrite {
  return { user: toUser(userInfo), before: toContent(oldObject), after: toContent(object) };
}

function toContent(object: Request['object']): ReleaseLockContent | undefined {
  return object ? { annotations: object.metadata?.annotations ?? {}, spec: object.spec } : undefined;
}

function toUser({ username, uid, groups, extra }: Request['userInfo']): User {
  return {
    username: username ?? '',
    ...(uid && { uid }),
    groups: groups ?? [],
    extra: Object.fromEntries(Object.entries(extra ?? {}).map(([key, values]) => [key, values ?? []])),
  };
}

/** The keys under which the API server says which pod a token is bound to (Kubernetes 1.22 and later). */
const POD_NAME = 'authentication.kubernetes.io/pod-name';
const POD_UID = 'authentication.kubernetes.io/pod-uid';

/** The key under which EKS says which role a session belongs to. */
const CANONICAL_ARN = 'canonicalArn';

const pods = Compile(Type.Object({ namespace: Namespace, name: Name, uid: Uid }));

function toClient({ username, extra }: Request['userInfo']): Client {
  const user = userName(username || 'an unnamed user');
  const [canonicalArn] = extra?.[CANONICAL_ARN] ?? [];
  return { user, ...(canonicalArn && { canonicalArn: userName(canonicalArn) }), pod: toPod(user, extra) };
}

function toPod(user: string, extra: Request['userInfo']['extra']): Pod | undefined {
  const [name] = extra?.[POD_NAME] ?? [];
  const [uid] = extra?.[POD_UID] ?? [];
  // A token is bound to a pod of its service account's own namespace.
  const namespace = /^system:serviceaccount:([^:]+):/.exec(user)?.[1];
  if (!name || !uid || !namespace) return undefined;
  const pod = { namespace, name, uid };
  return pods.Check(pod) ? pod : undefined;
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

/** What the gate answers. 400, 403, 409 and 429 are shown to the client as the HTTP status of its own request. */
export type Verdict =
  | { readonly allowed: true; readonly warnings: readonly string[] }
  | { readonly allowed: false; readonly denial: Denial };

export type Denial =
  | { readonly code: 400; readonly message: string }
  | { readonly code: 403; readonly message: string }
  | { readonly code: 409; readonly message: string }
  | { readonly code: 429; readonly message: string; readonly retryAfterSeconds: number };

/** The `reason` that Kubernetes' own clients expect beside each code (apimachinery's StatusReason). */
const REASONS = { 400: 'BadRequest', 403: 'Forbidden', 409: 'Conflict', 429: 'TooManyRequests' } as const;

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
