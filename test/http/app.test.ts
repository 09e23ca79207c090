/** The HTTPS listener, asked over real HTTPS: what an API server, a probe and a stranger get. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { type AddressInfo, connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import t, { type Test } from 'tap';
import { Agent } from 'undici';
import type { Verdict } from '../../src/gate/admission-review.ts';
import type { Call, Gate } from '../../src/gate/hold.ts';
import { parseDuration } from '../../src/http/admission.ts';
import { buildApp, buildPlainApp } from '../../src/http/app.ts';
import { trackConnections } from '../../src/http/connections.ts';
import { createMetrics } from '../../src/http/metrics.ts';
import { issueAuthority, issueServingCertificate, type KeyPair } from '../../src/tls/issue.ts';
import { deployReview, fixture } from '../fixtures/reviews.ts';
import { bystanders } from '../support/app.ts';
import { testLog } from '../support/log.ts';

const now = new Date();
const authority: KeyPair = await issueAuthority({ commonName: 'test', validDays: 1, now });
const tls: KeyPair = await issueServingCertificate(authority, { hosts: ['127.0.0.1'], validDays: 1, now });

/** A gate that answers what it is told to, and keeps the calls. */
function fakeGate(answer: (call: Call) => Promise<Verdict>): Gate & { calls: Call[]; closed: () => boolean } {
  const calls: Call[] = [];
  let closed = false;
  return {
    calls,
    closed: () => closed,
    review: (_review, call) => {
      calls.push(call);
      return answer(call);
    },
    held: () => 3,
    waiting: () => 0,
    close: () => {
      closed = true;
    },
  };
}

const metricsOf = (gate: Gate) =>
  createMetrics({
    isReady: () => true,
    heldNow: gate.held,
    verdicts: async () => ['live', 'expired', 'live'],
    certificates: () => [
      { certificate: 'serving', expiresAt: 1_795_352_358_000 },
      { certificate: 'authority', expiresAt: undefined },
    ],
    lastEvents: () => [
      { resource: 'secrets', at: 1_795_352_358_250 },
      { resource: 'configmaps', at: undefined },
    ],
  });

const allowing = () => fakeGate(async () => ({ allowed: true, warnings: [] }));

async function serve(
  t: Test,
  gate: Gate = allowing(),
  reasons: string[] = [],
  onClose: () => Promise<void> | void = () => gate.close(),
  notes: string[] = [],
) {
  const logs = testLog();
  const readiness = { reasons: () => reasons, notes: () => notes };
  const metrics = metricsOf(gate);
  const app = buildApp({ ...bystanders, tls, admission: gate, readiness, metrics, log: logs.log, onClose });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const dispatcher = new Agent({ connect: { ca: authority.certificate }, allowH2: false });
  t.teardown(() => Promise.all([app.close(), dispatcher.close()]));
  const { port } = app.server.address() as AddressInfo;
  const origin = `https://127.0.0.1:${port}`;

  async function send(
    method: 'GET' | 'POST',
    path: string,
    body?: string | object,
    contentType = 'application/json',
  ) {
    const response = await dispatcher.request({
      origin,
      path,
      method,
      headers: body === undefined ? {} : { 'content-type': contentType },
      body: typeof body === 'object' ? JSON.stringify(body) : (body ?? null),
    });
    const answer = await response.body.text();
    const json = String(response.headers['content-type']).includes('json');
    return {
      status: response.statusCode,
      headers: response.headers,
      body: json ? JSON.parse(answer) : answer,
    };
  }
  return { app, gate, logs, metrics, port, send };
}

t.test('a review is answered as a review, with its uid', async (t) => {
  const { send } = await serve(t);
  const review = fixture('helm4.1.4-upgrade-create-pending-upgrade');
  const { status, headers, body } = await send('POST', '/admission?timeout=15s', review);
  t.equal(status, 200);
  t.match(headers['content-type'], 'application/json');
  t.same(body, {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: { uid: review.request.uid, allowed: true },
  });
});

