/** Requests to the API server: metadata only, few connections, and errors that say what was asked. */
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { KubeConfig } from '@kubernetes/client-node';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/clock.ts';
import type { RecordMetadata } from '../../src/helm/release.ts';
import { createKubernetesClient, type WatchEvent } from '../../src/kubernetes/client.ts';
import { type Connection, connect } from '../../src/kubernetes/connection.ts';
import { createRequests, type RequestsOptions } from '../../src/kubernetes/requests.ts';
import { issueAuthority, issueServingCertificate } from '../../src/tls/issue.ts';
import { startEmbeddedCluster } from '../clusters/embedded/cluster.ts';
import { record } from '../support/records.ts';

const never = new AbortController().signal;

function clientOn(options: Omit<RequestsOptions, 'pool'>) {
  return createKubernetesClient(createRequests({ pool: 'requests', ...options }));
}

/** What a promise rejects with. */
function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => 'no failure',
    (error: unknown) => error,
  );
}

async function connectTo(t: Test, kubeconfig: string): Promise<Connection> {
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromFile(kubeconfig);
  const connection = connect(kubeConfig, { clock: systemClock });
  t.teardown(() => connection.close());
  return connection;
}

async function embedded(t: Test) {
  const cluster = await startEmbeddedCluster();
  t.teardown(() => cluster.stop());
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  const connection = await connectTo(t, await cluster.kubeconfig({ user: { username: 'lockkeeper' } }));
  return { cluster, admin, client: clientOn({ connection }) };
}

t.test('trap 21: what is read is metadata, never the payload', async (t) => {
  const { cluster, admin, client } = await embedded(t);
  const asked: string[] = [];
  cluster.faults.failRequests(({ userAgent, path }) => {
    if (userAgent === 'lockkeeper') asked.push(path);
    return undefined;
  });
  await admin.create(
    '/api/v1/namespaces/prod/secrets',
    record('api', 1, 'deployed', { payload: 'top-secret' }),
  );

  const one = await client.get('secrets', 'prod', 'sh.helm.release.v1.api.v1', never);
  t.match(one, {
    name: 'sh.helm.release.v1.api.v1',
    namespace: 'prod',
    uid: String,
    creationTimestamp: String,
    labels: { owner: 'helm', name: 'api', status: 'deployed', version: '1' },
  });
  const list = await client.list('secrets', { namespace: 'prod', labelSelector: 'owner=helm' }, never);
  t.equal(list.items.length, 1);
  t.match(list.resourceVersion, /^\d+$/);
  t.notMatch(JSON.stringify([one, list]), new RegExp(`top-secret|${btoa('top-secret')}`));
  t.same(asked, [
    '/api/v1/namespaces/prod/secrets/sh.helm.release.v1.api.v1',
    '/api/v1/namespaces/prod/secrets',
  ]);
  t.equal(await client.get('secrets', 'prod', 'nobody', never), undefined, 'nothing there is no error');
});

t.test('a long list is read in pages', async (t) => {
  const { cluster, client } = await embedded(t);
  cluster.seed(Array.from({ length: 1_201 }, (_, index) => record('api', index + 1, 'superseded')));
  const { items } = await client.list('secrets', { labelSelector: 'owner=helm,name=api' }, never);
  t.equal(items.length, 1_201);
  t.equal(
    cluster.traffic.countRequests(({ verb, userAgent }) => verb === 'list' && userAgent === 'lockkeeper'),
    3,
  );
});

