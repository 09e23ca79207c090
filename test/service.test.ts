/**
 * The service as a whole on a cluster that counts what it is asked, and fails on demand; records are created as Helm
 * would. What holds on any cluster is in test/e2e/gate.test.ts.
 */
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { text } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import type { ApiClient, ApiResponse } from './clusters/client.ts';
import type { StoredObject } from './clusters/kubernetes-object.ts';
import { deployReview } from './fixtures/reviews.ts';
import { freePort } from './support/free-port.ts';
import {
  type Lockkeeper,
  type LockkeeperOptions,
  startLockkeeper,
  startServiceOn,
} from './support/lockkeeper.ts';
import { record } from './support/records.ts';
import { restClient } from './support/rest.ts';
import { serving } from './support/serving.ts';
import { until } from './support/until.ts';

const SECRETS = '/api/v1/namespaces/prod/secrets';
const PENDING = 'pending-upgrade';

const BOB = { username: 'bob' };

interface World extends Lockkeeper {
  readonly admin: ApiClient;
  readonly bob: ApiClient;
}

async function world(t: Test, options?: LockkeeperOptions): Promise<World> {
  const lockkeeper = await startLockkeeper(t, options);
  const { cluster } = lockkeeper;
  return { ...lockkeeper, admin: await cluster.client(), bob: await cluster.client(BOB) };
}

function finish(
  admin: ApiClient,
  release: string,
  revision: number,
  resource = 'secrets',
): Promise<StoredObject> {
  const path = `/api/v1/namespaces/prod/${resource}/sh.helm.release.v1.${release}.v${revision}`;
  return admin.patch(path, { metadata: { labels: { status: 'deployed' } } });
}

/** Resolves with the answer; whatever it is. */
function create(
  client: ApiClient,
  release: string,
  revision: number,
  payload = '',
): Promise<ApiResponse<StoredObject>> {
  return client.request('POST', SECRETS, record(release, revision, PENDING, { payload }));
}

t.test('a held deploy is admitted by the write that frees the lock, in either driver', async (t) => {
  const { admin, bob, cluster, logs } = await world(t);
  for (const driver of ['secrets', 'configmaps'] as const) {
    const path = `/api/v1/namespaces/prod/${driver}`;
    await admin.create(path, record('api', 1, PENDING, { driver }));
    const second = bob.request('POST', path, record('api', 2, PENDING, { driver }));
    t.match(await logs.line('held', (line) => line.driver === driver), {
      revision: 2,
      client: 'bob',
      lock: { revision: 1, status: PENDING, holder: 'admin' },
    });
    const answered = cluster.waitForAdmission(({ phase, user }) => phase === 'answered' && user === 'bob');
    const freed = cluster.waitForWrite(({ verb }) => verb === 'MODIFIED');
    await finish(admin, 'api', 1, driver);
    t.equal((await second).code, 201);
    const [write, answer] = [await freed, await answered];
    t.ok(
      answer.phase === 'answered' && answer.allowed && answer.answeredAt > write.at,
      `${driver}: by that write`,
    );
  }
});

t.test('1,000 admissions open no more than 7 connections to the API server', async (t) => {
  const { cluster, admin } = await world(t);
  cluster.seed(Array.from({ length: 1_000 }, (_, index) => record(`release-${index}`, 1, 'deployed')));
  for (let first = 0; first < 1_000; first += 50) {
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, index) => create(admin, `release-${first + index}`, 2)),
    );
    t.ok(answers.every(({ code }) => code === 201));
  }
  const reads = cluster.traffic.countRequests(
    ({ verb, userAgent }) => verb === 'get' && userAgent === 'lockkeeper',
  );
  const connections = cluster.traffic.connectionsOpened().get('lockkeeper') ?? 0;
  t.comment(`1,000 admissions, ${reads} reads, ${connections} connections, watches included`);
  t.equal(reads, 3_000, 'each read what has its name, and its neighbours');
  t.ok(connections <= 7, `on ${connections} connections, watches included`);
});

t.test('300 held deploys of 300 releases, freed one after the other', async (t) => {
  const { cluster, admin, logs } = await world(t, {
    timeoutSeconds: 30,
    config: { maxHeld: 300, holdSeconds: 28 },
  });
  /** On a busy machine the first one is sent away before the last one has come. It comes back, as Helm does. */
  const deploy = async (release: string): Promise<number> => {
    const { code } = await create(admin, release, 2);
    return code === 429 ? deploy(release) : code;
  };
  const releases = Array.from({ length: 300 }, (_, index) => `release-${index}`);
  cluster.seed(releases.map((release) => record(release, 1, PENDING)));
  const held = logs.line('held', ({ held }) => held === 300);
  const answers = releases.map(deploy);
  await held;
  for (const release of releases) await finish(admin, release, 1);
  t.same([...new Set(await Promise.all(answers))], [201], 'every one is admitted');
});

