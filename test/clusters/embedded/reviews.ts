/** Requests that store nothing: who has this token, may this user do that, a token for a service account. */
import type { JsonObject } from '../kubernetes-object.ts';
import type { ResourceTarget } from './request-info.ts';
import { notFound } from './status.ts';
import type { Store } from './store.ts';
import {
  type Authorize,
  serviceAccount,
  type UserInfo,
  type Users,
  withAuthenticatedGroup,
} from './users.ts';

export interface ReviewDependencies {
  readonly users: Users;
  readonly authorize: Authorize;
  readonly store: Store;
}

/** What a POST to one of the review paths answers, or undefined for another path. */
export function answerReview(
  path: string,
  body: JsonObject,
  user: UserInfo,
  { users, authorize }: ReviewDependencies,
): JsonObject | undefined {
  switch (path) {
    case '/apis/authentication.k8s.io/v1/tokenreviews':
      return { ...body, status: reviewToken(body.spec as { token?: string }, users) };
    case '/apis/authorization.k8s.io/v1/subjectaccessreviews':
      return {
        ...body,
        status: reviewAccess(body.spec as AccessSpec, subjectOf(body.spec as AccessSpec), authorize),
      };
    case '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews':
      return { ...body, status: reviewAccess(body.spec as AccessSpec, user, authorize) };
    default:
      return undefined;
  }
}

function reviewToken({ token = '' }: { token?: string }, users: Users): object {
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

function reviewAccess({ resourceAttributes }: AccessSpec, user: UserInfo, authorize: Authorize): object {
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
  readonly expirationSeconds?: number;
  readonly boundObjectRef?: { readonly kind?: string; readonly name?: string; readonly uid?: string };
}

/**
 * A token for a service account; when it is bound to a pod it names that pod, and is refused once the pod
 * is gone.
 * @throws ApiError 404 when the service account or the pod does not exist
 */
export function requestToken(
  target: ResourceTarget,
  body: JsonObject,
  { users, store }: ReviewDependencies,
): JsonObject {
  const { resource, namespace, name } = target;
  const account = store.get('/serviceaccounts', namespace, name);
  if (!account) throw notFound(resource, name);
  const { boundObjectRef, expirationSeconds = 3_600 } = (body.spec ?? {}) as TokenRequestSpec;
  const user = { ...serviceAccount(namespace, name), uid: account.metadata.uid };
  const status = { expirationTimestamp: new Date(Date.now() + expirationSeconds * 1_000).toISOString() };
  if (boundObjectRef?.kind !== 'Pod') return { ...body, status: { ...status, token: users.token(user) } };

  const findPod = () => store.get('/pods', namespace, boundObjectRef.name ?? '');
  const pod = findPod();
  if (!pod) throw notFound({ plural: 'pods', group: '' }, boundObjectRef.name ?? '');
  const extra = {
    'authentication.kubernetes.io/pod-name': [pod.metadata.name],
    'authentication.kubernetes.io/pod-uid': [pod.metadata.uid],
  };
  const isThere = () => findPod()?.metadata.uid === pod.metadata.uid;
  return {
    ...body,
    status: { ...status, token: users.boundToken(withAuthenticatedGroup({ ...user, extra }), isThere) },
  };
}