t.test('a watch delivers changes and bookmarks until it is ended', async (t) => {
  const { cluster, admin, client } = await embedded(t);
  const { resourceVersion } = await client.list('secrets', { labelSelector: 'owner=helm' }, never);
  const ending = new AbortController();
  const query = { labelSelector: 'owner=helm,status=pending-upgrade', resourceVersion, timeoutSeconds: 60 };
  const events: WatchEvent<RecordMetadata>[] = [];
  const watching = (async () => {
    for await (const event of client.watch('secrets', query, ending.signal)) {
      events.push(event);
      if (events.length === 3) ending.abort();
    }
  })();
  const ended = failure(watching);
  const path = '/api/v1/namespaces/prod/secrets';
  await admin.create(path, record('api', 1, 'pending-upgrade', { payload: 'top-secret' }));
  await admin.patch(`${path}/sh.helm.release.v1.api.v1`, { metadata: { annotations: { a: 'b' } } });
  await admin.patch(`${path}/sh.helm.release.v1.api.v1`, { metadata: { labels: { status: 'deployed' } } });
  t.match(await ended, { name: 'AbortError' });
  t.match(events, [
    { type: 'ADDED', metadata: { name: 'sh.helm.release.v1.api.v1' } },
    { type: 'MODIFIED' },
    { type: 'DELETED', metadata: { name: 'sh.helm.release.v1.api.v1' } },
  ]);
  t.notMatch(JSON.stringify(events), new RegExp(btoa('top-secret')));
  t.equal(cluster.traffic.connectionsOpened().get('lockkeeper'), 2, 'one for requests, one for the watch');
});

t.test('errors say what was asked, and what the API server said', async (t) => {
  const { cluster, client } = await embedded(t);
  cluster.faults.failRequests(({ userAgent }) => (userAgent === 'lockkeeper' ? { status: 403 } : undefined));
  const why = 'the embedded cluster was told to fail with 403';
  await t.rejects(client.get('secrets', 'prod', 'x', never), {
    name: 'KubernetesError',
    status: 403,
    message: `GET /api/v1/namespaces/prod/secrets/x: 403 ${why}`,
  });
  t.match(await failure(client.list('secrets', { labelSelector: 'a=b' }, never)), { status: 403 });
  const query = { labelSelector: 'a=b', resourceVersion: '1', timeoutSeconds: 60 };
  t.match(await failure(client.watch('secrets', query, never).next()), { status: 403 });
});

t.test('a failure that passes is not seen: the read is made again', async (t) => {
  const { cluster, client } = await embedded(t);
  for (const status of [429, 502, 503, 504]) {
    let failures = 2;
    const mend = cluster.faults.failRequests(({ userAgent }) => {
      if (userAgent !== 'lockkeeper' || failures === 0) return undefined;
      failures -= 1;
      return { status };
    });
    t.equal(await client.get('secrets', 'prod', 'x', never), undefined, `${status}, twice`);
    mend();
  }
  cluster.faults.failRequests(({ userAgent }) => (userAgent === 'lockkeeper' ? { status: 503 } : undefined));
  t.match(
    await failure(client.get('secrets', 'prod', 'x', never)),
    { status: 503 },
    'one that stays is an error',
  );
});

t.test('an idle connection that the API server closed is replaced unseen', async (t) => {
  const { cluster, client } = await embedded(t);
  await client.get('secrets', 'prod', 'x', never);
  await cluster.faults.goAway();
  t.match(await failure(client.get('secrets', 'prod', 'x', never)), {
    message: /^GET \/api\/v1\/namespaces\/prod\/secrets\/x: connect ECONNREFUSED/,
  });
  await cluster.faults.comeBack();
  t.equal(await client.get('secrets', 'prod', 'x', never), undefined);
});

t.test('a caller that leaves takes its read along', async (t) => {
  const { cluster, client } = await embedded(t);
  cluster.faults.failRequests(({ userAgent }) => (userAgent === 'lockkeeper' ? { hang: true } : undefined));
  const leaving = new AbortController();
  const read = client.get('secrets', 'prod', 'x', leaving.signal);
  leaving.abort(new Error('left'));
  t.match(await failure(read), { message: 'left' });
});

