/** Requests to the API server: credentials, time limits, second attempts, and errors in words. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Dispatcher } from 'undici';
import { printable } from '../printable.ts';
import type { Connection, Pool } from './connection.ts';

/** An answer of the API server that is not the one that was asked for. */
export class KubernetesError extends Error {
  /** The HTTP status, or the code of the Status object that a watch delivered. */
  readonly status: number;

  constructor(request: string, status: number, reason: string) {
    super(`${request}: ${status}${reason && ` ${printable(reason)}`}`);
    this.name = 'KubernetesError';
    this.status = status;
  }
}

/** What the API server answers to a write of what somebody else has written, made or deleted meanwhile. */
export const LOST: readonly number[] = [404, 409];

/** Whether a write was made; false if it was refused with one of these statuses: somebody else was first. */
export async function isDone(writing: Promise<unknown>, lost = LOST): Promise<boolean> {
  const done = writing.then(() => true);
  return (await orNone(done, lost)) ?? false;
}

/** What was answered; undefined if it was one of these statuses: there is no such thing, or not any more. */
export async function orNone<T>(asking: Promise<T>, none: readonly number[] = [404]): Promise<T | undefined> {
  try {
    return await asking;
  } catch (error) {
    if (error instanceof KubernetesError && none.includes(error.status)) return undefined;
    throw error;
  }
}

export interface Requests {
  /** The whole answer to a GET, which is sent again if need be. */
  read<T>(path: string, options: ReadOptions, signal: AbortSignal): Promise<T>;
  /**
   * The whole answer to a POST, PUT or DELETE, which is sent once: only a refusal that says “later” is sent
   * again. When no answer comes, what was asked for may have happened all the same.
   */
  write<T>(method: 'POST' | 'PUT' | 'DELETE', path: string, body: object, signal: AbortSignal): Promise<T>;
  /** The same for a POST that stores nothing: sent again like a GET. */
  ask<T>(path: string, body: object, signal: AbortSignal): Promise<T>;
  /** Server-side apply, which may be sent again: twice is as good as once. */
  apply<T>(path: string, body: object, signal: AbortSignal): Promise<T>;
  /** The beginning of an answer that goes on and on. */
  open(path: string, accept: string, signal: AbortSignal): Promise<Dispatcher.ResponseData['body']>;
}

export interface ReadOptions {
  readonly accept: string;
  /** For one attempt, once it has a connection: for the answer to begin, and for each pause in it. Default: {@link ATTEMPT_MS}. */
  readonly limitMs?: number;
}

export type RequestPool = Exclude<Pool, 'watches' | 'passage'>;

export interface RequestsOptions {
  readonly connection: Connection;
  /** Whose turn to wait for: those that hold up deploys do not queue behind the others. */
  readonly pool: RequestPool;
  readonly attemptMs?: number;
}

/** A read inside a namespace takes milliseconds; an attempt that takes longer, by up to a second, is made again. */
const ATTEMPT_MS = 2_000;

const ATTEMPTS = 3;
const PAUSE_MS = 50;

/** The API server itself may have to ask somebody: an identity provider, or an authorizer of its own. */
const ASK_MS = 8_000;

/** A write goes through the admission webhooks of others, each of which may take 10 s by default. */
const WRITE_MS = 15_000;

/** Overload, a restart of the API server, or a load balancer without one: what passes in a moment. */
const PASSING = [429, 502, 503, 504];

/** Nothing was done, and it may be tried again. Of the others above it is not sure that nothing was done. */
const NOT_DONE = [429];

/** Error texts go into logs; the API server's own are a few hundred characters long. */
const MAX_REASON_LENGTH = 1_000;

const JSON_TYPE = 'application/json';

/** JSON is YAML. */
const APPLY_TYPE = 'application/apply-patch+yaml';

interface Outgoing {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly accept: string;
  readonly body?: object;
}

