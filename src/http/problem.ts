/** Errors as `application/problem+json` (RFC 9457), for every route. */
import { STATUS_CODES } from 'node:http';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { printable } from '../printable.ts';

/** An answer that is an error, with what to do about it. */
export class Problem extends Error {
  readonly statusCode: number;
  /** What else a program may want to know; members of the answer beside those of RFC 9457. */
  readonly members: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    statusCode: number,
    detail: string,
    members: Readonly<Record<string, unknown>> = {},
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(detail);
    this.name = 'Problem';
    this.statusCode = statusCode;
    this.members = members;
    this.headers = headers;
  }
}

export function sendProblem(
  reply: FastifyReply,
  status: number,
  detail: string,
  members: Readonly<Record<string, unknown>> = {},
): FastifyReply {
  return reply
    .code(status)
    .type('application/problem+json')
    .send(toProblemJson({ statusCode: status, message: detail, members }));
}

export function toProblemJson({
  statusCode: status,
  message: detail,
  members,
}: Pick<Problem, 'statusCode' | 'message' | 'members'>): object {
  return { type: 'about:blank', title: STATUS_CODES[status], status, detail, ...members };
}

/** A path whose percent-encoding is no UTF-8 leads nowhere. */
export function refuseUnreadablePath(
  _error: FastifyError,
  _request: FastifyRequest,
  reply: FastifyReply,
): void {
  const problem = 'is not percent-encoded UTF-8';
  sendProblem(reply, 400, `path ${problem}`, { errors: [{ in: 'path', field: 'path', problem }] });
}

/** What no route answered, and what a route threw. */
export function useProblems(app: FastifyInstance): void {
  app.setNotFoundHandler(sendNotFound);
  handleErrors(app, () => 'warn');
}

export function sendNotFound(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  return sendProblem(reply, 404, `there is no ${request.method} ${request.url.split('?')[0]}`);
}

/** @param level how much a refusal with this status matters to who reads the log */
export function handleErrors(
  app: FastifyInstance,
  level: (status: number) => 'warn' | 'info' | 'debug',
): void {
  app.setErrorHandler<FastifyError>((error, request, reply) => {
    const status = error.statusCode ?? 500;
    if (status >= 500) logFailure(request, error);
    else request.log[level(status)]({ status, reason: error.message }, 'a request was refused');
    // A problem is in words that are safe to show. Of any other error nobody knows what it repeats.
    if (!(error instanceof Problem)) return sendProblem(reply, status, printable(error.message));
    return sendProblem(reply.headers(error.headers), status, error.message, error.members);
  });
}

/** A problem was foreseen, and says what is wrong; of anything else, the stack is what helps. */
export function logFailure({ log }: FastifyRequest, error: Error): void {
  if (error instanceof Problem)
    log.error({ status: error.statusCode, reason: error.message }, 'a request failed');
  else log.error({ err: error }, 'a request failed');
}