/** Something that is not an API server, or not a good one. */
async function impostor(
  t: Test,
  status: number,
  body: string,
  misbehaves: (response: ServerResponse) => boolean = () => false,
): Promise<Connection> {
  const at = { validDays: 1, now: new Date() };
  const authority = await issueAuthority({ commonName: 'impostor', ...at });
  const pair = await issueServingCertificate(authority, { hosts: ['127.0.0.1'], ...at });
  const server = createServer({ cert: pair.certificate, key: pair.privateKey }, (_request, response) => {
    if (!misbehaves(response)) response.writeHead(status).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close().closeAllConnections());
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromString(
    JSON.stringify(
      kubeconfigOf({
        server: `https://127.0.0.1:${(server.address() as AddressInfo).port}/`,
        'certificate-authority-data': Buffer.from(authority.certificate).toString('base64'),
      }),
    ),
  );
  const connection = connect(kubeConfig, { clock: systemClock });
  t.teardown(() => connection.close());
  return connection;
}

/** Says one thing without an end, and how many bytes of it were sent. */
async function babbler(t: Test, character: string) {
  let sent = 0;
  const connection = await impostor(t, 200, '', (response) => {
    const more = () => {
      sent += 2 ** 20;
      if (!response.destroyed) response.write(character.repeat(2 ** 20), more);
    };
    more();
    return true;
  });
  return { connection, sent: () => sent };
}

function kubeconfigOf(cluster: object, user: object = { token: 't' }) {
  return {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster }],
    users: [{ name: 'u', user }],
  };
}

t.test('answers that are not those of an API server', async (t) => {
  const query = { labelSelector: 'a=b', resourceVersion: '1', timeoutSeconds: 60 };
  const html = clientOn({
    connection: await impostor(t, 500, '<html>a proxy fell over</html>'),
  });
  t.match(await failure(html.get('secrets', 'prod', 'x', never)), {
    message: /500 <html>a proxy fell over<\/html>/,
  });
  const json = clientOn({
    connection: await impostor(t, 500, '{"error":"other words"}'),
  });
  await t.rejects(json.get('secrets', 'prod', 'x', never), { message: /500 \{"error":"other words"\}/ });
  const silent = clientOn({
    connection: await impostor(t, 500, ''),
  });
  t.match(await failure(silent.get('secrets', 'prod', 'x', never)), { message: /secrets\/x: 500$/ });
  const long = clientOn({
    connection: await impostor(t, 500, 'x'.repeat(100_000)),
  });
  const { message } = await long.get('secrets', 'prod', 'x', never).then(
    () => ({ message: '' }),
    (error: Error) => error,
  );
  t.ok(message.length < 1_200, 'a long text is cut');
  const html200 = clientOn({
    connection: await impostor(t, 200, '<html>log in here</html>'),
  });
  t.match(await failure(html200.get('secrets', 'prod', 'x', never)), {
    message: /secrets\/x: Unexpected token/,
  });
  const bare = clientOn({
    connection: await impostor(t, 200, '{"kind":"SecretList","metadata":{},"items":[]}'),
  });
  t.same(await bare.list('secrets', { labelSelector: 'a=b' }, never), { items: [], resourceVersion: '' });
  const gone = clientOn({
    connection: await impostor(t, 200, '{"type":"ERROR","object":{"code":410,"message":"too old"}}\n'),
  });
  t.match(await failure(gone.watch('secrets', query, never).next()), { status: 410, message: /410 too old/ });
  const odd = clientOn({
    connection: await impostor(t, 200, '{"type":"ERROR","object":{}}\n'),
  });
  t.match(await failure(odd.watch('secrets', query, never).next()), { status: 0 });
});

