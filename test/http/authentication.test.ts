/** Who may come in: bearer tokens, each asked about once in ten seconds. */
import { randomBytes } from 'node:crypto';
import { getHeapSnapshot } from 'node:v8';
import type { FastifyRequest } from 'fastify';
import t from 'tap';
import { createAuthentication, type Identity } from '../../src/http/authentication.ts';
import { bystanders, restApp } from '../support/app.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { undocumented } from './documented.ts';

const API = '/api/v1/namespaces/prod/locks/api';
const ENDPOINTS = [
  ['GET', '/api/v1/locks'],
  ['GET', '/api/v1/namespaces/prod/locks'],
  ['GET', API],
  ['GET', `${API}/wait`],
  ['DELETE', API],
] as const;
const HOW_TO_LOG_IN =
  'Send a token of the cluster, such as: -H "Authorization: Bearer $(kubectl create token SERVICEACCOUNT -n NAMESPACE)"';

t.test('given no token that is accepted, then 401 says why and what to do, on every endpoint', async (t) => {
  const { send, asked } = await restApp(t, { whose: async () => undefined });
  const document = (await send('GET', '/openapi.json', { token: null })).body;
  const noBearer = 'the Authorization header is not “Bearer <token>”';
  for (const [name, headers, why] of [
    ['no header', {}, 'there is no Authorization header'],
    ['an empty header', { authorization: '' }, noBearer],
    ['another scheme', { authorization: 'Basic YWxpY2U6c2VjcmV0' }, noBearer],
    ['a bare token', { authorization: 'secret' }, noBearer],
    ['no token', { authorization: 'Bearer' }, noBearer],
    ['an empty token', { authorization: 'Bearer ' }, noBearer],
    ['two tokens', { authorization: 'Bearer one two' }, noBearer],
    ['two headers in one', { authorization: 'Bearer one, Bearer two' }, noBearer],
    ['a longer scheme', { authorization: 'Bearerx secret' }, noBearer],
    [
      'a token that is not accepted',
      { authorization: 'Bearer secret' },
      'the API server does not accept this token: it may have expired, or be for another cluster',
    ],
  ] as const) {
    for (const [method, path] of ENDPOINTS) {
      const answer = await send(method, path, { token: null, headers });
      t.equal(answer.headers['www-authenticate'], 'Bearer realm="lockkeeper"', `${name}, ${method} ${path}`);
      t.strictSame(
        answer.body,
        {
          type: 'about:blank',
          title: 'Unauthorized',
          status: 401,
          detail: `${why}. ${HOW_TO_LOG_IN}`,
        },
        `${name}, ${method} ${path}`,
      );
      t.equal(answer.status, 401);
      t.equal(undocumented(document, method, path, answer), undefined, 'as documented');
    }
  }
  t.strictSame(new Set(asked.tokens), new Set(['secret']), 'the API server hears of tokens only');
  t.strictSame([asked.rights, asked.list, asked.find, asked.wait, asked.clear], [[], [], [], [], []]);
});

t.test('given no token, then wrong parameters are not looked at', async (t) => {
  const { send } = await restApp(t);
  t.equal((await send('DELETE', `${API}?force=1`, { token: null })).status, 401);
});

t.test('given a token in any spelling of the scheme, then it is asked about as it is', async (t) => {
  const { send, asked } = await restApp(t);
  for (const authorization of ['Bearer a.b-c_d', 'bearer a.b-c_d', 'BEARER   a.b-c_d  ']) {
    const { status } = await send('DELETE', API, { token: null, headers: { authorization } });
    t.equal(status, 200, authorization);
  }
  t.strictSame(asked.tokens, ['a.b-c_d', 'a.b-c_d', 'a.b-c_d']);
});

for (const [what, identity, status] of [
  ['yes', { username: 'alice' }, 200],
  ['no', undefined, 401],
] as const) {
  t.test(`given the API server said ${what}, then that counts for ten seconds`, async (t) => {
    const { send, asked, clock } = await restApp(t, { whose: async () => identity });
    const get = async () => (await send('GET', API)).status;
    t.equal(await get(), status);
    clock.advance(9_999);
    t.equal(await get(), status);
    t.equal(asked.tokens.length, 1, 'asked once');
    clock.advance(1);
    t.equal(await get(), status);
    clock.advance(1);
    t.equal(await get(), status);
    t.equal(asked.tokens.length, 2, 'and once again when the time is over, which use does not prolong');
  });

  t.test(`given the API server says ${what} to 100 requests at once, then it is asked once`, async (t) => {
    const { send, asked } = await restApp(t, {
      whose: async () => {
        await new Promise((resolve) => setImmediate(resolve));
        return identity;
      },
    });
    const answers = await Promise.all(Array.from({ length: 100 }, () => send('GET', API)));
    t.ok(answers.every((answer) => answer.status === status));
    t.equal(asked.tokens.length, 1);
  });
}

