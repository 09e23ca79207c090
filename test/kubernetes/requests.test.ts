/** What is sent again, and what is sent once; what is sent at all; and whom a request waits for. */
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { KubeConfig } from '@kubernetes/client-node';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/clock.ts';
import { connect } from '../../src/kubernetes/connection.ts';
import { createRequests, type Requests } from '../../src/kubernetes/requests.ts';
import { failure, never, startMeddling } from '../support/clearing.ts';
import { serving } from '../support/serving.ts';
import { unsafeIn } from '../support/unsafe-text.ts';

interface Seen {
  readonly line: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** How a request is answered: with a status, or by a connection that breaks, before or in the answer. */
type Answer = number | 'broken' | 'cut' | 'html' | { readonly status: number; readonly text: string };

/** A server that answers as told, the last answer for ever, and what it was sent. */
async function serverWith(t: Test, answers: readonly Answer[]) {
  const seen: Seen[] = [];
  const server = createServer(
    { cert: serving.pair.certificate, key: serving.pair.privateKey },
    async (request, response) => {
      const answer = answers[seen.length] ?? answers.at(-1);
      seen.push({
        line: `${request.method} ${request.url}`,
        headers: request.headers,
        body: await text(request),
      });
      if (answer === 'broken') request.socket.destroy();
      else if (answer === 'html') response.end('<html>');
      else if (typeof answer === 'object') response.writeHead(answer.status).end(answer.text);
      else if (answer === 'cut') {
        response.writeHead(200, { 'content-length': '100' });
        response.write('{"half":', () => response.destroy());
      } else response.writeHead(answer ?? 200).end(JSON.stringify({ message: `said ${answer}` }));
    },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close().closeAllConnections());
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromOptions({
    clusters: [
      {
        name: 'c',
        server: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
        caData: Buffer.from(serving.caCertificate).toString('base64'),
      },
    ],
    users: [{ name: 'u', token: 'a-token' }],
    contexts: [{ name: 'c', cluster: 'c', user: 'u' }],
    currentContext: 'c',
  });
  const connection = connect(kubeConfig, { clock: systemClock });
  t.teardown(() => connection.close());
  return { seen, requests: createRequests({ connection, pool: 'errands' }) };
}

const PATH = '/api/v1/things';

const WAYS: Record<'read' | 'ask' | 'write', (requests: Requests, signal?: AbortSignal) => Promise<unknown>> =
  {
    read: ({ read }, signal = never) => read(PATH, { accept: 'application/json' }, signal),
    ask: ({ ask }, signal = never) => ask(PATH, { question: '?' }, signal),
    write: ({ write }, signal = never) => write('PUT', PATH, { a: 1 }, signal),
  };

for (const [what, status, text, message] of [
  [
    'the message of a Status',
    403,
    JSON.stringify({ message: 'no, \u001b[31m\u009b\u202e' }),
    /: 403 no, \\u\{1b\}\[31m/,
  ],
  ['a page of a proxy', 404, '<html>\u009b2J', /: 404 <html>\\u\{9b\}2J$/],
  ['what is no JSON, where JSON is wanted', 200, '\u001b[31m no', /: Unexpected token '\\u\{1b\}'/],
] as const) {
  t.test(`an error is safe to show, whoever answers: ${what}`, async (t) => {
    const { requests } = await serverWith(t, [{ status, text }]);
    const error = (await failure(WAYS.read(requests))) as Error;
    t.match(error, { message });
    t.equal(unsafeIn(error.message), undefined);
  });
}

for (const [way, passing, final] of [
  ['read', [429, 502, 503, 504, 'broken', 'cut'], [400, 401, 403, 404, 409, 422, 500, 501, 505, 301, 'html']],
  ['ask', [429, 502, 503, 504, 'broken', 'cut'], [400, 401, 403, 404, 409, 422, 500, 501, 505, 301, 'html']],
  ['write', [429], [400, 403, 404, 409, 422, 500, 501, 502, 503, 504, 505, 'broken', 'cut', 'html']],
] as const) {
  t.test(`${way}: what is sent again`, async (t) => {
    for (const answer of passing) {
      const twice = await serverWith(t, [answer, answer, 200]);
      t.same(await WAYS[way](twice.requests), { message: 'said 200' }, `given ${answer} twice, it succeeds`);
      t.equal(twice.seen.length, 3);
      t.equal(new Set(twice.seen.map((seen) => JSON.stringify(seen))).size, 1, 'by the same request');

      const always = await serverWith(t, [answer]);
      const expected = typeof answer === 'number' ? { name: 'KubernetesError', status: answer } : Error;
      t.match(await failure(WAYS[way](always.requests)), expected, `given ${answer} always, it fails`);
      t.equal(always.seen.length, 3, 'after three attempts');
    }
  });

  t.test(`${way}: what is sent once`, async (t) => {
    for (const answer of final) {
      const { requests, seen } = await serverWith(t, [answer, 200]);
      const error = await failure(WAYS[way](requests));
      const method = { read: 'GET', ask: 'POST', write: 'PUT' }[way];
      t.match(error, { message: new RegExp(`^${method} ${PATH}: `) }, `given ${answer}`);
      if (typeof answer === 'number') {
        t.match(error, { name: 'KubernetesError', status: answer, message: `${answer} said ${answer}` });
      } else t.not((error as Error).name, 'KubernetesError', 'which is no answer of an API server');
      t.equal(seen.length, 1);
    }
  });

  t.test(`${way}: a caller that leaves between two attempts takes the request along`, async (t) => {
    const { requests, seen } = await serverWith(t, [429]);
    const leaving = new AbortController();
    const leave = setInterval(() => {
      if (seen.length > 0) leaving.abort(new Error('left'));
    });
    const error = (await failure(WAYS[way](requests, leaving.signal))) as Error;
    t.equal(error.message === 'left' ? error : error.cause, leaving.signal.reason);
    clearInterval(leave);
    t.ok(seen.length < 3);
  });
}

t.test('what is sent: JSON with its type, and nothing where there is nothing', async (t) => {
  const { requests, seen } = await serverWith(t, [200]);
  await WAYS.read(requests);
  await WAYS.ask(requests);
  for (const method of ['POST', 'PUT', 'DELETE'] as const) {
    t.same(await requests.write(method, PATH, { text: 'Grüße', gone: undefined }, never), {
      message: 'said 200',
    });
  }
  const body = '{"text":"Grüße"}';
  t.same(
    seen.map(({ line, headers, body }) => [line, headers['content-type'], headers['content-length'], body]),
    [
      [`GET ${PATH}`, undefined, undefined, ''],
      [`POST ${PATH}`, 'application/json', '16', '{"question":"?"}'],
      ...['POST', 'PUT', 'DELETE'].map((method) => [
        `${method} ${PATH}`,
        'application/json',
        String(Buffer.byteLength(body)),
        body,
      ]),
    ],
  );
  for (const { headers } of seen) {
    t.match(headers, {
      authorization: 'Bearer a-token',
      accept: 'application/json',
      'user-agent': 'lockkeeper',
    });
  }
});

t.test(
  'a write or a question may take longer than an attempt to read: others may have to be asked for it',
  async (t) => {
    const { cluster, connection } = await startMeddling(t);
    const requests = createRequests({ connection, pool: 'errands', attemptMs: 40 });
    // Longer than an attempt, whose end comes up to a second late.
    cluster.faults.failRequests(({ userAgent }) =>
      userAgent === 'lockkeeper' ? { delay: 1_500 } : undefined,
    );
    const secrets = '/api/v1/namespaces/prod/secrets';
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'one' } };
    t.match(await requests.write('POST', secrets, secret, never), { metadata: { name: 'one' } });
    const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
    const asking = requests.ask('/apis/authentication.k8s.io/v1/selfsubjectreviews', review, never);
    t.match(await asking, { status: { userInfo: { username: 'lockkeeper' } } });
    const reading = requests.read(secrets, { accept: 'application/json' }, never);
    t.match(await failure(reading), { message: /no answer came in time/ });
  },
);

