/** The REST endpoints: list, get, wait for and clear locks. What they take and answer is in `schemas.ts`. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import type { Clock } from '../clock.ts';
import type { Clearer, Strategy, Target } from '../gate/clearing.ts';
import type { Judgement, Lock } from '../gate/lock.ts';
import type { Right } from '../gate/rights.ts';
import { printable } from '../printable.ts';
import type { Authentication, Caller } from './authentication.ts';
import { hangUpSignal } from './hang-up.ts';
import { answered, isFree, isFull, notCleared, toJson } from './lock-answers.ts';
import { CLEAR, GET, LIST, LIST_ALL, WAIT } from './operations.ts';
import { createQuota } from './quota.ts';
import type { LockJson, NamespaceParams, ReleaseParams, WaitQuery } from './schemas.ts';
import { answerWait, type WaitAnswerOptions, type WaitOutcome } from './wait.ts';

/** The locks of the cluster, as the REST endpoints see them. Every method rejects when it cannot be read. */
export interface Locks {
  list(namespace: string | undefined, signal: AbortSignal): Promise<readonly Lock[]>;
  find(target: Target, signal: AbortSignal): Promise<{ readonly lock: Lock } | undefined>;
  wait(
    target: Target,
    timeoutSeconds: number,
    signal: AbortSignal,
    onLocked: (lock: Lock) => void,
  ): Promise<WaitOutcome>;
  clear: Clearer['clear'];
  judge(lock: Lock): Judgement;
  /** How many wait for the lock of a release at this replica. */
  waiting(lock: Lock): number;
  /** How many requests wait for any at this replica. */
  waits(): number;
}

export interface LocksOptions {
  readonly locks: Locks;
  readonly authentication: Authentication;
  readonly clock: Pick<Clock, 'after'>;
  /** How many requests of one identity may wait at once. Default: {@link MAX_WAITS_OF_ONE}. */
  readonly mostWaitsOfOne?: number;
}

/** Whoever cannot be told within this time is better told to come back. */
const READ_MS = 20_000;

/** Once it has begun, clearing goes on when its caller hangs up, but not for ever. */
const CLEAR_MS = 40_000;

/** A request that waits was seen to cost some 90 KB, most of it for TLS; a replica is given room for so many. */
const MAX_WAITS = 5_000;

/** And one identity for no more than these, so that there is room for others. */
const MAX_WAITS_OF_ONE = 2_000;

/** The query of DELETE, once it was checked. */
interface ClearParameters {
  readonly strategy: Strategy;
  readonly force: boolean;
  readonly revision?: number;
  readonly uid?: string;
  readonly reason?: string;
}

export function useLocks(app: FastifyInstance, options: LocksOptions): void {
  const { locks, authentication, clock, mostWaitsOfOne = MAX_WAITS_OF_ONE } = options;
  const waits = createQuota(mostWaitsOfOne);

  /** Who sends the request, if they have the right. */
  async function permit({ caller }: FastifyRequest, ...rights: readonly Right[]): Promise<Caller> {
    if (caller === null) throw new Error('a route of the locks was reached without authentication');
    const signal = AbortSignal.timeout(READ_MS);
    for (const right of rights) await answered(authentication.demand(caller, right, signal));
    return caller;
  }

  function show(lock: Lock): LockJson {
    return toJson(lock, locks.judge(lock), locks.waiting(lock));
  }

  async function list(request: FastifyRequest, namespace?: string) {
    await permit(request, { verb: 'list', ...(namespace !== undefined && { namespace }) });
    const found = await answered(locks.list(namespace, AbortSignal.timeout(READ_MS)));
    return { items: found.map(show) };
  }

  app.get('/locks', { schema: LIST_ALL }, (request) => list(request));

  app.get<{ Params: Static<typeof NamespaceParams> }>(
    '/namespaces/:namespace/locks',
    { schema: LIST },
    (request) => list(request, request.params.namespace),
  );

  app.get<{ Params: Static<typeof ReleaseParams> }>(
    '/namespaces/:namespace/locks/:release',
    { schema: GET },
    async (request, reply) => {
      const { namespace, release: name } = request.params;
      await permit(request, { verb: 'get', namespace, name });
      const found = await answered(locks.find({ namespace, name }, AbortSignal.timeout(READ_MS)));
      if (found === undefined) throw isFree({ namespace, name });
      return reply.header('lockkeeper-record-uid', found.lock.revision.uid).send(show(found.lock));
    },
  );

  app.get<{ Params: Static<typeof ReleaseParams>; Querystring: Required<Static<typeof WaitQuery>> }>(
    '/namespaces/:namespace/locks/:release/wait',
    // HEAD is answered before the wait ends, and nobody would be left to hang up on it.
    { schema: WAIT, exposeHeadRoute: false },
    async (request, reply) => {
      const { namespace, release: name } = request.params;
      const { timeout } = request.query;
      const caller = await permit(request, { verb: 'watch', namespace, name });
      if (locks.waits() >= MAX_WAITS) throw isFull(MAX_WAITS);
      const leave = waits.take(caller.identity.username);
      if (leave === undefined) throw isFull(mostWaitsOfOne, ` of ${caller.name}`);
      const signal = hangUpSignal(reply);
      const wait: WaitAnswerOptions['wait'] = (onLocked) =>
        answered(locks.wait({ namespace, name }, timeout, signal, onLocked)).finally(leave);
      try {
        return await answerWait(request, reply, { clock, show, wait, signal, timeoutSeconds: timeout });
      } catch (error) {
        if (signal.aborted) return reply.hijack(); // nobody is there to be answered
        throw error;
      }
    },
  );

  app.delete<{ Params: Static<typeof ReleaseParams>; Querystring: ClearParameters }>(
    '/namespaces/:namespace/locks/:release',
    { schema: CLEAR },
    async (request) => {
      const { namespace, release: name } = request.params;
      const { reason, ...query } = request.query;
      const { force, strategy } = query;
      const right: Right = { verb: 'delete', namespace, name };
      const forcing: Right[] = force ? [{ ...right, subresource: 'force' }] : [];
      const { name: by } = await permit(request, right, ...forcing);
      const why = reason !== undefined && { reason: printable(reason) };
      const clearing = { target: { namespace, name }, ...query, ...why, by, trigger: 'rest' as const };
      const outcome = await answered(locks.clear(clearing, AbortSignal.timeout(CLEAR_MS)));
      if (outcome.kind !== 'cleared') throw notCleared(outcome, clearing, show);
      const { lock, judgement, next } = outcome;
      return { cleared: toJson(lock, judgement, locks.waiting(lock)), strategy, next };
    },
  );
}