t.test('a label that lies is refused, with the command that clears the lock', async (t) => {
  const { admin, bob } = await world(t);
  const info = { status: PENDING, description: 'Preparing upgrade' };
  const payload = Buffer.from(JSON.stringify({ name: 'api', info })).toString('base64');
  await admin.create(SECRETS, record('api', 1, PENDING, { payload }));
  const lie = await bob.request<{ message?: string }>(
    'PATCH',
    `${SECRETS}/sh.helm.release.v1.api.v1`,
    { metadata: { labels: { status: 'deployed' } } },
    { headers: { 'content-type': 'application/merge-patch+json' } },
  );
  t.match(lie, {
    code: 400,
    body: {
      message:
        /would say deployed, but the release in it is pending-upgrade\. .* To clear the lock: kubectl delete (rlock api|secret \S+) -n prod$/,
    },
  });
});

t.test('the API server gives up in mid-hold', async (t) => {
  const { admin, bob, cluster, logs } = await world(t, { timeoutSeconds: 1, config: { holdSeconds: 10 } });
  await create(admin, 'api', 1);
  const answer = await create(bob, 'api', 2);
  t.equal(answer.code, 429, 'there was no time to hold: the answer came before');
  t.equal(answer.headers['retry-after'], '20');
  t.equal(
    cluster.traffic.countRequests(({ verb, user }) => verb === 'create' && user === 'bob'),
    1,
  );
  t.notOk(logs.messages().includes('held'));
});

t.test('an API server that goes away and returns finds everything as it was', async (t) => {
  const { cluster, admin, bob, logs } = await world(t);
  await create(admin, 'api', 1);
  const lost = create(bob, 'api', 2);
  lost.catch(() => {});
  await logs.line('held');
  await cluster.faults.goAway();
  await logs.line('the caller hung up');
  await logs.line('the watch was lost, trying again');
  await cluster.faults.comeBack();

  const second = create(await cluster.client({ username: 'carol' }), 'api', 2);
  await logs.line('held', ({ client }) => client === 'carol');
  await finish(admin, 'api', 1);
  t.equal((await second).code, 201);
});

t.test('the cluster can not be read: failurePolicy alone decides', async (t) => {
  for (const [failurePolicy, code] of [
    ['Fail', 500],
    ['Ignore', 201],
  ] as const) {
    const { cluster, admin } = await world(t, { failurePolicy });
    cluster.seed([record('api', 1, PENDING)]);
    cluster.faults.failRequests(({ userAgent }) =>
      userAgent === 'lockkeeper' ? { status: 403 } : undefined,
    );
    const answer = await create(admin, 'api', 2);
    t.equal(answer.code, code, failurePolicy);
    if (code === 500) t.match(answer.body, { message: /lockkeeper cannot read release records: .* 403/ });
  }
});

t.test('a watch that says nothing costs time, never safety', async (t) => {
  const { cluster, admin, bob } = await world(t, { config: { holdSeconds: 1, retryAfterSeconds: 1 } });
  cluster.faults.silenceWatches(true);
  await create(admin, 'api', 1);
  const held = await create(bob, 'api', 2);
  t.equal(held.code, 429, 'the lock is seen by a live read');
  t.match(held.body, { message: /locked by revision 1/ });
  await finish(admin, 'api', 1);
  t.equal((await create(bob, 'api', 2)).code, 201, 'and so is its end');
});

t.test('shutdown answers every held call with 429 and loses none', async (t) => {
  const { cluster, service, logs } = await world(t, { config: { maxHeld: 200 } });
  const releases = Array.from({ length: 200 }, (_, index) => `release-${index}`);
  cluster.seed(releases.map((release) => record(release, 1, PENDING)));
  const bob = await cluster.client({ username: 'bob' });
  const held = logs.line('held', ({ held }) => held === 200);
  const answers = releases.map((release) => create(bob, release, 2));
  await held;
  await service.close();
  for (const { code, headers } of await Promise.all(answers)) {
    if (code !== 429 || headers['retry-after'] !== '1') t.fail(`a held call got ${code}`);
  }
  t.equal(cluster.openWatches(), 0, 'the watches have ended');
});

