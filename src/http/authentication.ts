/**
 * Who sends a request, and whether they may: the API server decides both, so that rights are granted with
 * ordinary RBAC and nobody has another account.
 */
import { createHash } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { LRUCache } from 'lru-cache';
import { forbidden, RESOURCE, type Right } from '../gate/rights.ts';
import { userName } from '../gate/user-name.ts';
import { Problem } from './problem.ts';

/** A user as the API server names it. */
export interface Identity {
  readonly username: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export interface Caller {
  readonly identity: Identity;
  /** The name of the same user, in a form that is safe to show and to store. */
  readonly name: string;
}

export interface AccessReviews {
  /** Whose token this is, or undefined when the API server does not accept it. */
  whose(token: string, signal: AbortSignal): Promise<Identity | undefined>;
  may(user: Identity, attributes: Right & typeof RESOURCE, signal: AbortSignal): Promise<boolean>;
}

export interface Authentication {
  /**
   * Who sends the request. `fresh` asks the API server anew, whoever was known a moment ago.
   * @throws Problem 401, or what `beforeAsking` throws
   */
  identify(request: FastifyRequest, fresh: boolean): Promise<Caller>;
  /** @throws Problem 403 that names the rule to add */
  demand(caller: Caller, right: Right, signal: AbortSignal): Promise<void>;
}

export interface AuthenticationOptions {
  readonly reviews: AccessReviews;
  /** Called before the API server is asked about a token that it did not accept before; may throw. */
  readonly beforeAsking: (request: FastifyRequest) => Promise<void>;
  /** Called when the API server did not accept a token. */
  readonly onRefused: (request: FastifyRequest) => Promise<void>;
  /** Milliseconds, never going back. */
  readonly now: () => number;
}

/** How long the API server's word counts: somebody who is locked out may look on for so long, but clear nothing. */
const TRUST_MS = 10_000;

/** Tokens of service accounts live for an hour: whoever had one is no stranger, whatever others guess meanwhile. */
const ACCEPTED_MS = 3_600_000;

/** Answers remembered at once; of tokens, by their hashes. */
const MAX_ANSWERS = 10_000;

/** A token that the API server did not vouch for in so long gets 503. */
const ASK_MS = 10_000;

const HOW_TO_LOG_IN =
  'Send a token of the cluster, such as: -H "Authorization: Bearer $(kubectl create token SERVICEACCOUNT -n NAMESPACE)"';

export function createAuthentication(options: AuthenticationOptions): Authentication {
  const { reviews, beforeAsking, onRefused, now } = options;
  const accepted = new LRUCache<string, true>({ ...shortly(now), ttl: ACCEPTED_MS });

  async function ask(hash: string, { token, request }: Question): Promise<Answer> {
    if (!accepted.has(hash)) await beforeAsking(request);
    const identity = await reviews.whose(token, AbortSignal.timeout(ASK_MS));
    if (identity === undefined) {
      await onRefused(request);
      return { caller: undefined };
    }
    accepted.set(hash, true);
    return { caller: { identity, name: userName(identity.username) } };
  }

  // One question for all who come with the same token at once; what it throws is not remembered.
  const known = new LRUCache<string, Answer, Question>({
    ...shortly(now),
    fetchMethod: (hash, _stale, { context }) => ask(hash, context),
  });
  // A right that is missing is not remembered: whoever grants it wants to see that it works.
  const permissions = new LRUCache<string, true, Permission>({
    ...shortly(now),
    fetchMethod: async (_key, _stale, { context: { identity, attributes, signal } }) =>
      (await reviews.may(identity, attributes, signal)) || undefined,
  });

  async function askAnew(hash: string, question: Question): Promise<Answer> {
    const answer = await ask(hash, question);
    known.set(hash, answer);
    return answer;
  }

  return {
    async identify(request, fresh) {
      const token = bearerToken(request);
      const hash = createHash('sha256').update(token).digest('base64');
      const context = { token, request };
      const answer = fresh ? await askAnew(hash, context) : await known.forceFetch(hash, { context });
      if (answer.caller !== undefined) return answer.caller;
      throw unauthorized(
        'the API server does not accept this token: it may have expired, or be for another cluster',
      );
    },
    async demand({ identity, name }, right, signal) {
      const attributes = { ...RESOURCE, ...right };
      const question = { identity, attributes, signal };
      const permitted =
        right.verb === 'delete'
          ? await reviews.may(identity, attributes, signal)
          : await permissions.fetch(JSON.stringify([identity, right]), { context: question });
      if (!permitted) throw new Problem(403, forbidden(name, right));
    },
  };
}

interface Answer {
  /** Undefined when the API server does not accept the token. */
  readonly caller: Caller | undefined;
}

interface Question {
  readonly token: string;
  readonly request: FastifyRequest;
}

interface Permission {
  readonly identity: Identity;
  readonly attributes: Right & typeof RESOURCE;
  readonly signal: AbortSignal;
}

function shortly(now: () => number) {
  // Who waits for an answer gets it, even if it is pushed out or replaced meanwhile.
  return { max: MAX_ANSWERS, ttl: TRUST_MS, ttlResolution: 0, perf: { now }, ignoreFetchAbort: true };
}

function bearerToken({ headers: { authorization } }: FastifyRequest): string {
  if (authorization === undefined) throw unauthorized('there is no Authorization header');
  const token = /^bearer +(\S+) *$/i.exec(authorization)?.[1];
  if (token === undefined) throw unauthorized('the Authorization header is not “Bearer <token>”');
  return token;
}

function unauthorized(why: string): Problem {
  return new Problem(
    401,
    `${why}. ${HOW_TO_LOG_IN}`,
    {},
    { 'www-authenticate': 'Bearer realm="lockkeeper"' },
  );
}