t.test('trap 18: the connection is kept for longer than the 90 s of an API server', async (t) => {
  const { send, app } = await serve(t);
  const { headers } = await send('POST', '/admission', deployReview());
  t.equal(headers.connection, 'keep-alive');
  t.equal(headers['keep-alive'], 'timeout=120');
  for (const limit of ['keepAliveTimeout', 'headersTimeout', 'requestTimeout'] as const) {
    t.ok(
      app.server[limit] > 90_000,
      `${limit}: a spare connection, which carried no request yet, is kept as well`,
    );
  }
});

t.test('trap 18: the gate is told how long the API server waits', async (t) => {
  const gate = allowing();
  const { send } = await serve(t, gate);
  for (const [query, timeoutMs] of [
    ['?timeout=15s', 15_000],
    ['?timeout=30s', 30_000],
    ['', undefined],
    ['?timeout=soon', undefined],
    ['?timeout=1s&timeout=2s', undefined],
  ] as const) {
    t.equal((await send('POST', `/admission${query}`, deployReview())).status, 200);
    t.equal(gate.calls.at(-1)?.timeoutMs, timeoutMs, query);
  }
});

t.test('durations as Go writes them', async (t) => {
  for (const [duration, ms] of [
    ['15s', 15_000],
    ['0m20.5s', 20_500],
    ['1m30s', 30_000],
    ['1h0m0s', 30_000],
    [`${'9'.repeat(400)}h`, 30_000],
    ['500ms', 500],
    ['1.5s', 1_500],
    ['15', undefined],
    ['', undefined],
    ['-1s', undefined],
    [15, undefined],
  ] as const) {
    t.equal(parseDuration(duration), ms, String(duration));
  }
});

t.test('trap 17: bodies of up to 7 MiB are read', async (t) => {
  const { send } = await serve(t);
  const payload = (bytes: number) => deployReview({ reviewUid: 'r-1', payload: 'x'.repeat(bytes) });
  const overhead = JSON.stringify(payload(0)).length;
  const most = await send('POST', '/admission', payload(7 * 1024 * 1024 - overhead));
  t.match(most, { status: 200, body: { response: { allowed: true } } });
  const longer = await send('POST', '/admission', payload(7 * 1024 * 1024 - overhead + 1));
  const message = 'not an AdmissionReview of admission.k8s.io/v1: it is longer than 7340032 bytes';
  t.match(longer, {
    status: 200,
    body: { response: { uid: 'r-1', allowed: false, status: { code: 400, message } } },
  });
});

t.test('a review that is too much is denied, so that no failurePolicy lets it through', async (t) => {
  const gate = allowing();
  const { send, metrics } = await serve(t, gate);
  const review = deployReview({ reviewUid: 'r-1' });
  Object.assign(review.request.userInfo, { groups: Array(30_000).fill('a') });
  t.match(await send('POST', '/admission', review), {
    status: 200,
    body: {
      response: { uid: 'r-1', allowed: false, status: { code: 400, message: /more than 20000 parts$/ } },
    },
  });
  t.match(await send('POST', '/admission', JSON.stringify({ more: Array(30_000).fill(1) })), {
    status: 400,
    body: { detail: /more than 20000 parts$/ },
  });
  t.equal(gate.calls.length, 0);
  t.match(
    await metrics.text(),
    'lockkeeper_admission_requests_total{operation="other",decision="denied-400"} 2\n',
  );
});

