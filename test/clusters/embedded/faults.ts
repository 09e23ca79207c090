/** Failures of the API server that a test calls for. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Reply } from './reply.ts';
import { failure } from './status.ts';

/** A request as a fault sees it. */
export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly userAgent: string;
}

export interface Fault {
  /** Answer with this code instead of serving the request. (With `loseAnswer`, nobody hears the code.) */
  readonly status?: number;
  /** Sent as Retry-After with `status`. */
  readonly retryAfterSeconds?: number;
  /** First wait this long, in milliseconds. */
  readonly delay?: number;
  /** First wait for this, so that requests can be made to meet. */
  readonly until?: Promise<unknown>;
  /** Never answer. */
  readonly hang?: boolean;
  /** Answer 200 with this text, again and again, until the client leaves. */
  readonly babble?: string;
  /** Serve the request, writes and all, and then destroy the connection instead of answering. */
  readonly loseAnswer?: boolean;
}

/** What goes wrong with a request, or undefined when nothing does. */
export type FaultRule = (request: SeenRequest) => Fault | undefined;

export interface FaultRules {
  /** Returns the function that removes the rule. */
  add(rule: FaultRule): () => void;
  /**
   * Resolves when the request may be served, and calls `lose` before if nobody is to hear of it.
   * @throws ApiError when the request is to fail, an AbortError when it hung, or was babbled at, until the client left
   */
  apply(request: SeenRequest, signal: AbortSignal, reply: Pick<Reply, 'lose' | 'babble'>): Promise<void>;
}

export function createFaultRules(): FaultRules {
  const rules = new Set<FaultRule>();
  return {
    add(rule) {
      rules.add(rule);
      return () => rules.delete(rule);
    },
    async apply(request, signal, reply) {
      for (const rule of rules) {
        const fault = rule(request);
        if (fault?.loseAnswer === true) reply.lose();
        if (fault) await commit(fault, signal, reply);
      }
    },
  };
}

async function commit(fault: Fault, signal: AbortSignal, { babble }: Pick<Reply, 'babble'>): Promise<void> {
  await fault.until;
  if (fault.delay !== undefined) await delay(fault.delay, undefined, { signal });
  if (fault.babble !== undefined) babble(fault.babble);
  if (fault.hang === true || fault.babble !== undefined) {
    await new Promise((_, reject) =>
      signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
    );
  }
  if (fault.status === undefined) return;
  const details =
    fault.retryAfterSeconds === undefined ? undefined : { retryAfterSeconds: fault.retryAfterSeconds };
  throw failure(
    fault.status,
    'InternalError',
    `the embedded cluster was told to fail with ${fault.status}`,
    details,
  );
}
