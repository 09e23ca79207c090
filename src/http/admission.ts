/** Reviews: HTTP in, HTTP out. The handlers of src/gate decide. */
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { AdmissionHandler } from '../gate/admission-handler.ts';
import { toAdmissionReview, type Verdict } from '../gate/admission-review.ts';
import { REVIEWS } from './admission-path.ts';
import { letGoOfBody, refuseTooMuch } from './bodies.ts';
import { hangUpSignal } from './hang-up.ts';
import type { Decision, Metrics } from './metrics.ts';
import { sendProblem } from './problem.ts';
import { BODY_LIMIT_BYTES, readReviews, reviewOf } from './review-body.ts';

export interface AdmissionOptions {
  readonly admission: AdmissionHandler;
  readonly metrics: Pick<Metrics, 'admission'>;
}

export function useAdmission(app: FastifyInstance, options: AdmissionOptions): void {
  const { admission, metrics } = options;

  readReviews(app);
  app.post<{ Querystring: { timeout?: unknown } }>(
    REVIEWS,
    { bodyLimit: BODY_LIMIT_BYTES },
    async (request, reply) => {
      const body = reviewOf(request);
      if (body === undefined) return refuseTooMuch(reply);
      if (!('review' in body)) {
        request.log.warn({ reason: body.problem }, 'a body that is no review was refused');
        metrics.admission('other', 'denied-400', reply.elapsedTime / 1000);
        return refuseUnreadable(reply, body.uid, body.problem);
      }

      const signal = hangUpSignal(reply);
      const count = (decision: Decision) =>
        metrics.admission(body.review.operation, decision, reply.elapsedTime / 1000);
      try {
        const timeoutMs = parseDuration(request.query.timeout);
        const onHeld = () => {
          body.review.forgetPayload();
          letGoOfBody(request);
        };
        const verdict = await admission.review(body.review, { signal, timeoutMs, onHeld });
        count(decisionOf(verdict));
        return toAdmissionReview(body.uid, verdict);
      } catch (error) {
        count(signal.aborted ? 'hung-up' : 'unreadable');
        if (signal.aborted) return reply.hijack(); // nobody is there to be answered
        // Not an answer of ours: failurePolicy alone decides what an API server makes of a failed call. Of an error it
        // shows people what is plain text, and nothing else.
        const message = `lockkeeper cannot read release records: ${(error as Error).message}`;
        return reply.code(500).type('text/plain; charset=utf-8').send(message);
      }
    },
  );
}

function refuseUnreadable(reply: FastifyReply, uid: string | undefined, problem: string) {
  if (uid === undefined) return sendProblem(reply, 400, problem);
  return toAdmissionReview(uid, { allowed: false, denial: { code: 400, message: problem } });
}

function decisionOf(verdict: Verdict): Decision {
  return verdict.allowed ? 'allowed' : `denied-${verdict.denial.code}`;
}

const MILLISECONDS = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 } as const;

/** No webhook may be given more (`timeoutSeconds` is from 1 to 30); and timers take no more than 24 days. */
const MAX_TIMEOUT_MS = 30_000;

/** The API server says how long it waits as Go writes durations: `15s`, `1m30s`. In milliseconds. */
export function parseDuration(text: unknown): number | undefined {
  if (typeof text !== 'string' || !/^(\d+(\.\d+)?(ms|[hms]))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, count, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|[hms])/g)) {
    total += Number(count) * MILLISECONDS[unit as keyof typeof MILLISECONDS];
  }
  return Math.min(total, MAX_TIMEOUT_MS);
}