t.test('kubeconfigs that can not be used are refused in words', async (t) => {
  const server = 'https://127.0.0.1:1';
  for (const [name, config, message] of [
    [
      'no context',
      { ...kubeconfigOf({ server }), 'current-context': 'other' },
      /no current context that names a cluster/,
    ],
    [
      'plain HTTP',
      kubeconfigOf({ server: 'http://localhost:8080' }),
      /at http:\/\/localhost:8080, but must be at https/,
    ],
    [
      'a proxy',
      kubeconfigOf({ server, 'proxy-url': 'http://proxy:3128' }),
      /proxy-url in the kubeconfig is not supported/,
    ],
  ] as const) {
    const kubeConfig = new KubeConfig();
    kubeConfig.loadFromString(JSON.stringify(config));
    t.throws(() => connect(kubeConfig, { clock: systemClock }), { message }, name);
  }
});

function kubeConfigFor(user: object, users: object = {}): KubeConfig {
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromString(
    JSON.stringify({ ...kubeconfigOf({ server: 'https://127.0.0.1:1' }, user), ...users }),
  );
  return kubeConfig;
}

t.test('credentials: a password, or nobody at all', async (t) => {
  const basic = connect(kubeConfigFor({ username: 'a', password: 'b' }), { clock: systemClock });
  t.teardown(() => basic.close());
  t.same((await basic.access(never)).headers, { authorization: 'Basic YTpi' });
  const nobody = connect(kubeConfigFor({}, { users: [] }), { clock: systemClock });
  t.teardown(() => nobody.close());
  t.same((await nobody.access(never)).headers, {}, 'no user, no headers');
});

t.test('credentials: a token is used for 10 s, then it is read again; connections stay', async (t) => {
  let time = 0;
  let token = 'first';
  const kubeConfig = kubeConfigFor({});
  kubeConfig.applyToHTTPSOptions = async (options) => {
    options.headers = { Authorization: `Bearer ${token}` };
  };
  const connection = connect(kubeConfig, { clock: { now: () => time, date: () => time } });
  t.teardown(() => connection.close());
  const first = await connection.access(never);
  token = 'second';
  time = 10_000;
  t.equal(await connection.access(never), first);
  time = 10_001;
  const second = await connection.access(never);
  t.same(
    [first.headers, second.headers],
    [{ authorization: 'Bearer first' }, { authorization: 'Bearer second' }],
  );
  t.equal(second.requests, first.requests);
  t.equal(second.watches, first.watches);
});

t.test('credentials: a renewed certificate gets new connections', async (t) => {
  let time = 0;
  let cert = 'first';
  const kubeConfig = kubeConfigFor({});
  kubeConfig.applyToHTTPSOptions = async (options) => {
    options.cert = cert;
  };
  const connection = connect(kubeConfig, { clock: { now: () => time, date: () => time } });
  t.teardown(() => connection.close());
  const first = await connection.access(never);
  cert = 'second';
  time = 10_001;
  const second = await connection.access(never);
  t.not(second.requests, first.requests);
  t.not(second.watches, first.watches);
});

t.test(
  'credentials: a program that hangs is started once, and nobody waits longer than they want',
  async (t) => {
    const awake = setInterval(() => {}, 1_000); // a time-out alone keeps no process alive
    t.teardown(() => clearInterval(awake));
    let starts = 0;
    const kubeConfig = kubeConfigFor({});
    kubeConfig.applyToHTTPSOptions = () => {
      starts += 1;
      return new Promise(() => {});
    };
    const connection = connect(kubeConfig, { clock: systemClock, credentialsTimeoutMs: 20 });
    const leaving = new AbortController();
    const impatient = failure(connection.access(leaving.signal));
    const patient = failure(connection.access(never));
    leaving.abort(new Error('left'));
    t.match(await impatient, { message: 'left' });
    t.match(
      await failure(connection.access(leaving.signal)),
      { message: 'left' },
      'nor do those who left before',
    );
    t.match(await patient, { name: 'TimeoutError' });
    t.equal(starts, 1);
    await connection.close();
  },
);

