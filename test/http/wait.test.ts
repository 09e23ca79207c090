/** Waiting for a release to be free: in one answer at the end, or in lines on the way. */
import { once } from 'node:events';
import { Socket } from 'node:net';
import t, { type Test } from 'tap';
import type { Lock } from '../../src/gate/lock.ts';
import type { Locks } from '../../src/http/locks.ts';
import type { WaitOutcome } from '../../src/http/wait.ts';
import { LOCK, LOCK_JSON } from '../support/app.ts';
import { revision } from '../support/revisions.ts';
import { connectedApp } from './connected.ts';
import { undocumented } from './documented.ts';

const WAIT = '/api/v1/namespaces/prod/locks/api/wait';
const LINES = { accept: 'application/x-ndjson' };
const SUCCESSOR: Lock = { ...LOCK, revision: revision(8, 'pending-rollback') };

const STILL_LOCKED = {
  type: 'about:blank',
  title: 'Conflict',
  status: 409,
  detail:
    'release prod/api is still locked after 10m, by revision 7 (pending-upgrade, live: last written 1m ago)',
  lock: LOCK_JSON,
};
const SHUTS_DOWN = {
  type: 'about:blank',
  title: 'Service Unavailable',
  status: 503,
  detail: 'this replica of lockkeeper shuts down: ask again, and another one answers',
};

interface Wait {
  readonly signal: AbortSignal;
  readonly onLocked: (lock: Lock) => void;
  readonly end: (outcome: WaitOutcome) => void;
  readonly fail: (error: Error) => void;
}

/** An app whose waits end when the test says so. They end by themselves when the caller hangs up. */
async function waitingApp(t: Test) {
  const waits: Wait[] = [];
  const came = new EventTarget();
  const wait: Locks['wait'] = (_target, _timeout, signal, onLocked) => {
    const { promise, resolve: end, reject: fail } = Promise.withResolvers<WaitOutcome>();
    if (signal.aborted) fail(signal.reason);
    signal.addEventListener('abort', () => fail(signal.reason));
    waits.push({ signal, onLocked, end, fail });
    came.dispatchEvent(new Event('wait'));
    return promise;
  };
  const rest = await connectedApp(t, {
    wait,
    onClose: () => {
      for (const { end } of waits) end({ kind: 'closed' });
    },
  });
  const begun = async (): Promise<Wait> => {
    if (waits.length === 0) await once(came, 'wait');
    return waits.at(-1) as Wait;
  };
  return { ...rest, begun };
}

/** What nobody caught, of which there must be nothing. */
function watchRejections(t: Test): unknown[] {
  const rejections: unknown[] = [];
  const listener = (reason: unknown) => rejections.push(reason);
  process.on('unhandledRejection', listener);
  t.teardown(() => process.off('unhandledRejection', listener));
  return rejections;
}