export function createRequests({ connection, pool, attemptMs = ATTEMPT_MS }: RequestsOptions): Requests {
  async function send(
    { method, path, accept, body }: Outgoing,
    from: Pool,
    signal: AbortSignal,
    limitMs?: number,
  ): Promise<Dispatcher.ResponseData> {
    const { [from]: dispatcher, headers } = await connection.access(signal);
    const response = await dispatcher.request({
      origin: connection.server,
      path,
      method,
      headers: {
        ...headers,
        accept,
        'user-agent': 'lockkeeper',
        ...(body && { 'content-type': method === 'PATCH' ? APPLY_TYPE : JSON_TYPE }),
      },
      ...(body && { body: JSON.stringify(body) }),
      ...(limitMs !== undefined && { headersTimeout: limitMs, bodyTimeout: limitMs }),
      signal,
    });
    if (response.statusCode >= 300) throw await toError(`${method} ${path}`, response);
    connection.sawDate(String(response.headers.date));
    return response;
  }

  /**
   * Reads the whole answer, or tries again: a connection that was closed while it was idle, one that hangs,
   * and an API server that restarts are no failures yet. The signal ends it in any case; it alone counts the time in
   * which others have the connections (seen: of 1,000 deploys at once, one gave up before its read was sent).
   */
  async function persist<T>(
    outgoing: Outgoing,
    signal: AbortSignal,
    limitMs: number,
    mayPass: (error: unknown) => boolean,
    attempt = 1,
  ): Promise<T> {
    try {
      const { body } = await send(outgoing, pool, signal, limitMs);
      return (await body.json()) as T;
    } catch (error) {
      signal.throwIfAborted();
      if (attempt === ATTEMPTS || !mayPass(error)) throw inWords(outgoing, error);
      await pause(PAUSE_MS * attempt, undefined, { signal });
      return persist(outgoing, signal, limitMs, mayPass, attempt + 1);
    }
  }

  return {
    read: (path, { accept, limitMs = attemptMs }, signal) =>
      persist({ method: 'GET', path, accept }, signal, limitMs, isPassing),
    ask: (path, body, signal) =>
      persist({ method: 'POST', path, accept: JSON_TYPE, body }, signal, ASK_MS, isPassing),
    write: (method, path, body, signal) =>
      persist({ method, path, accept: JSON_TYPE, body }, signal, WRITE_MS, wasNotDone),
    apply: (path, body, signal) =>
      persist({ method: 'PATCH', path, accept: JSON_TYPE, body }, signal, WRITE_MS, isPassing),
    async open(path, accept, signal) {
      return (await send({ method: 'GET', path, accept }, 'watches', signal)).body;
    },
  };
}

async function toError(
  request: string,
  { statusCode, body }: Dispatcher.ResponseData,
): Promise<KubernetesError> {
  const text = await body.text();
  return new KubernetesError(request, statusCode, reasonOf(text).slice(0, MAX_REASON_LENGTH));
}

/** The message of a Status object, or the body as it is: a proxy on the way answers in its own words. */
function reasonOf(text: string): string {
  try {
    return String((JSON.parse(text) as { message?: unknown }).message ?? text);
  } catch {
    return text;
  }
}

/** Whatever is no answer at all may pass; a body that is no JSON, or has no end, comes from something that is no API server. */
function isPassing(error: unknown): boolean {
  if (error instanceof KubernetesError) return PASSING.includes(error.status);
  return !(error instanceof SyntaxError || (error as { code?: unknown }).code === TOO_LONG);
}

function wasNotDone(error: unknown): boolean {
  return error instanceof KubernetesError && NOT_DONE.includes(error.status);
}

const TOO_LONG = 'UND_ERR_RES_EXCEEDED_MAX_SIZE';

/** In place of undici's own, which name the class of an error. */
const WORDS: ReadonlyMap<string | undefined, string> = new Map([
  ['UND_ERR_HEADERS_TIMEOUT', 'no answer came in time'],
  ['UND_ERR_BODY_TIMEOUT', 'the answer did not go on in time'],
  [TOO_LONG, 'the answer is too long to be that of an API server'],
]);

/** Says what was asked. A name with several addresses fails with one error for each, and no message of its own. */
function inWords({ method, path }: Outgoing, error: unknown): Error {
  if (error instanceof KubernetesError) return error;
  const { message, errors, code } = error as AggregateError & { code?: string };
  const reasons = errors ? errors.map((each: Error) => each.message).join('; ') : message;
  return new Error(`${method} ${path}: ${WORDS.get(code) ?? printable(reasons)}`, { cause: error });
}