t.test('given two tokens, then the word about one does not count for the other', async (t) => {
  const { send, asked } = await restApp(t, {
    whose: async (token) => (token === 'good' ? { username: 'alice' } : undefined),
  });
  for (const [token, status] of [
    ['good', 200],
    ['goo', 401],
    ['goodd', 401],
    ['Good', 401],
    ['good', 200],
  ] as const) {
    t.equal((await send('GET', API, { token })).status, status, token);
  }
  t.strictSame(asked.tokens, ['good', 'goo', 'goodd', 'Good']);
});

t.test('given the API server could not be asked, then the next request asks anew', async (t) => {
  const answers: (() => Promise<Identity>)[] = [
    async () => {
      throw new Error('connect ECONNREFUSED');
    },
    async () => ({ username: 'alice' }),
  ];
  const { send, asked } = await restApp(t, {
    whose: () => (answers.shift() ?? t.fail)() as Promise<Identity>,
  });
  const refused = await send('GET', API);
  t.match(refused, {
    status: 503,
    headers: { 'retry-after': '2' },
    body: { status: 503, detail: /^the API server cannot be asked now whose token this is/ },
  });
  t.equal((await send('GET', API)).status, 200);
  t.equal(asked.tokens.length, 2);
});

t.test(
  'given a known token expired, and the API server cannot be asked, then nobody is let in',
  async (t) => {
    let isUp = true;
    const { send, clock } = await restApp(t, {
      whose: async () => {
        if (isUp) return { username: 'alice' };
        throw new Error('down');
      },
    });
    t.equal((await send('GET', API)).status, 200);
    isUp = false;
    clock.advance(10_001);
    t.equal((await send('GET', API)).status, 503);
    t.equal((await send('GET', API)).status, 503);
  },
);

t.test('DELETE asks each time, whatever was known a moment ago', async (t) => {
  let identity: Identity | undefined = { username: 'alice' };
  const { send, asked } = await restApp(t, { whose: async () => identity });
  t.equal((await send('GET', API)).status, 200);
  t.equal((await send('DELETE', API)).status, 200);
  t.equal((await send('DELETE', API)).status, 200);
  t.equal(asked.tokens.length, 3);
  identity = undefined;
  t.equal((await send('DELETE', API)).status, 401, 'a token that was revoked clears nothing');
  t.equal(asked.clear.length, 2);
  t.equal((await send('GET', API)).status, 401, 'and from then on it shows nothing');
  identity = { username: 'alice' };
  t.equal((await send('GET', API, { token: 'refused' })).status, 200);
  t.equal((await send('DELETE', API)).status, 200);
});

t.test('DELETE is let in by a token that was refused a moment ago, if it is accepted now', async (t) => {
  let identity: Identity | undefined;
  const { send } = await restApp(t, { whose: async () => identity });
  t.equal((await send('GET', API)).status, 401);
  identity = { username: 'alice' };
  t.equal((await send('DELETE', API)).status, 200);
});

t.test('given more tokens than are remembered, then the oldest is asked about again', async (t) => {
  let asked = 0;
  const { identify } = authenticationOf(async () => {
    asked += 1;
    return { username: 'alice' };
  });
  for (let index = 0; index <= 10_000; index += 1) await identify(requestWith(`token-${index}`), false);
  await identify(requestWith('token-10000'), false);
  t.equal(asked, 10_001);
  await identify(requestWith('token-0'), false);
  t.equal(asked, 10_002);
});

function authenticationOf(whose: (token: string) => Promise<Identity | undefined>) {
  return createAuthentication({
    reviews: { ...bystanders.rest.reviews, whose },
    beforeAsking: async () => {},
    onRefused: async () => {},
    now: fakeClock().now,
  });
}

/** As much of a request as is looked at. */
function requestWith(token: string): FastifyRequest {
  return { headers: { authorization: `Bearer ${token}` } } as FastifyRequest;
}

/** Whether a string that is made of these bytes is anywhere in the memory of this process. */
async function isInMemory(secret: Buffer): Promise<boolean> {
  /secret/.exec('no secret'); // V8 remembers what the last expression was matched against
  const needle = Buffer.from(secret.toString('hex'));
  let rest = Buffer.alloc(0);
  for await (const chunk of getHeapSnapshot()) {
    const text = Buffer.concat([rest, chunk]);
    if (text.includes(needle)) return true;
    rest = text.subarray(-needle.length);
  }
  return false;
}

t.test('given a token was accepted, then it is known again, and is nowhere in memory', async (t) => {
  // The bytes of a buffer are no string: the snapshot does not show them.
  const secret = randomBytes(24);
  let asked = 0;
  const authentication = authenticationOf(async () => {
    asked += 1;
    return { username: 'alice' };
  });
  const identify = async () => authentication.identify(requestWith(secret.toString('hex')), false);
  await identify();
  const kept = [`Bearer ${secret.toString('hex')}`].map((text) => text.slice(7));
  t.ok(await isInMemory(secret), 'it would be found if it were kept');
  kept.length = 0;
  t.notOk(await isInMemory(secret), 'it is not');
  t.same(await identify(), { identity: { username: 'alice' }, name: 'alice' });
  t.equal(asked, 1);
});
