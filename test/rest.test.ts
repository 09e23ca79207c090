/** The REST endpoints on the real parts: HTTPS, tokens, rights, records. Each answer is compared as a whole. */
import { gunzipSync, gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import type { Strategy } from '../src/gate/clearing.ts';
import type { StoredObject } from './clusters/kubernetes-object.ts';
import { freePort } from './support/free-port.ts';
import { type Lockkeeper, startLockkeeper } from './support/lockkeeper.ts';
import { record } from './support/records.ts';
import { type Json, type RestAnswer, type RestClient, restClient } from './support/rest.ts';

/** What each user may do with releaselocks in `prod`; by name, so that a row of the table can tell. */
const RIGHTS: Readonly<Record<string, readonly string[]>> = {
  nobody: [],
  reader: ['get releaselocks', 'list releaselocks', 'watch releaselocks'],
  clearer: ['delete releaselocks'],
  forcer: ['delete releaselocks', 'delete releaselocks/force'],
  'forcer-only': ['delete releaselocks/force'],
};

async function start(t: Test): Promise<Lockkeeper> {
  return startLockkeeper(t, {
    cluster: {
      authorize: ({ user, verb, resource, group, namespace }) =>
        group !== 'lockkeeper.dev' ||
        (namespace === 'prod' && (RIGHTS[user.username] ?? []).includes(`${verb} ${resource}`)),
    },
  });
}

const LIVE_SECONDS = 60;
const STALE_SECONDS = 3_600;

/** When the tests began; the records are older than that. */
const BEGAN = Date.now();

/** As the API server stamps it. */
function secondsAgo(seconds: number): string {
  return new Date(BEGAN - seconds * 1000).toISOString().replace(/\.\d+Z$/, 'Z');
}

function release(status: string, more: object = {}): string {
  return gzipSync(
    JSON.stringify({ name: 'x', info: { status, description: 'Preparing upgrade' }, ...more }),
  ).toString('base64');
}

/** Stores a record that was written so many seconds ago. */
function store(
  lockkeeper: Lockkeeper,
  name: string,
  number: number,
  status: string,
  age: number,
  payload = release(status),
): void {
  const stored = record(name, number, status, { payload });
  Object.assign(stored.metadata, { creationTimestamp: secondsAgo(age) });
  lockkeeper.cluster.seed([stored]);
}

async function stored(
  { cluster }: Lockkeeper,
  name: string,
  number: number,
): Promise<StoredObject | undefined> {
  const admin = await cluster.client();
  const { code, body } = await admin.request(
    'GET',
    `/api/v1/namespaces/prod/secrets/sh.helm.release.v1.${name}.v${number}`,
  );
  return code === 200 ? body : undefined;
}

function releaseIn(object: StoredObject | undefined): Json {
  const { release = '' } = (object as { data?: { release?: string } } | undefined)?.data ?? {};
  return JSON.parse(gunzipSync(Buffer.from(Buffer.from(release, 'base64').toString(), 'base64')).toString());
}

/** What a lock of this age looks like, but for the verdict's words, which count the seconds. */
function lockJson(name: string, age: number, { reason }: { reason: string }) {
  return {
    namespace: 'prod',
    release: name,
    revision: 2,
    status: 'pending-upgrade',
    since: secondsAgo(age),
    lastActivity: secondsAgo(age),
    holder: null,
    verdict: age >= 900 ? 'expired' : 'live',
    reason,
    waiting: 0,
  };
}

const LIVE_REASON = /^created 1m\d*s? ago, stale in 1[34]m\d*s? unless it is written again$/;
const STALE_REASON = /^no sign of life for 1h\d*m?, and 15m are enough$/;

type State = 'no release' | 'free' | 'shadowed' | 'live' | 'stale';

const STATES: Readonly<Record<State, (lockkeeper: Lockkeeper, name: string) => void>> = {
  'no release': () => {},
  free: (lockkeeper, name) => store(lockkeeper, name, 1, 'deployed', STALE_SECONDS),
  shadowed: (lockkeeper, name) => {
    store(lockkeeper, name, 2, 'pending-upgrade', STALE_SECONDS);
    store(lockkeeper, name, 3, 'deployed', LIVE_SECONDS);
  },
  live: (lockkeeper, name) => {
    store(lockkeeper, name, 1, 'deployed', STALE_SECONDS);
    store(lockkeeper, name, 2, 'pending-upgrade', LIVE_SECONDS);
  },
  stale: (lockkeeper, name) => {
    store(lockkeeper, name, 1, 'deployed', STALE_SECONDS);
    store(lockkeeper, name, 2, 'pending-upgrade', STALE_SECONDS);
  },
};

function missingRight(user: string, force: boolean): string | undefined {
  const rights = RIGHTS[user] ?? [];
  if (!rights.includes('delete releaselocks')) return 'releaselocks';
  return force && !rights.includes('delete releaselocks/force') ? 'releaselocks/force' : undefined;
}

t.test('DELETE: every pair of rights, state of the lock, strategy and force', async (t) => {
  const lockkeeper = await start(t);
  let count = 0;
  for (const user of Object.keys(RIGHTS)) {
    const client = await restClient(t, lockkeeper, { username: user });
    for (const state of Object.keys(STATES) as State[]) {
      for (const strategy of ['mark-failed', 'delete'] as const) {
        for (const force of [false, true]) {
          const name = `app-${count++}`;
          STATES[state](lockkeeper, name);
          await t.test(`${user}, ${state}, ${strategy}${force ? ', force' : ''}`, (t) =>
            deleteOnce(t, { lockkeeper, client, user, state, strategy, force, name }),
          );
        }
      }
    }
  }
});

interface Row {
  readonly lockkeeper: Lockkeeper;
  readonly client: RestClient;
  readonly user: string;
  readonly state: State;
  readonly strategy: Strategy;
  readonly force: boolean;
  readonly name: string;
}

async function deleteOnce(t: Test, row: Row): Promise<void> {
  const { lockkeeper, client, user, state, strategy, force, name } = row;
  const before = await stored(lockkeeper, name, 2);
  const query = `?strategy=${strategy}${force ? '&force=true' : ''}&reason=the+runner+was+lost`;
  const { status, headers, body } = await client.remove(`/${name}${query}`);
  const after = await stored(lockkeeper, name, 2);
  const missing = missingRight(user, force);
  const problem = (code: number, title: string, detail: string, more: object = {}) => {
    t.equal(status, code);
    t.equal(headers['content-type'], 'application/problem+json; charset=utf-8');
    t.same(body, { type: 'about:blank', title, status: code, detail, ...more });
    t.same(after, before, 'nothing was changed');
  };

  if (missing !== undefined) {
    const rule = `{"apiGroups":["lockkeeper.dev"],"resources":["${missing}"],"verbs":["delete"]}`;
    return problem(
      403,
      'Forbidden',
      `${user} may not delete ${missing} in namespace prod. Grant it by this rule in a Role in namespace prod, ` +
        `or a ClusterRole, that is bound to ${user}: ${rule}`,
    );
  }
  if (state !== 'live' && state !== 'stale') {
    return problem(
      404,
      'Not Found',
      `release prod/${name} is not locked: its newest revision is not pending, or there is none`,
    );
  }
  if (state === 'live' && !force) {
    const { reason } = body.lock;
    t.match(reason, LIVE_REASON);
    return problem(
      409,
      'Conflict',
      `release prod/${name} is locked by revision 2 (pending-upgrade, holder unknown), and that lock is live: ` +
        `${reason}. Nothing was changed. Clear it once it is stale; or now, if you know that its holder is dead, ` +
        'with force=true, which needs the right to delete releaselocks/force',
      { lock: lockJson(name, LIVE_SECONDS, { reason }) },
    );
  }
  const { reason } = body.cleared;
  t.equal(status, 200);
  t.match(reason, state === 'live' ? LIVE_REASON : STALE_REASON);
  t.same(body, {
    cleared: lockJson(name, state === 'live' ? LIVE_SECONDS : STALE_SECONDS, { reason }),
    strategy,
    next: [
      `helm upgrade ${name} CHART -n prod`,
      `helm upgrade --install ${name} CHART -n prod`,
      `helm rollback ${name} 1 -n prod`,
    ],
  });
  if (strategy === 'delete') return t.equal(after, undefined, 'the record is gone') as never;
  t.equal(after?.metadata.labels?.status, 'failed');
  const { info, ...rest } = releaseIn(after);
  t.same(rest, { name: 'x' });
  t.equal(info.status, 'failed');
  const forced = state === 'live' ? 'Cleared by force' : 'Cleared';
  t.match(
    info.description,
    new RegExp(`^${forced} by ${user} at \\S+Z, was pending-upgrade: .*; the runner was lost$`),
  );
}

t.test('who may look, and who may wait', async (t) => {
  const lockkeeper = await start(t);
  STATES.live(lockkeeper, 'api');
  const paths = [
    ['list', '/api/v1/namespaces/prod/locks', 200, 'namespace prod'],
    ['get', '/api/v1/namespaces/prod/locks/api', 200, 'namespace prod'],
    ['watch', '/api/v1/namespaces/prod/locks/api/wait?timeout=0', 409, 'namespace prod'],
    ['list', '/api/v1/locks', 200, 'all namespaces'],
    ['list', '/api/v1/namespaces/dev/locks', 200, 'namespace dev'],
  ] as const;
  for (const user of ['reader', 'clearer', 'nobody']) {
    const client = await restClient(t, lockkeeper, { username: user });
    for (const [verb, path, answer, where] of paths) {
      const may = user === 'reader' && path.includes('prod');
      const { status, body } = await client.request('GET', path);
      t.equal(status, may ? answer : 403, `${user}: ${verb} ${path}: ${status}`);
      if (!may)
        t.match(body.detail, `${user} may not ${verb} releaselocks in ${where}. Grant it by this rule in `);
      if (!may) t.match(body.detail, `"verbs":["${verb}"]`);
    }
  }
});

t.test('the list: locks only, of one namespace or of all, in order', async (t) => {
  const lockkeeper = await startLockkeeper(t, { config: { drivers: ['secrets', 'configmaps'] } });
  const { cluster } = lockkeeper;
  const admin = await cluster.client();
  const alice = await restClient(t, lockkeeper, { username: 'alice' });
  const names = async (path: string) => {
    const { body } = await alice.request('GET', path);
    return body.items.map((lock: Json) => `${lock.namespace}/${lock.release} ${lock.revision}`);
  };
  t.same(await names('/api/v1/locks'), [], 'none yet');

  await admin.createNamespace('dev');
  for (const state of Object.keys(STATES) as State[]) STATES[state](lockkeeper, state.replace(' ', '-'));
  cluster.seed([
    record('web', 7, 'pending-install', { namespace: 'dev' }),
    record('api', 1, 'pending-rollback', { namespace: 'dev', driver: 'configmaps' }),
  ]);
  // The watch tells where to look, in its own time.
  await until(async () => (await names('/api/v1/locks')).length === 4);
  t.same(await names('/api/v1/locks'), ['dev/api 1', 'dev/web 7', 'prod/live 2', 'prod/stale 2']);
  t.same(await names('/api/v1/namespaces/prod/locks'), ['prod/live 2', 'prod/stale 2']);
  t.same(await names('/api/v1/namespaces/nowhere/locks'), []);
});

t.test('a wait ends when the lock is freed, though the watch is cut at that moment', async (t) => {
  const lockkeeper = await startLockkeeper(t);
  const { cluster } = lockkeeper;
  const admin = await cluster.client();
  const pipeline = await restClient(t, lockkeeper, { username: 'pipeline' });
  STATES.live(lockkeeper, 'api');
  const waiting = pipeline.get('/api/wait?timeout=600');
  await waitedFor(pipeline, 1);

  const back = Promise.withResolvers<void>();
  const stop = cluster.faults.failRequests(({ query }) =>
    query.get('watch') === 'true' ? { until: back.promise } : undefined,
  );
  cluster.faults.cutWatches();
  await admin.patch('/api/v1/namespaces/prod/secrets/sh.helm.release.v1.api.v2', {
    metadata: { labels: { status: 'deployed' } },
  });
  stop();
  back.resolve();
  const { status, body } = await waiting;
  t.equal(status, 204);
  t.equal(body, '');
});

/** Asks again and again; the limit is that of the test. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds()));
}

/** Resolves when so many wait for `prod/api`, as its lock tells. */
function waitedFor(client: RestClient, count: number): Promise<void> {
  return until(async () => (await client.get('/api')).body.waiting === count);
}

t.test('a thousand who wait cost a few reads, and are all answered when the lock is freed', async (t) => {
  const lockkeeper = await startLockkeeper(t);
  const { cluster } = lockkeeper;
  const admin = await cluster.client();
  const pipeline = await restClient(t, lockkeeper, { username: 'pipeline' });
  STATES.live(lockkeeper, 'api');
  const requests = () => cluster.traffic.countRequests(({ userAgent }) => userAgent === 'lockkeeper');

  const waiting = Array.from({ length: 1_000 }, () => pipeline.get('/api/wait?timeout=600'));
  await waitedFor(pipeline, 1_000);
  const before = requests();
  await admin.patch('/api/v1/namespaces/prod/secrets/sh.helm.release.v1.api.v2', {
    metadata: { labels: { status: 'deployed' } },
  });
  const answers = await Promise.all(waiting);
  t.ok(
    answers.every(({ status }) => status === 204),
    'all of them were told',
  );
  // Who wakes first looks, all others share the next look; each asks for both drivers, and one may be under way.
  t.ok(requests() - before <= 10, `at the cost of ${requests() - before} reads`);
});

t.test('a replica that shuts down says so to who waits', async (t) => {
  const lockkeeper = await startLockkeeper(t);
  const pipeline = await restClient(t, lockkeeper, { username: 'pipeline' });
  STATES.live(lockkeeper, 'api');
  const waiting = pipeline.get('/api/wait?timeout=600');
  await waitedFor(pipeline, 1);
  await lockkeeper.service.close();
  const { status, headers, body } = await waiting;
  t.equal(status, 503);
  t.equal(headers['retry-after'], '2');
  t.match(body.detail, 'ask again');
});

const SECRETS = {
  value: 'hunter2-value',
  manifest: 'hunter2-manifest',
  note: 'hunter2-note',
  token: 'hunter2-token',
};

t.test(
  'no token, no payload and no value of a chart is ever told: in no answer, log, metric or Event',
  async (t) => {
    const lockkeeper = await startLockkeeper(t, {
      config: { metricsPort: await freePort(), logLevel: 'trace' },
    });
    const { cluster, logs, service } = lockkeeper;
    const admin = await cluster.client();
    const alice = await restClient(t, lockkeeper, { username: 'alice' });
    const token = await cluster.token({ username: 'alice' });
    const stranger = await restClient(t, lockkeeper);
    const told: Json[] = [];
    const tell = async (answer: Promise<RestAnswer>) => told.push(await answer);

    const secretRelease = (status: string) =>
      release(status, {
        config: { password: SECRETS.value },
        manifest: SECRETS.manifest,
        info: { status, notes: SECRETS.note },
      });
    const stale = (name: string, payload = secretRelease('pending-upgrade')) =>
      store(lockkeeper, name, 2, 'pending-upgrade', STALE_SECONDS, payload);
    const bytes = gunzipSync(Buffer.from(secretRelease('pending-upgrade'), 'base64'));
    stale('marked');
    stale('deleted');
    stale('truncated', gzipSync(bytes).subarray(0, -20).toString('base64'));
    stale('no-json', gzipSync(`${bytes.toString().slice(0, -1)},`).toString('base64'));
    stale('no-gzip', bytes.toString('base64').replace('e', '!'));
    stale('deployed', secretRelease('deployed'));
    stale('refused');

    for (const name of ['marked', 'truncated', 'no-json', 'no-gzip', 'deployed']) {
      await tell(alice.get(`/${name}`));
      await tell(alice.remove(`/${name}`));
    }
    await tell(alice.remove('/deleted?strategy=delete'));
    await tell(alice.request('GET', '/api/v1/locks'));
    for (const status of [400, 403, 409, 422, 500]) {
      const stop = cluster.faults.failRequests(({ method, path }) =>
        method === 'PUT' && path.endsWith('refused.v2') ? { status } : undefined,
      );
      await tell(alice.remove('/refused'));
      stop();
    }
    for (const authorization of [`Bearer ${SECRETS.token}`, SECRETS.token, `Basic ${SECRETS.token}`]) {
      await tell(stranger.get('/marked', { headers: { authorization } }));
      await tell(stranger.remove('/marked', { headers: { authorization } }));
    }
    await tell(stranger.get(`/marked?token=${SECRETS.token}`));
    await tell(alice.get('/marked', { body: SECRETS.value }));
    await tell(
      alice.request('POST', '/admission', {
        body: `{"a":"${SECRETS.value}`,
        headers: { 'content-type': 'application/json' },
      }),
    );
    await tell(
      alice.request('POST', '/admission', { body: SECRETS.value, headers: { 'content-type': 'text/plain' } }),
    );
    const review = {
      apiVersion: 'admission.k8s.io/v1',
      kind: SECRETS.value,
      request: { uid: 'u', object: SECRETS.note },
    };
    await tell(
      alice.request('POST', '/admission', {
        body: JSON.stringify(review),
        headers: { 'content-type': 'application/json' },
      }),
    );

    t.same(
      told.map(({ status }) => status),
      [
        ...[200, 200, 200, 422, 200, 422, 200, 422, 200, 422],
        ...[200, 200],
        ...[502, 502, 502, 422, 503],
        ...[401, 401, 401, 401, 401, 401],
        ...[401, 400],
        ...[400, 400, 200],
      ],
      'each was answered as it should be',
    );
    const metrics = await (await fetch(`http://127.0.0.1:${service.metricsPort}/metrics`)).text();
    t.match(metrics, /lockkeeper_locks_cleared_total\{strategy="mark-failed",trigger="rest"\} 1/);
    t.match(metrics, /lockkeeper_locks\{verdict="expired"\} 5/);
    const events = await admin.list('/api/v1/namespaces/prod/events');
    t.equal(events.length, 2);
    const everything = JSON.stringify([told, logs.text(), metrics, events]);
    for (const secret of [...Object.values(SECRETS), token]) {
      for (const form of [
        secret,
        Buffer.from(secret).toString('base64').slice(0, -3),
        Buffer.from(secret).toString('hex'),
      ]) {
        t.notOk(everything.includes(form), `${secret} is nowhere`);
      }
    }
    t.ok(everything.includes('marked'), 'and the names are');
  },
);