t.test('a read that hangs is made again, and given up in the end', async (t) => {
  const { cluster } = await embedded(t);
  const connection = await connectTo(t, await cluster.kubeconfig());
  const client = clientOn({ connection, attemptMs: 40 });
  let hangs = 2;
  cluster.faults.failRequests(({ userAgent }) => {
    if (userAgent !== 'lockkeeper' || hangs === 0) return undefined;
    hangs -= 1;
    return { hang: true };
  });
  t.equal(await client.get('secrets', 'prod', 'x', never), undefined, 'the third attempt is answered');
  hangs = Number.POSITIVE_INFINITY;
  t.match(await failure(client.get('secrets', 'prod', 'x', never)), {
    message: 'GET /api/v1/namespaces/prod/secrets/x: no answer came in time',
  });
});

t.test('many reads at once: the wait for a connection is not held against them', async (t) => {
  const { cluster } = await embedded(t);
  const client = clientOn({ connection: await connectTo(t, await cluster.kubeconfig()), attemptMs: 200 });
  cluster.faults.failRequests(({ userAgent }) => (userAgent === 'lockkeeper' ? { delay: 50 } : undefined));
  const reads = Array.from({ length: 40 }, () => client.get('secrets', 'prod', 'x', never));
  t.same(new Set(await Promise.all(reads)), new Set([undefined]), 'all are answered, a second later');
  const sent = cluster.traffic.countRequests(({ userAgent }) => userAgent === 'lockkeeper');
  t.equal(sent, 40, 'and none was sent again');
});

t.test('an answer that stops in the middle is given up, and one without end at once', async (t) => {
  const stops = await impostor(t, 200, '', (response) => response.write('{"metadata"'));
  t.match(await failure(clientOn({ connection: stops, attemptMs: 40 }).get('secrets', 'prod', 'x', never)), {
    message: 'GET /api/v1/namespaces/prod/secrets/x: the answer did not go on in time',
  });
  const { connection: endless, sent } = await babbler(t, ' ');
  t.match(await failure(clientOn({ connection: endless }).get('secrets', 'prod', 'x', never)), {
    message: /the answer is too long to be that of an API server/,
  });
  t.ok(sent() < 100 * 2 ** 20, `${sent()} bytes were sent, in one attempt`);
});

t.test('a watch that says nothing for too long is taken for dead', async (t) => {
  const { cluster } = await embedded(t);
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromFile(await cluster.kubeconfig());
  const connection = connect(kubeConfig, { clock: systemClock, watchSilenceMs: 50 });
  t.teardown(() => connection.close());
  const client = clientOn({ connection });
  const query = { labelSelector: 'a=b', resourceVersion: '1', timeoutSeconds: 60 };
  t.match(await failure(client.watch('secrets', query, never).next()), { code: 'UND_ERR_BODY_TIMEOUT' });
});

t.test('a watch whose line never ends is given up before it fills the memory', async (t) => {
  const { connection, sent } = await babbler(t, 'x');
  const query = { labelSelector: 'a=b', resourceVersion: '1', timeoutSeconds: 60 };
  const watching = clientOn({ connection }).watch('secrets', query, never).next();
  t.match(await failure(watching), { message: 'a line of a watch is over 10485760 long' });
  t.ok(sent() < 40 * 2 ** 20, `${sent()} bytes were sent`);
});

t.test('an answer that is cut off in the middle is read again from its beginning', async (t) => {
  let cuts = 1;
  const connection = await impostor(t, 200, '{"metadata":{"name":"x","uid":"u"}}', (response) => {
    if (cuts === 0) return false;
    cuts -= 1;
    response.writeHead(200, { 'content-length': '35' });
    response.write('{"metadata"', () => response.destroy());
    return true;
  });
  const client = clientOn({ connection });
  t.same(await client.get('secrets', 'prod', 'x', never), { name: 'x', uid: 'u' });
});