t.test('errands that hang hold up no request, nor the other way round', async (t) => {
  for (const [hanging, other] of [
    ['errands', 'requests'],
    ['requests', 'errands'],
  ] as const) {
    const { cluster, connection } = await startMeddling(t);
    const slow = createRequests({ connection, pool: hanging });
    const quick = createRequests({ connection, pool: other });
    const hung = Promise.withResolvers<void>();
    let arrived = 0;
    const end = cluster.faults.failRequests(({ userAgent }) => {
      if (userAgent !== 'lockkeeper') return undefined;
      arrived += 1;
      if (arrived === 2) hung.resolve();
      return { hang: true };
    });
    const leaving = new AbortController();
    const path = '/api/v1/namespaces/prod/secrets';
    const read = ({ read }: Requests, signal: AbortSignal) =>
      read(path, { accept: 'application/json' }, signal);
    const stuck = Promise.all(Array.from({ length: 5 }, () => failure(read(slow, leaving.signal))));
    await hung.promise;
    end();
    t.match(await read(quick, never), { items: [] }, `given ${hanging} that hang, ${other} are answered`);
    t.equal(arrived, 2, 'the rest of those that hang wait for a connection');
    t.equal(cluster.traffic.connectionsOpened().get('lockkeeper'), 3, 'over connections of their own');
    leaving.abort(new Error('left'));
    t.match(
      await stuck,
      Array.from({ length: 5 }, () => ({ message: 'left' })),
    );
  }
});