/** Everything that is due now has happened. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

const OUTCOMES: readonly [string, WaitOutcome, number, object | string][] = [
  ['it is free', { kind: 'free' }, 204, ''],
  ['it is still locked at the timeout', { kind: 'locked', lock: LOCK }, 409, STILL_LOCKED],
  ['this replica shuts down', { kind: 'closed' }, 503, SHUTS_DOWN],
];

for (const [name, outcome, status, body] of OUTCOMES) {
  t.test(`when ${name}, then ${status}`, async (t) => {
    const { call, begun, asked, clock } = await waitingApp(t);
    const document = (await call('GET', '/openapi.json')).body;
    const answering = call('GET', WAIT);
    (await begun()).end(outcome);
    const answer = await answering;
    t.equal(answer.status, status);
    t.strictSame(answer.body, body);
    t.equal(answer.headers['retry-after'], status === 503 ? '2' : undefined);
    t.equal(undocumented(document, 'GET', WAIT, answer), undefined, 'as documented');
    t.strictSame(asked.wait, [{ target: { namespace: 'prod', name: 'api' }, timeoutSeconds: 600 }]);
    t.equal(clock.timers(), 0);
  });

  t.test(`when ${name}, then the last of the lines says ${status}, and no line follows`, async (t) => {
    const { open, begun, clock } = await waitingApp(t);
    const { response, line } = await open(WAIT, { ...LINES, connection: 'keep-alive' });
    t.equal(response.statusCode, 200, 'at once');
    t.match(response.headers, {
      'content-type': 'application/x-ndjson',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
      connection: 'close',
    });
    t.strictSame(await line(), {}, 'a line at once');
    (await begun()).end(outcome);
    t.strictSame(await line(), status === 204 ? { status } : body);
    t.equal(await line(), undefined, 'and the answer ends');
    t.equal(clock.timers(), 0);
  });
}

t.test('given a timeout, then that is how long it waits', async (t) => {
  const { call, asked } = await connectedApp(t);
  for (const timeout of [0, 1, 86_400]) {
    t.equal((await call('GET', `${WAIT}?timeout=${timeout}`)).status, 204);
    t.match(asked.wait.at(-1), { timeoutSeconds: timeout });
  }
});

t.test('given a timeout of 0, then the answer does not speak of waiting', async (t) => {
  const { call } = await connectedApp(t, { wait: async () => ({ kind: 'locked', lock: LOCK }) });
  const { body } = await call('GET', `${WAIT}?timeout=0`);
  t.equal(
    body.detail,
    'release prod/api is locked by revision 7 (pending-upgrade, live: last written 1m ago)',
  );
});

t.test('lines: each lock is told once when it is seen, and again every 15 s', async (t) => {
  const { open, begun, clock } = await waitingApp(t);
  const { line } = await open(WAIT, LINES);
  t.strictSame(await line(), {});
  clock.advance(14_999);
  const { onLocked, end } = await begun();
  clock.advance(1);
  t.strictSame(await line(), {}, 'nothing is known yet');

  onLocked(LOCK);
  t.strictSame(await line(), { lock: LOCK_JSON }, 'at once');
  clock.advance(10_000);
  onLocked({ ...LOCK });
  clock.advance(4_999);
  onLocked(SUCCESSOR);
  const next = await line();
  t.match(next, { lock: { revision: 8 } }, 'the same lock, seen again, was no news; another one is');
  for (const _ of [1, 2, 3]) {
    clock.advance(14_999);
    t.equal(clock.timers(), 1, 'one timer');
    clock.advance(1);
    t.strictSame(await line(), next, 'every 15 s since the last line');
  }
  end({ kind: 'free' });
  t.strictSame(await line(), { status: 204 });
  t.equal(await line(), undefined);
  t.equal(clock.timers(), 0);
});

t.test('lines: asked for beside other types, too; not by who accepts anything', async (t) => {
  const { call } = await connectedApp(t);
  for (const [accept, status] of [
    ['application/x-ndjson', 200],
    ['application/x-ndjson, application/json;q=0.5', 200],
    ['text/html, application/x-ndjson;q=0.1', 200],
    ['*/*', 204],
    ['application/json', 204],
    ['application/ndjson', 204],
  ] as const) {
    t.equal((await call('GET', WAIT, { accept })).status, status, accept);
  }
});

t.test('when the cluster cannot be read at the timeout, then both ways say so', async (t) => {
  const wait = async () => {
    throw new Error('connect ECONNREFUSED');
  };
  const { call, open, clock } = await connectedApp(t, { wait });
  const problem = {
    type: 'about:blank',
    title: 'Service Unavailable',
    status: 503,
    detail: 'the API server cannot be asked now: connect ECONNREFUSED',
  };
  t.match(await call('GET', WAIT), { status: 503, headers: { 'retry-after': '2' }, body: problem });
  const { line } = await open(WAIT, LINES);
  t.strictSame(await line(), {});
  t.strictSame(await line(), problem);
  t.equal(await line(), undefined);
  t.equal(clock.timers(), 0);
});