t.test('what no API server can send is refused, and its connection ended', async (t) => {
  const { port } = await serve(t);
  for (const [given, length, expected] of [
    ['it says so', `Content-Length: ${18 * 1024 * 1024 + 1}`, /^HTTP\/1\.1 413 /],
    // Who is still sending may not hear of the answer.
    ['it does not say how long it is', 'Transfer-Encoding: chunked', /^(HTTP\/1\.1 413 |$)/],
  ] as const) {
    const socket = connectTls({ port, host: '127.0.0.1', ca: authority.certificate });
    const said: Buffer[] = [];
    socket.on('data', (bytes) => said.push(bytes)).on('error', () => {});
    socket.write(
      `POST /admission HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n${length}\r\n\r\n`,
    );
    const closed = new Promise((resolve) => socket.once('close', resolve));
    const chunk = `100000\r\n${'x'.repeat(1024 * 1024)}\r\n`;
    const more = () => {
      while (!socket.destroyed && socket.writable && socket.write(chunk));
    };
    if (length.startsWith('Transfer')) more();
    socket.on('drain', more);
    await closed;
    t.match(Buffer.concat(said).toString(), expected, given);
  }
});

t.test('a body that does not arrive is no review', async (t) => {
  const { port, logs } = await serve(t);
  const told = logs.nextLine('a request was refused');
  const socket = connectTls({ port, host: '127.0.0.1', ca: authority.certificate });
  socket.write(
    'POST /admission HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{',
  );
  await once(socket, 'secureConnect');
  socket.end();
  t.match(await told, { status: 400, reason: 'the body did not arrive' });
});

t.test('nonsense is refused in words, as a problem', async (t) => {
  const { send } = await serve(t);
  for (const [name, body, contentType, status, detail] of [
    ['no JSON', '{', 'application/json', 400, /^the body is not JSON$/],
    ['nothing', '', 'application/json', 400, /^the body is not JSON$/],
    ['a number', '7', 'application/json', 400, /the body must be object/],
    ['an empty object', {}, 'application/json', 400, /required properties apiVersion, kind, request/],
    ['a form', 'a=b', 'application/x-www-form-urlencoded', 415, /Unsupported Media Type/],
    ['protobuf', 'k8s\0', 'application/vnd.kubernetes.protobuf', 415, /Unsupported Media Type/],
  ] as const) {
    const answer = await send('POST', '/admission', body, contentType);
    t.equal(answer.status, status, name);
    t.match(answer.headers['content-type'], 'application/problem+json', name);
    t.match(answer.body, { type: 'about:blank', status, detail }, name);
  }
  t.match(await send('GET', '/admission'), { status: 404, body: { detail: 'there is no GET /admission' } });
  t.match(await send('POST', '/elsewhere?x=1', {}), {
    status: 404,
    body: { detail: 'there is no POST /elsewhere' },
  });
});

t.test('a malformed review that has a uid is denied as a review', async (t) => {
  const { send } = await serve(t);
  const { status, body } = await send('POST', '/admission', {
    ...deployReview({ reviewUid: 'r-1' }),
    kind: 'X',
  });
  t.equal(status, 200);
  t.match(body, {
    response: {
      uid: 'r-1',
      allowed: false,
      status: { code: 400, reason: 'BadRequest', message: /kind must be/ },
    },
  });
});

t.test('a Secret with a key named __proto__ or constructor is a Secret like any other', async (t) => {
  const { send } = await serve(t);
  const review = JSON.stringify(deployReview()).replace(
    '"data":{',
    '"data":{"__proto__":"eA==","constructor":{"prototype":1},',
  );
  t.match(await send('POST', '/admission', review), { status: 200, body: { response: { allowed: true } } });
});

t.test('the cluster cannot be read: 500, so that failurePolicy alone decides', async (t) => {
  const gate = fakeGate(async () => {
    throw new Error('GET /api/v1/…: 503 etcd is down');
  });
  const { send } = await serve(t, gate);
  t.match(await send('POST', '/admission', deployReview()), {
    status: 500,
    headers: { 'content-type': 'text/plain; charset=utf-8' },
    body: 'lockkeeper cannot read release records: GET /api/v1/…: 503 etcd is down',
  });
});

