/** What the log says of requests that were not served, and what neither it nor any answer ever says. */
import Fastify from 'fastify';
import t from 'tap';
import { useLocks } from '../../src/http/locks.ts';
import { handleErrors } from '../../src/http/problem.ts';
import { bystanders, LIVE, LOCK, type RestAppOptions, restApp } from '../support/app.ts';

const API = '/api/v1/namespaces/prod/locks/api';
const [DEBUG, INFO, WARN, ERROR] = [20, 30, 40, 50];

const down = async () => {
  throw new Error('connect ECONNREFUSED');
};
const refusing = async () => {
  throw Object.assign(new Error('it said 403'), { status: 403 });
};

const REFUSALS: readonly [number, number, RestAppOptions, 'GET' | 'DELETE', string, RegExp][] = [
  [400, DEBUG, {}, 'DELETE', `${API}?force=1`, /^force is "1", but must be true or false$/],
  [401, INFO, { whose: async () => undefined }, 'GET', API, /^the API server does not accept this token/],
  [403, INFO, { may: async () => false }, 'GET', API, /^alice may not get releaselocks in namespace prod/],
  [404, DEBUG, { find: async () => undefined }, 'GET', API, /^release prod\/api is not locked/],
  [
    409,
    DEBUG,
    { clear: async () => ({ kind: 'live', lock: LOCK, judgement: LIVE }) },
    'DELETE',
    API,
    /is live/,
  ],
  [
    422,
    DEBUG,
    { clear: async () => ({ kind: 'unreadable', lock: LOCK, words: 'no gzip' }) },
    'DELETE',
    API,
    /no gzip/,
  ],
];

for (const [status, level, options, method, path, reason] of REFUSALS) {
  t.test(`given a refusal with ${status}, then one line says so, at level ${level}`, async (t) => {
    const { send, logs } = await restApp(t, options);
    t.equal((await send(method, path)).status, status);
    t.equal(logs.lines.length, 1);
    t.match(logs.lines, [{ level, msg: 'a request was refused', status, reason }]);
    t.notOk(logs.text().includes('stack'));
  });
}

t.test('given a limit is exceeded, then that is a line of level info', async (t) => {
  const { send, logs } = await restApp(t, { whose: async () => undefined });
  for (let index = 0; index < 601; index += 1) await send('DELETE', API, { token: `user-${index}` });
  t.equal(logs.lines.length, 601);
  t.match(logs.lines.slice(-1), [
    { level: INFO, msg: 'a request was refused', status: 429, reason: /^too many/ },
  ]);
});

for (const [status, options, reason] of [
  [503, { find: down }, 'the API server cannot be asked now: connect ECONNREFUSED'],
  [502, { find: refusing }, 'the API server refused lockkeeper: it said 403'],
] as const) {
  t.test(`given a failure that was foreseen, ${status}, then an error without a stack`, async (t) => {
    const { send, logs } = await restApp(t, options);
    t.equal((await send('GET', API)).status, status);
    t.equal(logs.lines.length, 1);
    t.match(logs.lines, [{ level: ERROR, msg: 'a request failed', status, reason }]);
    t.notOk(logs.text().includes('stack'));
  });
}

t.test('given a failure that nobody foresaw, then an error with its stack', async (t) => {
  const { send, logs } = await restApp(t, {
    judge: () => {
      throw new TypeError('unforeseen');
    },
  });
  t.match(await send('GET', API), { status: 500, body: { status: 500, detail: 'unforeseen' } });
  t.match(logs.lines, [
    { level: ERROR, msg: 'a request failed', err: { type: 'TypeError', stack: /unforeseen\n +at / } },
  ]);
});

t.test('given such a failure repeats what somebody sent, then the answer is safe to show', async (t) => {
  const { send } = await restApp(t, {
    judge: () => {
      throw new TypeError('unforeseen \u009b2J');
    },
  });
  t.match(await send('GET', API), { status: 500, body: { detail: 'unforeseen \\u{9b}2J' } });
});

t.test('given a request is served, then there is no line', async (t) => {
  const { send, logs } = await restApp(t);
  for (const path of [API, '/api/v1/locks', '/openapi.json', '/docs', '/readyz']) await send('GET', path);
  await send('DELETE', API);
  t.strictSame(logs.lines, []);
});

t.test('given a malformed review, then a warning: only an API server should send them', async (t) => {
  const { send, logs } = await restApp(t);
  await send('POST', '/admission', { headers: { 'content-type': 'application/json' }, body: '{' });
  t.match(logs.lines, [{ level: WARN, status: 400 }]);
});

t.test('given a route of the locks without authentication, then nobody is let in', async (t) => {
  const app = Fastify();
  t.teardown(() => app.close());
  app.decorateRequest('caller', null);
  app.setSerializerCompiler(() => JSON.stringify);
  app.setValidatorCompiler(() => () => true);
  handleErrors(app, () => 'debug');
  const { locks, clock } = bystanders.rest;
  useLocks(app, {
    locks,
    clock,
    authentication: { identify: down, demand: async () => {} },
  });
  const { statusCode, body } = await app.inject('/locks');
  t.equal(statusCode, 500);
  t.match(body, 'a route of the locks was reached without authentication');
});
