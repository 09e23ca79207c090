/** What the API server knows of users: whose token this is, what they may do, and who we are ourselves. */
import type { Requests } from './requests.ts';

/** A user as the API server names it; handed back to it as it came. */
export interface UserInfo {
  readonly username: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** What somebody wants to do. */
export interface ResourceAttributes {
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  readonly verb: string;
  /** All namespaces if it is left out. */
  readonly namespace?: string;
  readonly name?: string;
}

export interface Reviews {
  /** Whose token this is, or undefined when the API server does not accept it. */
  whose(token: string, signal: AbortSignal): Promise<UserInfo | undefined>;
  may(user: UserInfo, attributes: ResourceAttributes, signal: AbortSignal): Promise<boolean>;
  /** The same for the user who asks. Everybody may. */
  mayI(attributes: ResourceAttributes, signal: AbortSignal): Promise<boolean>;
  /** The name that Lockkeeper itself goes by in this cluster (Kubernetes 1.28 and later); asked for once. */
  whoAmI(signal: AbortSignal): Promise<string>;
}

const AUTHENTICATION = '/apis/authentication.k8s.io/v1';
const AUTHORIZATION = '/apis/authorization.k8s.io/v1';

interface TokenReview {
  readonly status?: { readonly authenticated?: boolean; readonly user?: UserInfo };
}

interface SubjectAccessReview {
  readonly status?: { readonly allowed?: boolean; readonly denied?: boolean };
}

interface SelfSubjectReview {
  readonly status: { readonly userInfo: UserInfo };
}

export function createReviews({ ask }: Pick<Requests, 'ask'>): Reviews {
  let ownName: string | undefined;

  return {
    async whose(token, signal) {
      const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } };
      const { status } = await ask<TokenReview>(`${AUTHENTICATION}/tokenreviews`, review, signal);
      return status?.authenticated === true && status.user?.username ? status.user : undefined;
    },
    async may({ username, uid, groups, extra }, resourceAttributes, signal) {
      const spec = { user: username, uid, groups, extra, resourceAttributes };
      const review = { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', spec };
      const { status } = await ask<SubjectAccessReview>(
        `${AUTHORIZATION}/subjectaccessreviews`,
        review,
        signal,
      );
      return status?.allowed === true;
    },
    async mayI(resourceAttributes, signal) {
      const spec = { resourceAttributes };
      const review = { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview', spec };
      const path = `${AUTHORIZATION}/selfsubjectaccessreviews`;
      return (await ask<SubjectAccessReview>(path, review, signal)).status?.allowed === true;
    },
    async whoAmI(signal) {
      const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
      const path = `${AUTHENTICATION}/selfsubjectreviews`;
      ownName ??= (await ask<SelfSubjectReview>(path, review, signal)).status.userInfo.username;
      return ownName;
    },
  };
}
