/** Requests that store nothing: who has this token, who am I, may this user do that, a service account's token. */
import { randomUUID } from 'node:crypto';
import type { User } from '../cluster.ts';
import type { JsonObject, StoredObject } from '../kubernetes-object.ts';
import { timestamp } from './clock.ts';
import type { ResourceTarget } from './request-info.ts';
import { badRequest, conflict, invalid, notFound } from './status.ts';
import type { Store } from './store.ts';
import { type Authorize, accessDenied, serviceAccount, type UserInfo, type Users } from './users.ts';

export interface ReviewDependencies {
  readonly users: Users;
  readonly authorize: Authorize;
  readonly store: Store;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

type Answerer = (spec: JsonObject, user: UserInfo, dependencies: ReviewDependencies) => JsonObject;

/** What each kind of review says in its status. */
const AUTHENTICATION: Readonly<Record<string, Answerer>> = {
  TokenReview: (spec, _user, { users }) => reviewToken(spec, users),
  SelfSubjectReview: (_spec, user) => ({ userInfo: user }),
};
const AUTHORIZATION: Readonly<Record<string, Answerer>> = {
  SubjectAccessReview(spec, _user, { authorize }) {
    checkSubject(spec);
    return reviewAccess(spec, subjectOf(spec), authorize);
  },
  SelfSubjectAccessReview: (spec, user, { authorize }) => reviewAccess(spec, user, authorize),
};

const GROUPS = {
  'authentication.k8s.io/v1': AUTHENTICATION,
  'authorization.k8s.io/v1': AUTHORIZATION,
};

const REVIEWS = new Map(
  Object.entries(GROUPS).flatMap(([apiVersion, kinds]) =>
    Object.entries(kinds).map(([kind, answer]) => [
      `/apis/${apiVersion}/${kind.toLowerCase()}s`,
      { kind, apiVersion, answer },
    ]),
  ),
);

/** What a POST to one of the review paths answers, or undefined for another path. */
export function answerReview(
  path: string,
  body: JsonObject,
  user: UserInfo,
  dependencies: ReviewDependencies,
): JsonObject | undefined {
  const review = REVIEWS.get(path);
  if (!review) return undefined;
  const { kind, apiVersion, answer } = review;
  checkMayAsk(kind, apiVersion, user, dependencies.authorize);
  const status = answer((body.spec ?? {}) as JsonObject, user, dependencies);
  return { kind, apiVersion, metadata: {}, ...body, status };
}

/** Everybody may ask about themselves. */
function checkMayAsk(kind: string, apiVersion: string, user: UserInfo, authorize: Authorize): void {
  if (kind.startsWith('Self')) return;
  const [group = ''] = apiVersion.split('/');
  const plural = `${kind.toLowerCase()}s`;
  const access = { user, verb: 'create', group, resource: plural, namespace: '', name: '' } as const;
  if (!authorize(access)) throw accessDenied({ plural, group }, access);
}

/** What this API server takes tokens for. */
const AUDIENCES = ['https://kubernetes.default.svc.cluster.local'];

interface TokenSpec {
  readonly token?: string;
  readonly audiences?: readonly string[];
}

/** As Go leaves out what is false, a refusal does not say `authenticated`. */
function reviewToken({ token = '', audiences = AUDIENCES }: TokenSpec, users: Users): JsonObject {
  if (token === '') throw badRequest('token is required for TokenReview in authentication');
  const user = users.find(token);
  const meant = AUDIENCES.filter((audience) => audiences.includes(audience));
  return user && meant.length > 0
    ? { authenticated: true, user, audiences: meant }
    : { user: {}, error: 'invalid bearer token' };
}

interface AccessSpec {
  readonly user?: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: UserInfo['extra'];
  readonly resourceAttributes?: {
    readonly verb?: string;
    readonly group?: string;
    readonly resource?: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
  };
}

function subjectOf({ user = '', uid, groups = [], extra }: AccessSpec): UserInfo {
  return { username: user, ...(uid !== undefined && { uid }), groups, ...(extra && { extra }) };
}

function checkSubject({ user = '', groups = [] }: AccessSpec): void {
  if (user !== '' || groups.length > 0) return;
  const problem = 'Invalid value: "": at least one of user or group must be specified';
  throw invalid('', 'authorization.k8s.io', '', 'spec.user', problem);
}

function reviewAccess({ resourceAttributes }: AccessSpec, user: UserInfo, authorize: Authorize): JsonObject {
  const {
    verb = '',
    group = '',
    resource = '',
    subresource,
    namespace = '',
    name = '',
  } = resourceAttributes ?? {};
  if (!resourceAttributes) {
    const problem =
      'Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified';
    throw invalid('', 'authorization.k8s.io', '', 'spec', problem);
  }
  const full = subresource ? `${resource}/${subresource}` : resource;
  const allowed = authorize({ user, verb, group, resource: full, namespace, name });
  return allowed ? { allowed, reason: 'allowed by the embedded cluster' } : { allowed };
}

interface TokenRequestSpec {
  /** Older clients write null for the default. */
  readonly expirationSeconds?: number | null;
  readonly boundObjectRef?: ObjectReference | null;
}

interface ObjectReference {
  readonly kind?: string;
  readonly name?: string;
  readonly uid?: string;
}

/**
 * A token for a service account, refused once it has expired; when it is bound to a pod it names that pod,
 * and is refused once the pod is gone.
 * @throws ApiError 404 when the service account or the pod does not exist
 */
export function requestToken(
  target: ResourceTarget,
  body: JsonObject,
  { users, store, now }: ReviewDependencies,
): JsonObject {
  const { resource, namespace, name } = target;
  const account = store.get('/serviceaccounts', namespace, name);
  if (!account) throw notFound(resource, name);
  const { boundObjectRef = null, ...given } = (body.spec ?? {}) as TokenRequestSpec;
  const expirationSeconds = given.expirationSeconds ?? 3_600;
  if (expirationSeconds < 600) {
    const problem = `Invalid value: ${expirationSeconds}: may not specify a duration less than 10 minutes`;
    throw invalid('TokenRequest', 'authentication.k8s.io', '', 'spec.expirationSeconds', problem);
  }
  const pod = boundObjectRef?.kind === 'Pod' ? findPod(store, namespace, boundObjectRef) : undefined;
  const user: User = {
    ...serviceAccount(namespace, name),
    uid: account.metadata.uid,
    extra: {
      'authentication.kubernetes.io/credential-id': [`JTI=${randomUUID()}`],
      ...(pod && {
        'authentication.kubernetes.io/pod-name': [pod.metadata.name],
        'authentication.kubernetes.io/pod-uid': [pod.metadata.uid],
      }),
    },
  };
  const expires = now() + expirationSeconds * 1_000;
  const isThere = (resource: string, object: StoredObject) =>
    store.get(resource, namespace, object.metadata.name)?.metadata.uid === object.metadata.uid;
  const token = users.boundToken(
    user,
    () => now() < expires && isThere('/serviceaccounts', account) && (!pod || isThere('/pods', pod)),
  );
  return {
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: { name, namespace, creationTimestamp: timestamp(now()) },
    spec: { audiences: AUDIENCES, expirationSeconds, boundObjectRef },
    status: { token, expirationTimestamp: timestamp(expires) },
  };
}

function findPod(store: Store, namespace: string, { name, uid }: ObjectReference): StoredObject {
  if (!name) throw badRequest('Name parameter required.');
  const pod = store.get('/pods', namespace, name);
  if (!pod) throw notFound({ plural: 'pods', group: '' }, name);
  if ((uid ?? pod.metadata.uid) === pod.metadata.uid) return pod;
  const why = `the UID in the bound object reference (${uid}) does not match the UID in record. The object might have been deleted and then recreated`;
  throw conflict({ plural: 'Pod', group: '' }, name, why);
}