t.test('an answer that is something else proves nothing', async (t) => {
  const asked = async (body: object) =>
    clientOn({ connection: await impostor(t, 200, JSON.stringify(body)) });
  const item = { metadata: { name: 'x', uid: 'u' } };
  const objects: [string, object][] = [
    ['nothing', {}],
    ['metadata without a name', { metadata: { uid: 'u' } }],
    ['metadata without a uid', { metadata: { name: 'x' } }],
    ['another object', { metadata: { name: 'y', uid: 'u' } }],
    ['a list', { kind: 'SecretList', metadata: {}, items: [item] }],
  ];
  for (const [name, body] of objects) {
    const client = await asked(body);
    await t.rejects(
      client.get('secrets', 'prod', 'x', never),
      { message: /secrets\/x: the answer is not what/ },
      name,
    );
  }
  const lists: [string, object][] = [
    ['nothing', {}],
    ['a list without a kind', { metadata: {}, items: [] }],
    ['a list of another form', { kind: 'SecretList', metadata: {}, items: {} }],
    ['a list without metadata', { kind: 'SecretList', items: [] }],
    ['an object', { kind: 'Secret', ...item }],
    ['an item without metadata', { kind: 'SecretList', metadata: {}, items: [item, {}] }],
    ['an item without a uid', { kind: 'SecretList', metadata: {}, items: [{ metadata: { name: 'x' } }] }],
    ['an item without a name', { kind: 'SecretList', metadata: {}, items: [{ metadata: { uid: 'u' } }] }],
    ['an item that is none', { kind: 'SecretList', metadata: {}, items: [null] }],
  ];
  for (const [name, body] of lists) {
    const client = await asked(body);
    await t.rejects(
      client.list('secrets', { namespace: 'prod' }, never),
      { message: /the answer is not what/ },
      name,
    );
  }
  const empty = await asked({ kind: 'SecretList', metadata: {}, items: null });
  t.same(await empty.list('secrets', {}, never), { items: [], resourceVersion: '' });
});

t.test('a name with several addresses, none of which answers: each reason is told', async (t) => {
  const kubeConfig = kubeConfigFor({ token: 't' });
  const connection = connect(kubeConfig, { clock: systemClock });
  t.teardown(() => connection.close());
  const access = await connection.access(never);
  const reasons = [new Error('connect ECONNREFUSED ::1:1'), new Error('connect ECONNREFUSED 127.0.0.1:1')];
  const requests = Object.create(access.requests, {
    request: { value: () => Promise.reject(new AggregateError(reasons)) },
  });
  const client = clientOn({
    connection: { ...connection, access: async () => ({ ...access, requests }) },
  });
  t.match(await failure(client.get('secrets', 'prod', 'x', never)), {
    message:
      'GET /api/v1/namespaces/prod/secrets/x: connect ECONNREFUSED ::1:1; connect ECONNREFUSED 127.0.0.1:1',
  });
});

t.test('a list of all namespaces may take its time: it may be gigabytes to the API server', async (t) => {
  const { cluster } = await embedded(t);
  const connection = await connectTo(t, await cluster.kubeconfig());
  const client = clientOn({ connection, attemptMs: 40 });
  // Longer than an attempt, whose end comes up to a second late.
  cluster.faults.failRequests(({ userAgent }) => (userAgent === 'lockkeeper' ? { delay: 1_500 } : undefined));
  const all = await client.list('secrets', { labelSelector: 'owner=helm' }, never);
  t.same(all.items, []);
  t.match(await failure(client.list('secrets', { namespace: 'prod', labelSelector: 'owner=helm' }, never)), {
    message: /no answer came in time/,
  });
});

t.test('credentials: a renewed authority gets new connections as well', async (t) => {
  let time = 0;
  let ca = 'first';
  const kubeConfig = kubeConfigFor({});
  kubeConfig.applyToHTTPSOptions = async (options) => {
    options.ca = ca;
  };
  const connection = connect(kubeConfig, { clock: { now: () => time, date: () => time } });
  t.teardown(() => connection.close());
  const first = await connection.access(never);
  ca = 'second';
  time = 10_001;
  t.not((await connection.access(never)).requests, first.requests);
});