t.test('the API server hangs up in mid-hold: the gate is told', async (t) => {
  const called = Promise.withResolvers<Call>();
  const gate = fakeGate((call) => {
    called.resolve(call);
    return new Promise((_, reject) =>
      call.signal.addEventListener('abort', () => reject(call.signal.reason)),
    );
  });
  const { port, logs } = await serve(t, gate);
  const outgoing = httpsRequest({
    port,
    host: '127.0.0.1',
    ca: authority.certificate,
    path: '/admission?timeout=15s',
    method: 'POST',
    headers: { 'content-type': 'application/json' },
  });
  outgoing.on('error', () => {});
  outgoing.end(JSON.stringify(deployReview()));
  const { signal } = await called.promise;
  t.notOk(signal.aborted);
  const aborted = new Promise((resolve) => signal.addEventListener('abort', resolve));
  outgoing.destroy();
  await aborted;
  t.match(signal.reason, { message: 'the caller hung up' });
  t.notOk(logs.messages().includes('a request failed'), 'which is no failure of ours');
});

t.test('an answered call is not taken for a hang-up', async (t) => {
  const gate = allowing();
  const { app, send } = await serve(t, gate);
  await send('POST', '/admission', deployReview());
  await app.close();
  t.notOk(gate.calls[0]?.signal.aborted);
});

t.test('closing sends every held call away, answers it, and drops its connection', async (t) => {
  const held = Promise.withResolvers<Verdict>();
  const arrived = Promise.withResolvers<void>();
  const gate = fakeGate(() => {
    arrived.resolve();
    return held.promise;
  });
  const close = gate.close;
  gate.close = () => {
    close();
    held.resolve({ allowed: false, denial: { code: 429, message: 'later', retryAfterSeconds: 1 } });
  };
  const { app, send } = await serve(t, gate);
  const answer = send('POST', '/admission', deployReview());
  await arrived.promise;
  await app.close();
  t.ok(gate.closed());
  t.match(await answer, {
    status: 200,
    headers: { connection: 'close' },
    body: { response: { allowed: false, status: { code: 429 } } },
  });
});

t.test(
  'while it drains, it is there for all who come, and asks each to connect elsewhere next time',
  async (t) => {
    const draining = Promise.withResolvers<void>();
    const drained = Promise.withResolvers<void>();
    const { app, port } = await serve(t, allowing(), [], () => {
      draining.resolve();
      return drained.promise;
    });
    const ask = 'GET /livez HTTP/1.1\r\nHost: lockkeeper\r\n\r\n';
    const connected = async () => {
      const socket = connectTls({ port, host: '127.0.0.1', ca: authority.certificate });
      await once(socket, 'secureConnect');
      return socket;
    };
    const answer = async (socket: Socket) => {
      socket.write(ask);
      const [bytes] = await once(socket, 'data');
      return String(bytes);
    };
    const [used, idle, spare] = [await connected(), await connected(), await connected()];
    for (const socket of [used, idle]) t.match(await answer(socket), /^connection: keep-alive/im);

    const closed = app.close();
    await draining.promise;
    for (const [name, socket] of [
      ['a connection that was idle', used],
      ['a new connection', await connected()],
    ] as const) {
      const ended = once(socket, 'end');
      t.match(await answer(socket), /^HTTP\/1\.1 200 (.+\r\n)*connection: close/im, name);
      await ended;
      t.pass(`${name} is ended with its answer`);
    }
    t.notOk(idle.readableEnded || spare.readableEnded, 'those that nobody asks over stay open');
    t.match(await answer(spare), /^HTTP\/1\.1 200 /, 'and are answered until the end');

    const ended = once(idle, 'close');
    idle.on('error', () => {});
    drained.resolve();
    await ended;
    await closed;
    const late = connectTcp(port, '127.0.0.1');
    const [refusal] = await once(late, 'error');
    t.match(refusal, { code: 'ECONNREFUSED' }, 'then nobody is there any more');
  },
);