t.test('not ready before the first list was applied', async (t) => {
  const { cluster, admin } = await world(t);
  await create(admin, 'api', 1);
  const list = Promise.withResolvers<void>();
  cluster.faults.failRequests(({ userAgent, query }) =>
    userAgent === 'lockkeeper' && query.has('limit') ? { until: list.promise } : undefined,
  );
  const { service, ready } = await startServiceOn(t, cluster);
  t.match(await get(service.port, '/livez'), { code: 200 });
  t.match(await get(service.port, '/readyz'), {
    code: 503,
    body: 'not ready: the pending releases have not been listed yet\n',
  });
  const alice = await restClient(
    t,
    { cluster, caCertificate: serving.caCertificate, url: `https://127.0.0.1:${service.port}` },
    { username: 'alice' },
  );
  t.match(await alice.request('GET', '/api/v1/locks'), {
    status: 503,
    body: { detail: /the pending releases have not been listed yet/ },
  });
  list.resolve();
  await ready();
  t.match(await get(service.port, '/readyz'), { code: 200, body: /^ok\n/ });
  t.match(await alice.request('GET', '/api/v1/locks'), { status: 200 });
});

t.test('not ready while it shuts down', async (t) => {
  const { cluster, admin } = await world(t);
  await create(admin, 'api', 1);
  const { service, ready } = await startServiceOn(t, cluster, { metricsPort: await freePort() });
  await ready();
  const answer = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  cluster.faults.failRequests(({ path, userAgent }) => {
    if (userAgent !== 'lockkeeper' || !path.endsWith('.v1')) return undefined;
    asked.resolve();
    return { until: answer.promise };
  });
  const deciding = post(service.port, deployReview({ release: 'api', revision: 2 }));
  await asked.promise;
  const probe = async () => (await fetch(`http://127.0.0.1:${service.metricsPort}/readyz`)).text();
  t.match(await probe(), /^ok\n/);
  const closed = service.close();
  t.match(await probe(), /^not ready: shutting down\n/);
  answer.resolve();
  t.match(await deciding, { code: 200, body: /"code":429/ }, 'the call that was being decided is answered');
  await closed;
});

t.test('while it drains, it is not ready, holds nobody, and goes on answering', async (t) => {
  const { cluster, admin } = await world(t);
  await create(admin, 'api', 1);
  const { service, ready, logs } = await startServiceOn(t, cluster, {
    metricsPort: await freePort(),
    drainSeconds: 300,
  });
  await ready();
  const url = `https://127.0.0.1:${service.port}`;
  const alice = await restClient(t, { ...serving, cluster, url }, { username: 'alice' });
  const held = post(service.port, deployReview({ release: 'api', revision: 2 }));
  const waiting = alice.request('GET', '/api/v1/namespaces/prod/locks/api/wait?timeout=60');
  await logs.line('held');
  while ((await alice.request('GET', '/api/v1/namespaces/prod/locks/api')).body.waiting !== 2);

  const closed = service.close();
  t.match(await held, { code: 200, body: /"code":429.*"retryAfterSeconds":30\b/ }, 'the held call');
  t.match(await waiting, { status: 503, body: { detail: /shuts down/ } }, 'the wait');
  const body = /^not ready: shutting down\n/;
  t.match(await get(service.port, '/readyz'), { code: 503, body }, 'not ready on the one port');
  const probe = await fetch(`http://127.0.0.1:${service.metricsPort}/readyz`);
  t.match([probe.status, await probe.text()], [503, body], 'nor on the other');
  for (const [name, release, answer] of [
    ['a deploy that would have to wait is sent away', 'api', /"code":429/],
    ['a deploy that need not wait is admitted', 'other', /"allowed":true/],
  ] as const) {
    t.match(
      await post(service.port, deployReview({ release, revision: 2 })),
      { code: 200, body: answer },
      name,
    );
  }
  t.match(await alice.request('GET', '/api/v1/namespaces/prod/locks/api/wait?timeout=60'), { status: 503 });
  t.match(await alice.request('GET', '/api/v1/namespaces/prod/locks/api'), { status: 200 });

  service.hurry();
  await closed;
  await t.rejects(get(service.port, '/readyz'), { code: 'ECONNREFUSED' }, 'until it is over');
});

t.test('a lock where deploys are not held has a door all the same', async (t) => {
  const { admin } = await world(t);
  const namespace = 'kube-system';
  await admin.create(`/api/v1/namespaces/${namespace}/secrets`, record('dns', 1, PENDING, { namespace }));
  const door = `/apis/lockkeeper.dev/v1alpha1/namespaces/${namespace}/releaselocks/dns`;
  const { body } = await until(
    () => admin.request('GET', door),
    ({ code }) => code === 200,
  );
  t.match(body, { spec: { revision: 1, status: PENDING } });
  t.match(await admin.request('DELETE', door), { code: 409, body: { message: /it counts as live/ } });
});

