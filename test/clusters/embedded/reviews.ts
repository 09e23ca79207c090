/** Requests that store nothing: who has this token, who am I, may this user do that, a service account's token. */
import type { User } from '../cluster.ts';
import type { JsonObject } from '../kubernetes-object.ts';
import { timestamp } from './clock.ts';
import type { ResourceTarget } from './request-info.ts';
import { notFound } from './status.ts';
import type { Store } from './store.ts';
import { type Authorize, serviceAccount, type UserInfo, type Users } from './users.ts';

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
  SubjectAccessReview: (spec, _user, { authorize }) => reviewAccess(spec, subjectOf(spec), authorize),
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
  const status = answer((body.spec ?? {}) as JsonObject, user, dependencies);
  return { kind, apiVersion, metadata: { creationTimestamp: null }, ...body, status };
}

function reviewToken({ token = '' }: { token?: string }, users: Users): JsonObject {
  const user = users.find(token);
  return user
    ? { authenticated: true, user }
    : { authenticated: false, user: {}, error: 'invalid bearer token' };
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

function reviewAccess({ resourceAttributes }: AccessSpec, user: UserInfo, authorize: Authorize): JsonObject {
  const {
    verb = '',
    group = '',
    resource = '',
    subresource,
    namespace = '',
    name = '',
  } = resourceAttributes ?? {};
  const full = subresource ? `${resource}/${subresource}` : resource;
  const allowed = authorize({ user, verb, group, resource: full, namespace, name });
  return { allowed, reason: allowed ? 'allowed by the embedded cluster' : '' };
}

interface TokenRequestSpec {
  /** Older clients write null for the default. */
  readonly expirationSeconds?: number | null;
  readonly boundObjectRef?: { readonly kind?: string; readonly name?: string; readonly uid?: string };
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
  const { boundObjectRef, expirationSeconds } = (body.spec ?? {}) as TokenRequestSpec;
  const user = { ...serviceAccount(namespace, name), uid: account.metadata.uid };
  const expires = now() + (expirationSeconds ?? 3_600) * 1_000;
  const issue = (holder: User, isValid: () => boolean) => {
    const token = users.boundToken(holder, () => now() < expires && isValid());
    return { ...body, status: { expirationTimestamp: timestamp(expires), token } };
  };
  if (boundObjectRef?.kind !== 'Pod') return issue(user, () => true);

  const findPod = () => store.get('/pods', namespace, boundObjectRef.name ?? '');
  const pod = findPod();
  if (!pod) throw notFound({ plural: 'pods', group: '' }, boundObjectRef.name ?? '');
  const extra = {
    'authentication.kubernetes.io/pod-name': [pod.metadata.name],
    'authentication.kubernetes.io/pod-uid': [pod.metadata.uid],
  };
  return issue({ ...user, extra }, () => findPod()?.metadata.uid === pod.metadata.uid);
}
