/** Bearer tokens and who they stand for. */
import { createHash, randomUUID } from 'node:crypto';
import type { User } from '../cluster.ts';
import type { Verb } from './request-info.ts';
import { failure, forbidden, type Subject, unauthorized } from './status.ts';

/** A user as admission reviews and token reviews show it. */
export interface UserInfo {
  readonly username: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** What somebody wants to do, for the `authorize` option and for access reviews. */
export interface AccessRequest {
  readonly user: UserInfo;
  readonly verb: string;
  readonly group: string;
  /** Plural, with the subresource: `secrets`, `releaselocks/force`. */
  readonly resource: string;
  /** Empty for cluster-scoped resources and for lists of all namespaces. */
  readonly namespace: string;
  readonly name: string;
}

export type Authorize = (request: AccessRequest) => boolean;

export interface Users {
  /** The token of a user; always the same one for the same user. */
  token(user: User): string;
  /** A token of its own, refused as soon as `isValid` says no. */
  boundToken(user: User, isValid: () => boolean): string;
  /** Undefined when nobody has this token, or not any more. */
  find(token: string): UserInfo | undefined;
  /** Who brings no token is anonymous. @throws ApiError 401 for a token that is not known */
  authenticate(authorization: string | undefined): UserInfo;
}

export const ANONYMOUS: UserInfo = {
  username: 'system:anonymous',
  groups: ['system:unauthenticated'],
};

export function createUsers(): Users {
  const secret = randomUUID();
  const tokens = new Map<string, { readonly user: UserInfo; readonly isValid: () => boolean }>();

  function token(user: User): string {
    const info = withAuthenticatedGroup(user);
    const text = createHash('sha256')
      .update(`${secret} ${JSON.stringify(info)}`)
      .digest('base64url');
    tokens.set(text, { user: info, isValid: () => true });
    return text;
  }

  function boundToken(user: User, isValid: () => boolean): string {
    const text = randomUUID();
    tokens.set(text, { user: withAuthenticatedGroup(user), isValid });
    return text;
  }

  function find(token: string): UserInfo | undefined {
    const found = tokens.get(token);
    return found?.isValid() ? found.user : undefined;
  }

  return {
    token,
    boundToken,
    find,
    authenticate(authorization) {
      const token = /^bearer (.+)$/i.exec(authorization ?? '')?.[1];
      if (token === undefined) return ANONYMOUS;
      const user = find(token);
      if (!user) throw unauthorized();
      return user;
    },
  };
}

export function withAuthenticatedGroup(user: User): UserInfo {
  const groups = (user.groups ?? []).filter((group) => group !== 'system:authenticated');
  return {
    username: user.username,
    ...(user.uid !== undefined && { uid: user.uid }),
    groups: [...groups, 'system:authenticated'],
    ...(user.extra && { extra: user.extra }),
  };
}

/** A service account as the API server sees it when it presents a token. */
export function serviceAccount(namespace: string, name: string): User {
  return {
    username: `system:serviceaccount:${namespace}:${name}`,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`],
  };
}

/** The same for a path that is no resource. */
export function pathDenied(method: string, path: string, { username }: UserInfo) {
  const message = `forbidden: User "${username}" cannot ${method.toLowerCase()} path "${path}"`;
  return failure(403, 'Forbidden', message, {});
}

/** In the words of the real RBAC authorizer. */
export function accessDenied(subject: Subject, request: AccessRequest & { readonly verb: Verb }) {
  const where = request.namespace === '' ? 'at the cluster scope' : `in the namespace "${request.namespace}"`;
  return forbidden(
    subject,
    request.name,
    `User "${request.user.username}" cannot ${request.verb} resource "${request.resource}" in API group "${request.group}" ${where}`,
  );
}