t.test('metrics tell of holds and watches', async (t) => {
  const { cluster, admin } = await world(t);
  const { service, ready, logs } = await startServiceOn(t, cluster, { metricsPort: await freePort() });
  await ready();
  await create(admin, 'api', 1);
  const held = post(service.port, deployReview({ release: 'api', revision: 2 }));
  await logs.line('held');
  const scrape = async () => (await fetch(`http://127.0.0.1:${service.metricsPort}/metrics`)).text();
  t.match(await scrape(), /\nlockkeeper_held_requests 1\n/);
  await finish(admin, 'api', 1);
  t.match(await held, { code: 200 });
  const text = await scrape();
  t.match(text, /\nlockkeeper_ready 1\n/);
  t.match(text, /\nlockkeeper_held_requests 0\n/);
  t.match(text, /\nlockkeeper_hold_duration_seconds_count 1\n/);
  t.match(text, /\nlockkeeper_admission_requests_total\{operation="CREATE",decision="allowed"\} 1\n/);
  for (const resource of ['secrets', 'configmaps']) {
    const [, seconds] =
      new RegExp(`last_event_timestamp_seconds\\{resource="${resource}"\\} (\\S+)`).exec(text) ?? [];
    t.ok(Math.abs(Date.now() / 1000 - Number(seconds)) < 60, `${resource}: at ${seconds}`);
  }
});

t.test('a port that is taken: it does not start, and lets go of the cluster', async (t) => {
  const { cluster, service } = await world(t);
  const failure = await startServiceOn(t, cluster, { port: service.port }).then(
    () => undefined,
    (error: unknown) => error,
  );
  t.match(failure, { code: 'EADDRINUSE' });
  t.equal(cluster.openWatches(), 3, 'only the watches of the first one are open');
});

t.test('two replicas, one lock', async (t) => {
  const { cluster, admin, bob, logs } = await world(t);
  const second = await startServiceOn(t, cluster);
  await second.ready();
  await create(admin, 'api', 1);
  const here = create(bob, 'api', 2);
  await logs.line('held');
  const url = `https://127.0.0.1:${second.service.port}`;
  const rest = await restClient(t, { ...second, url, caCertificate: serving.caCertificate, cluster }, BOB);
  await until(
    () => rest.get('/api'),
    ({ body }) => body.holder?.user === 'admin',
  );
  const there = post(second.service.port, deployReview({ release: 'api', revision: 2 }));
  const lock = { revision: 1, holder: 'admin' };
  t.match(await second.logs.line('held'), { lock }, 'the other one admitted it, and wrote down whom');
  await finish(admin, 'api', 1);
  const [stored, answer] = await Promise.all([here, there]);
  t.equal(stored.code, 201);
  t.equal(answer.code, 200);
});

function get(port: number, path: string) {
  return send({ port, method: 'GET', path });
}

function post(port: number, review: object) {
  return send({ port, method: 'POST', path: '/admission?timeout=15s' }, review);
}

async function send(options: RequestOptions, body?: object): Promise<{ code: number; body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const headers = { 'content-type': 'application/json' };
  httpsRequest({ host: '127.0.0.1', ca: serving.caCertificate, headers, ...options }, resolve)
    .on('error', reject)
    .end(body && JSON.stringify(body));
  const response = await promise;
  return { code: response.statusCode ?? 0, body: await text(response) };
}

t.test('the end of a pod that holds a lock is seen, and waited out', async (t) => {
  const w = await world(t);
  await w.admin.createNamespace('ci');
  const pods = '/api/v1/namespaces/ci/pods';
  const spec = { containers: [{ name: 'helm', image: 'helm' }] };
  const { metadata } = await w.admin.create(pods, { metadata: { name: 'runner-7f9c' }, spec });
  const runner = await w.cluster.client({
    username: 'system:serviceaccount:ci:runner',
    extra: {
      'authentication.kubernetes.io/pod-name': ['runner-7f9c'],
      'authentication.kubernetes.io/pod-uid': [metadata.uid],
    },
  });
  const rest = await restClient(t, w, BOB);
  await create(runner, 'api', 2);
  await until(
    () => rest.get('/api'),
    ({ body }) => body.holder?.pod?.uid === metadata.uid,
  );

  const dead = w.logs.line('the holder of a lock is dead');
  await w.admin.remove(`${pods}/runner-7f9c`);
  await dead;
  t.match((await rest.get('/api')).body, {
    verdict: 'ending',
    reason: /^its holder, pod ci\/runner-7f9c, is gone; it is stale in \d+s$/,
  });
});
