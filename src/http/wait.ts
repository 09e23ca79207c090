/**
 * The two ways to answer a wait. One answer at the end, as a status, is what scripts want; but no byte flows
 * until then, and a proxy on the way may take the connection for dead. So who asks for lines of JSON gets 200
 * at once, a line now and then, and the outcome in the last line.
 *
 * Interim responses (`102 Processing`) would keep a plain answer alive, but do harm: nginx from 1.29.7 on and
 * Python's requests take the first one for the answer (docs/decisions.md).
 */
import { PassThrough } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../clock.ts';
import type { Lock } from '../gate/lock.ts';
import { printable } from '../printable.ts';
import { shutsDown, stillLocked } from './lock-answers.ts';
import { logFailure, Problem, toProblemJson } from './problem.ts';
import type { LockJson } from './schemas.ts';

export type WaitOutcome =
  | { readonly kind: 'free' }
  | { readonly kind: 'locked'; readonly lock: Lock }
  | { readonly kind: 'closed' };

export interface WaitAnswerOptions {
  readonly clock: Pick<Clock, 'after'>;
  readonly show: (lock: Lock) => LockJson;
  /** Waits, and tells of each lock that is seen. */
  readonly wait: (onLocked: (lock: Lock) => void) => Promise<WaitOutcome>;
  readonly timeoutSeconds: number;
  /** Aborted when the caller has hung up. */
  readonly signal: AbortSignal;
}

export const LINES_TYPE = 'application/x-ndjson';

/** A quarter of the time after which nginx gives up by default (proxy_read_timeout, 60 s). */
const LINE_EVERY_MS = 15_000;

/** Probes on the idle connection, so that routers and firewalls on the way do not forget it. */
const PROBE_AFTER_MS = 15_000;

export async function answerWait(
  request: FastifyRequest,
  reply: FastifyReply,
  options: WaitAnswerOptions,
): Promise<FastifyReply> {
  request.raw.socket.setKeepAlive(true, PROBE_AFTER_MS);
  if (request.headers.accept?.includes(LINES_TYPE)) {
    return reply.headers(LINE_HEADERS).send(lines(options, (problem) => logFailure(request, problem)));
  }

  const outcome = await options.wait(() => {});
  const problem = toProblem(outcome, options);
  if (problem !== undefined) throw problem;
  return reply.code(204).send();
}

const LINE_HEADERS = {
  'content-type': LINES_TYPE,
  'cache-control': 'no-store',
  // nginx would collect the lines otherwise.
  'x-accel-buffering': 'no',
  connection: 'close',
};

/** `{"lock":…}` while it is locked; at the end `{"status":204}`, or the problem. */
function lines(options: WaitAnswerOptions, onFailure: (problem: Error) => void): PassThrough {
  const { clock, show, wait, signal } = options;
  const output = new PassThrough();
  let lock: Lock | undefined;
  let cancel = () => {};

  function say(value: object): void {
    output.write(`${JSON.stringify(value)}\n`);
    cancel();
    cancel = clock.after(LINE_EVERY_MS, () => say(lock === undefined ? {} : { lock: show(lock) }));
  }

  function onLocked(seen: Lock): void {
    const isNew = seen.revision.uid !== lock?.revision.uid;
    lock = seen;
    if (isNew) say({ lock: show(seen) });
  }

  say({});
  wait(onLocked)
    .then((outcome) => toProblem(outcome, options) ?? { status: 204 })
    .catch((error: Error) => (error instanceof Problem ? error : new Problem(500, printable(error.message))))
    .then((end) => {
      const isProblem = end instanceof Problem;
      if (isProblem && end.statusCode >= 500 && !signal.aborted) onFailure(end);
      say(isProblem ? toProblemJson(end) : end);
      cancel();
      output.end();
    });
  return output;
}

function toProblem(outcome: WaitOutcome, { show, timeoutSeconds }: WaitAnswerOptions): Problem | undefined {
  switch (outcome.kind) {
    case 'free':
      return undefined;
    case 'locked':
      return stillLocked(show(outcome.lock), timeoutSeconds);
    case 'closed':
      return shutsDown();
  }
}
