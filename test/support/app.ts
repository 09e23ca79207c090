/** What an app is built from, for tests that are about a part of it; and the REST endpoints on a cluster of fakes. */
import type { FastifyInstance } from 'fastify';
import type { Test } from 'tap';
import { systemClock } from '../../src/clock.ts';
import type { ClearRequest, Target } from '../../src/gate/clearing.ts';
import type { Judgement, Lock } from '../../src/gate/lock.ts';
import { type AppOptions, buildApp } from '../../src/http/app.ts';
import type { AccessReviews, Identity } from '../../src/http/authentication.ts';
import type { Locks } from '../../src/http/locks.ts';
import { createMetrics } from '../../src/http/metrics.ts';
import { type FakeClock, fakeClock } from './fake-clock.ts';
import { type TestLog, testLog } from './log.ts';
import type { RestAnswer } from './rest.ts';
import { revision } from './revisions.ts';

async function unexpected(): Promise<never> {
  throw new Error('this test does not reach the cluster');
}

const locks: Locks = {
  list: unexpected,
  find: unexpected,
  wait: unexpected,
  clear: unexpected,
  judge: () => ({ verdict: 'live', reason: 'unknown', staleInSeconds: 1 }),
  waiting: () => 0,
  waits: () => 0,
};

/** Everything but the webhook's part: a cluster that nobody is to ask. */
export const bystanders = {
  admissionPaths: { isRight: (path) => path === '/admission' },
  rest: { locks, reviews: { whose: unexpected, may: unexpected }, clock: systemClock },
  onClose: () => {},
  maxHeld: 0,
} satisfies Partial<AppOptions>;

const SINCE = Date.parse('2026-11-22T12:50:00Z');

/** Held by a runner for ten minutes, and written a minute ago. */
export const LOCK: Lock = {
  revision: revision(7, 'pending-upgrade', { createdAt: SINCE, lastWriteAt: SINCE + 540_999 }),
  holder: {
    user: 'system:serviceaccount:ci:runner',
    pod: { namespace: 'ci', name: 'runner-7f9c', uid: 'pod-1' },
  },
};

export const LIVE: Judgement = { verdict: 'live', reason: 'last written 1m ago', staleInSeconds: 840 };
export const EXPIRED: Judgement = {
  verdict: 'expired',
  reason: 'no sign of life for 20m',
  staleInSeconds: 0,
};

/** What everybody reads of LOCK, while it is LIVE. */
export const LOCK_JSON = {
  namespace: 'prod',
  release: 'api',
  revision: 7,
  status: 'pending-upgrade',
  since: '2026-11-22T12:50:00Z',
  lastActivity: '2026-11-22T12:59:00Z',
  holder: {
    user: 'system:serviceaccount:ci:runner',
    pod: { namespace: 'ci', name: 'runner-7f9c', uid: 'pod-1' },
  },
  verdict: 'live',
  reason: 'last written 1m ago',
  waiting: 2,
};

/** What the fakes were asked, in order. */
export interface Asked {
  readonly list: (string | undefined)[];
  readonly find: Target[];
  readonly wait: { readonly target: Target; readonly timeoutSeconds: number }[];
  readonly clear: ClearRequest[];
  readonly tokens: string[];
  readonly rights: { readonly user: Identity; readonly attributes: object }[];
}

export interface RestAppOptions extends Partial<Locks>, Partial<AccessReviews> {
  readonly tls?: AppOptions['tls'];
  readonly onClose?: () => void;
  readonly mostWaitsOfOne?: number;
  readonly admission?: AppOptions['admission'];
}

export interface SendOptions {
  /** Alice's if it is left out; null for none. */
  readonly token?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly remoteAddress?: string;
}

export interface RestApp {
  readonly app: FastifyInstance;
  readonly asked: Asked;
  readonly clock: FakeClock;
  readonly logs: TestLog;
  send(method: 'GET' | 'HEAD' | 'POST' | 'DELETE', path: string, options?: SendOptions): Promise<RestAnswer>;
}

/** For an app that is never called over a connection: a server that has no certificate starts all the same. */
const NO_TLS = { certificate: '', privateKey: '' };

/**
 * The whole HTTPS app. Unless told otherwise, a token is the name of its user, who may do everything, and
 * prod/api is held by LOCK, which is LIVE.
 */
export async function restApp(t: Test, options: RestAppOptions = {}): Promise<RestApp> {
  const asked: Asked = { list: [], find: [], wait: [], clear: [], tokens: [], rights: [] };
  const clock = fakeClock();
  const logs = testLog();
  const answers = {
    list: async () => [LOCK],
    find: async () => ({ lock: LOCK }),
    wait: async () => ({ kind: 'free' }) as const,
    clear: async () => ({ kind: 'cleared', lock: LOCK, judgement: LIVE, next: [] }) as const,
    judge: () => LIVE,
    waiting: () => 2,
    waits: () => 0,
    whose: async (token: string) => ({ username: token }),
    may: async () => true,
    ...options,
  } satisfies Locks & AccessReviews & RestAppOptions;
  const app = buildApp({
    tls: options.tls ?? NO_TLS,
    admission: options.admission ?? { review: async () => ({ allowed: true, warnings: [] }) },
    admissionPaths: bystanders.admissionPaths,
    rest: {
      ...(options.mostWaitsOfOne !== undefined && { mostWaitsOfOne: options.mostWaitsOfOne }),
      clock,
      locks: {
        list: (namespace, signal) => {
          asked.list.push(namespace);
          return answers.list(namespace, signal);
        },
        find: (target, signal) => {
          asked.find.push(target);
          return answers.find(target, signal);
        },
        wait: (target, timeoutSeconds, signal, onLocked) => {
          asked.wait.push({ target, timeoutSeconds });
          return answers.wait(target, timeoutSeconds, signal, onLocked);
        },
        clear: (request, signal) => {
          asked.clear.push(request);
          return answers.clear(request, signal);
        },
        judge: answers.judge,
        waiting: answers.waiting,
        waits: answers.waits,
      },
      reviews: {
        whose: (token, signal) => {
          asked.tokens.push(token);
          return answers.whose(token, signal);
        },
        may: (user, attributes, signal) => {
          asked.rights.push({ user, attributes });
          return answers.may(user, attributes, signal);
        },
      },
    },
    readiness: { reasons: () => [], notes: () => [] },
    metrics: createMetrics({
      isReady: () => true,
      heldNow: () => 0,
      verdicts: async () => [],
      certificates: () => [],
      lastEvents: () => [],
    }),
    log: logs.log,
    maxHeld: bystanders.maxHeld,
    onClose: options.onClose ?? (() => {}),
  });
  t.teardown(() => app.close());
  await app.ready();

  return {
    app,
    asked,
    clock,
    logs,
    async send(method, path, { token = 'alice', headers = {}, body, remoteAddress = '10.0.0.1' } = {}) {
      const response = await app.inject({
        method,
        url: path,
        remoteAddress,
        headers: { ...(token !== null && { authorization: `Bearer ${token}` }), ...headers },
        ...(body !== undefined && { payload: body }),
      });
      const isJson = /json(;|$)/.test(String(response.headers['content-type']));
      const answer = isJson && response.body !== '' ? JSON.parse(response.body) : response.body;
      return {
        status: response.statusCode,
        headers: response.headers as RestAnswer['headers'],
        body: answer,
      };
    },
  };
}