t.test('probes, over HTTPS and over HTTP', async (t) => {
  const reasons: string[] = [];
  const notes: string[] = [];
  const { send } = await serve(t, allowing(), reasons, undefined, notes);
  const probes = buildPlainApp({
    readiness: { reasons: () => reasons, notes: () => notes },
    metrics: metricsOf(allowing()),
    log: testLog().log,
  });
  t.teardown(() => probes.close());
  const asks: [string, (path: string) => Promise<{ status: number; body: unknown }>][] = [
    ['HTTPS', (path) => send('GET', path)],
    [
      'HTTP',
      async (path) => {
        const { statusCode, body } = await probes.inject(path);
        return { status: statusCode, body };
      },
    ],
  ];
  for (const [name, get] of asks) {
    reasons.length = 0;
    notes.length = 0;
    t.match(await get('/livez'), { status: 200, body: 'ok\n' }, name);
    t.match(await get('/readyz'), { status: 200, body: 'ok\n' }, name);
    notes.push('the certificate is valid for 3d');
    t.match(await get('/readyz'), { status: 200, body: 'ok\nthe certificate is valid for 3d\n' }, name);
    reasons.push('shutting down', 'not listed yet');
    t.match(await get('/livez'), { status: 200, body: 'ok\n' }, `${name}: not ready is not dead`);
    t.match(
      await get('/readyz'),
      {
        status: 503,
        body: 'not ready: shutting down\nnot ready: not listed yet\nthe certificate is valid for 3d\n',
      },
      name,
    );
    t.match(await get('/metricz'), { status: 404 }, name);
  }
});

t.test('a failure that nobody foresaw is a problem and a log line', async (t) => {
  const logs = testLog();
  const readiness = {
    reasons: (): string[] => {
      throw new Error('unforeseen');
    },
    notes: () => [],
  };
  const probes = buildPlainApp({ readiness, metrics: metricsOf(allowing()), log: logs.log });
  t.teardown(() => probes.close());
  t.equal((await probes.inject('/readyz')).statusCode, 500);
  t.match(logs.lines, [{ level: 50, msg: 'a request failed', err: { message: 'unforeseen' } }]);
});

t.test('plain HTTP on the HTTPS port is turned down, and the next call is served', async (t) => {
  const { port, send } = await serve(t);
  const plain = new Agent();
  t.teardown(() => plain.close());
  await t.rejects(plain.request({ origin: `http://127.0.0.1:${port}`, path: '/livez', method: 'GET' }));
  t.equal((await send('GET', '/livez')).status, 200);
});

t.test('metrics: every name of the contract, and no name that a forged review could invent', async (t) => {
  const answers: (() => Promise<Verdict>)[] = [
    async () => ({ allowed: true, warnings: [] }),
    async () => ({ allowed: false, denial: { code: 429, message: 'later', retryAfterSeconds: 1 } }),
    async () => ({ allowed: false, denial: { code: 409, message: 'no' } }),
    async () => {
      throw new Error('unreadable');
    },
  ];
  const gate = fakeGate(() => (answers.shift() as () => Promise<Verdict>)());
  const metrics = metricsOf(gate);
  const readiness = { reasons: () => [], notes: () => [] };
  const log = testLog().log;
  const app = buildApp({ ...bystanders, tls, admission: gate, readiness, metrics, log });
  const plain = buildPlainApp({ readiness, metrics, log });
  t.teardown(() => Promise.all([app.close(), plain.close()]));

  const forged = deployReview();
  forged.request.operation = 'MAKE-ME-A-TIME-SERIES';
  for (const payload of [deployReview(), deployReview(), deployReview(), forged]) {
    await app.inject({ method: 'POST', url: '/admission', payload });
  }
  metrics.held(1.5);
  const { body, headers } = await plain.inject('/metrics');
  t.match(headers['content-type'], /^text\/plain; version=0\.0\.4/);
  for (const line of [
    'lockkeeper_admission_requests_total{operation="CREATE",decision="allowed"} 1',
    'lockkeeper_admission_requests_total{operation="CREATE",decision="denied-429"} 1',
    'lockkeeper_admission_requests_total{operation="CREATE",decision="denied-409"} 1',
    'lockkeeper_admission_requests_total{operation="other",decision="unreadable"} 1',
    'lockkeeper_admission_duration_seconds_count 4',
    'lockkeeper_hold_duration_seconds_bucket{le="1"} 0',
    'lockkeeper_hold_duration_seconds_bucket{le="2"} 1',
    'lockkeeper_held_requests 3',
    'lockkeeper_watch_last_event_timestamp_seconds{resource="secrets"} 1795352358.25',
    'process_resident_memory_bytes ',
  ]) {
    t.ok(body.includes(`\n${line}`), line);
  }
  t.notMatch(body, /configmaps/, 'a watch that never heard anything has no time');
  t.equal((await app.inject('/metrics')).statusCode, 404, 'not on the port that the cluster calls');
});