for (const [way, headers] of [
  ['one answer', {}],
  ['lines', LINES],
] as const) {
  t.test(`${way}: when the caller hangs up, then the wait is told, and nothing is left`, async (t) => {
    const rejections = watchRejections(t);
    const { begin, begun, clock, logs, app } = await waitingApp(t);
    const { hangUp } = begin(WAIT, headers);
    const { signal, onLocked } = await begun();
    onLocked(LOCK);
    t.notOk(signal.aborted);
    hangUp();
    if (!signal.aborted) await once(signal, 'abort');
    t.match(signal.reason, { message: 'the caller hung up' });
    await settled();
    t.equal(clock.timers(), 0, 'no timer');
    await app.close();
    t.strictSame(rejections, [], 'no rejection');
    t.ok(
      logs.messages().every((message) => message.startsWith('Server listening')),
      'and no line in the log: it is no failure',
    );
  });

  t.test(`${way}: when the caller hangs up while rights are looked up, then nobody waits`, async (t) => {
    const rejections = watchRejections(t);
    const asked = Promise.withResolvers<void>();
    const mayThey = Promise.withResolvers<boolean>();
    const may = () => {
      asked.resolve();
      return mayThey.promise;
    };
    const waited = Promise.withResolvers<AbortSignal>();
    const wait: Locks['wait'] = async (_target, _timeout, signal) => {
      waited.resolve(signal);
      signal.throwIfAborted();
      return { kind: 'free' };
    };
    const { begin, app, clock } = await connectedApp(t, { may, wait });
    const gone = new Promise((resolve) => {
      app.server.once('request', (_request, response) => response.once('close', resolve));
    });
    const { hangUp } = begin(WAIT, headers);
    await asked.promise;
    hangUp();
    await gone;
    mayThey.resolve(true);
    t.ok((await waited.promise).aborted, 'the wait is told before it begins');
    await settled();
    t.equal(clock.timers(), 0, 'no timer');
    await app.close();
    t.strictSame(rejections, [], 'no rejection');
  });

  t.test(`${way}: when the service closes, then every wait is answered before it has closed`, async (t) => {
    const { app, open, call, begun, clock } = await waitingApp(t);
    const answering =
      way === 'lines'
        ? open(WAIT, headers).then(async ({ line }) => [await line(), await line(), await line()])
        : call('GET', WAIT).then(({ body }) => [{}, body, undefined]);
    await begun();
    await app.close();
    t.strictSame(await answering, [{}, SHUTS_DOWN, undefined]);
    t.equal(clock.timers(), 0);
  });

  t.test(`${way}: an answered wait is not taken for a hang-up`, async (t) => {
    const { call, begun, app } = await waitingApp(t);
    const answering = call('GET', WAIT, headers);
    const { end, signal } = await begun();
    end({ kind: 'free' });
    await answering;
    await app.close();
    t.notOk(signal.aborted);
  });

  t.test(`${way}: the idle connection is probed from 15 s on, so that nobody forgets it`, async (t) => {
    const probes = t.capture(Socket.prototype, 'setKeepAlive', Socket.prototype.setKeepAlive);
    const { call } = await connectedApp(t);
    await call('GET', WAIT, headers);
    t.match(
      probes().map(({ args }) => args),
      [[true, 15_000]],
    );
  });
}

t.test('there is no HEAD: nobody would be left to hang up on it', async (t) => {
  const { call, asked, clock } = await connectedApp(t);
  t.equal((await call('HEAD', WAIT, LINES)).status, 404);
  t.equal((await call('HEAD', WAIT)).status, 404);
  t.strictSame(asked.wait, []);
  t.equal(clock.timers(), 0);
});

t.test('given a replica with as many waits as it takes, then one more is sent away', async (t) => {
  let waits = 4_999;
  const { call, asked } = await connectedApp(t, { waits: () => waits });
  t.equal((await call('GET', WAIT)).status, 204, 'the last one that it takes');
  waits = 5_000;
  const { status, headers, body } = await call('GET', WAIT);
  t.equal(status, 503);
  t.equal(headers['retry-after'], '2');
  t.equal(
    body.detail,
    '5000 requests wait at this replica of lockkeeper, and that is all it takes: ask again',
  );
  t.equal(asked.wait.length, 1);
});

t.test('lines: a failure of our own, too, is the last line, and one of the log', async (t) => {
  const { open, logs } = await connectedApp(t, {
    wait: async () => ({ kind: 'locked', lock: LOCK }),
    judge: () => {
      throw new Error('a defect \u009b');
    },
  });
  const { line } = await open(WAIT, LINES);
  t.strictSame(await line(), {});
  t.match(await line(), { status: 500, detail: 'a defect \\u{9b}' }, 'safe to show');
  t.equal(await line(), undefined);
  t.match(await logs.line('a request failed'), { level: 50, reason: 'a defect \\u{9b}' });
});

t.test('given an identity with as many waits as one may have, then others still have room', async (t) => {
  const ends: (() => void)[] = [];
  const { call, asked } = await connectedApp(t, {
    mostWaitsOfOne: 2,
    wait: () => new Promise((resolve) => ends.push(() => resolve({ kind: 'free' }))),
  });
  const as = (token: string) => call('GET', WAIT, { authorization: `Bearer ${token}` });
  const waiting = [as('alice'), as('alice')];
  while (asked.wait.length < 2) await settled();
  const { status, body } = await as('alice');
  t.equal(status, 503);
  t.match(body.detail, '2 requests of alice wait at this replica');
  waiting.push(as('bob'));
  while (asked.wait.length < 3) await settled();
  for (const end of ends) end();
  t.ok((await Promise.all(waiting)).every((answer) => answer.status === 204));
  const again = as('alice');
  while (asked.wait.length < 4) await settled();
  ends.at(-1)?.();
  t.equal((await again).status, 204, 'and once they have ended, there is room again');
});
