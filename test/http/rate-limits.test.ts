/**
 * How often anybody may ask. @fastify/rate-limit counts by `Date.now`, which is turned by hand here; everything else
 * keeps its own time.
 */
import t, { type Test } from 'tap';
import { deployReview } from '../fixtures/reviews.ts';
import { type RestApp, restApp, type SendOptions } from '../support/app.ts';
import { undocumented } from './documented.ts';

const LOCKS = '/api/v1/locks';
const API = '/api/v1/namespaces/prod/locks/api';

function turnDate(t: Test): { advance(ms: number): void } {
  let now = Date.now();
  t.intercept(Date, 'now', { value: () => now });
  return {
    advance: (ms) => {
      now += ms;
    },
  };
}

/** How many of so many requests were answered with each status. */
async function count({ send }: RestApp, times: number, options: (index: number) => SendOptions = () => ({})) {
  const counts: Record<number, number> = {};
  for (let index = 0; index < times; index += 1) {
    const { status } = await send('GET', LOCKS, options(index));
    counts[status] = (counts[status] ?? 0) + 1;
  }
  return counts;
}

t.test(
  'given 3,000 requests of an identity in a minute, then the next is told when to come back',
  async (t) => {
    const date = turnDate(t);
    const rest = await restApp(t, { whose: async (token) => ({ username: token.replace(/\d/, '') }) });
    const document = (await rest.send('GET', '/openapi.json')).body;
    t.strictSame(await count(rest, 2_998), { 200: 2_998 });
    t.strictSame(await count(rest, 2, () => ({ token: 'alice2', remoteAddress: '10.0.0.2' })), { 200: 2 });
    date.advance(17_001);

    for (const token of ['alice', 'alice2', 'alice3']) {
      const answer = await rest.send('GET', LOCKS, { token });
      t.equal(answer.status, 429, token);
      t.equal(answer.headers['retry-after'], '43');
      t.strictSame(answer.body, {
        type: 'about:blank',
        title: 'Too Many Requests',
        status: 429,
        detail: 'too many requests of alice: there may be 3000 in a minute. Come back in 43s',
      });
      t.equal(undocumented(document, 'GET', LOCKS, answer), undefined, 'as documented');
    }
    t.equal((await rest.send('DELETE', API)).status, 429, 'on every endpoint');
    t.equal(rest.asked.clear.length, 0);
    t.equal((await rest.send('GET', LOCKS, { token: 'bob' })).status, 200, 'nobody else is concerned');

    date.advance(42_998);
    t.equal((await rest.send('GET', LOCKS)).status, 429);
    date.advance(1);
    t.strictSame(await count(rest, 3_001), { 200: 3_000, 429: 1 }, 'a minute later, it begins anew');
  },
);

t.test('given an identity is limited, then the cluster is not asked any more', async (t) => {
  const rest = await restApp(t);
  await count(rest, 3_001);
  t.equal(rest.asked.list.length, 3_000);
});

t.test('given 600 refused tokens of an address in a minute, then the next is not asked about', async (t) => {
  const date = turnDate(t);
  const rest = await restApp(t, {
    whose: async (token) => (token.startsWith('guess') ? undefined : { username: token }),
  });
  t.equal((await rest.send('GET', LOCKS)).status, 200, 'Alice is known from here on');
  const guess = (index: number) => ({ token: `guess-${index}` });
  t.strictSame(await count(rest, 599, guess), { 401: 599 });
  date.advance(30_000);
  t.equal((await rest.send('DELETE', API, guess(599))).status, 401, 'the last one');

  const { status, headers, body } = await rest.send('GET', LOCKS, guess(600));
  t.equal(status, 429);
  t.equal(headers['retry-after'], '30');
  t.strictSame(body, {
    type: 'about:blank',
    title: 'Too Many Requests',
    status: 429,
    detail:
      'too many tokens that the API server does not accept: there may be 600 in a minute. Come back in 30s',
  });
  t.equal(rest.asked.tokens.length, 601);
  t.equal((await rest.send('GET', LOCKS, guess(5))).status, 401, 'what is known to be wrong costs nothing');
  rest.clock.advance(60_000);
  for (const method of ['GET', 'DELETE'] as const) {
    t.equal((await rest.send(method, API)).status, 200, 'who was accepted within an hour goes on');
  }
  t.equal((await rest.send('GET', LOCKS, { token: 'bob' })).status, 429, 'who was never seen does not');
  t.equal((await rest.send('GET', LOCKS, { token: 'bob', remoteAddress: '10.0.0.2' })).status, 200);
  t.equal((await rest.send('GET', LOCKS, { token: null })).status, 401, 'no token is no question');

  date.advance(30_000);
  t.equal((await rest.send('GET', LOCKS, { token: 'guess-601' })).status, 401, 'a minute later, it is');
});

t.test('given a thousand who are accepted, all from one address, then nobody is a stranger', async (t) => {
  const rest = await restApp(t);
  const statuses = await count(rest, 1_000, (index) => ({ token: `user-${index}` }));
  t.strictSame(statuses, { 200: 1_000 });
});

t.test('the webhook, the probes and the documents are never limited, nor do they count', async (t) => {
  const rest = await restApp(t);
  await count(rest, 3_001);
  const statuses = new Set<number>();
  const payload = deployReview();
  for (let index = 0; index < 5_000; index += 1) {
    const { statusCode } = await rest.app.inject({
      method: 'POST',
      url: '/admission?timeout=15s',
      remoteAddress: '10.0.0.1',
      headers: { authorization: 'Bearer alice' },
      payload,
    });
    statuses.add(statusCode);
  }
  t.strictSame(statuses, new Set([200]));
  for (const path of ['/readyz', '/livez', '/docs', '/openapi.json']) {
    const answers = new Set<number>();
    for (let index = 0; index < 601; index += 1) answers.add((await rest.send('GET', path)).status);
    t.strictSame(answers, new Set([200]), path);
  }
});