t.test('closing waits for no connection that carries no request', async (t) => {
  const { app, port } = await serve(t);
  const ended = (socket: Socket) =>
    new Promise((resolve) => socket.on('error', resolve).on('close', resolve));
  const bare = connectTcp(port, '127.0.0.1');
  await once(bare, 'connect');
  const spare = connectTls({ port, host: '127.0.0.1', ca: authority.certificate });
  await once(spare, 'secureConnect');
  const halfSent = connectTls({ port, host: '127.0.0.1', ca: authority.certificate });
  await once(halfSent, 'secureConnect');
  halfSent.write('POST /admission HTTP/1.1\r\nHost: half');
  const used = connectTls({ port, host: '127.0.0.1', ca: authority.certificate });
  used.write('GET /livez HTTP/1.1\r\nHost: used\r\n\r\n');
  await once(used, 'data');
  const ends = [bare, spare, halfSent, used].map(ended);
  const began = performance.now();
  await app.close();
  await Promise.all(ends);
  const ms = performance.now() - began;
  t.ok(ms < 2_500, `all are closed after ${ms.toFixed()} ms, long before it would give up on a request`);
});

t.test('closing gives up on a body that never comes', async (t) => {
  const server = createServer();
  const connections = trackConnections(server);
  const asked = once(server, 'request');
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stuck = connectTcp((server.address() as AddressInfo).port, '127.0.0.1');
  stuck.on('error', () => {});
  stuck.write('POST / HTTP/1.1\r\nHost: stuck\r\nContent-Length: 9\r\n\r\n');
  await asked;
  const closed = once(server, 'close');
  server.close();
  connections.endUnused();
  t.notOk(stuck.closed, 'a request that is being received is waited for');
  connections.endAll();
  await closed;
  t.pass('until time is up');
});

t.test('what was refused is told in the log, and counted', async (t) => {
  const gate = allowing();
  const { send, logs, metrics } = await serve(t, gate);
  await send('POST', '/admission', '{');
  await send('POST', '/admission', { ...deployReview(), kind: 'X' });
  t.match(logs.lines.slice(1), [
    { level: 40, msg: 'a request was refused', status: 400 },
    { level: 40, msg: 'a body that is no review was refused', reason: /kind must be/ },
  ]);
  t.match(
    await metrics.text(),
    'lockkeeper_admission_requests_total{operation="other",decision="denied-400"} 1\n',
  );
  t.equal(gate.calls.length, 0);
});

t.test('the plain port waits for nobody when it closes', async (t) => {
  const plain = buildPlainApp({
    readiness: { reasons: () => [], notes: () => [] },
    metrics: metricsOf(allowing()),
    log: testLog().log,
  });
  await plain.listen({ host: '127.0.0.1', port: 0 });
  const spare = connectTcp((plain.server.address() as AddressInfo).port, '127.0.0.1');
  await once(spare, 'connect');
  const ended = once(spare, 'close');
  spare.on('error', () => {});
  await plain.close();
  await ended;
  t.pass('a probe that was only just connected is no reason to wait');
});
