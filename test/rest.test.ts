/**
 * The REST endpoints where something goes wrong, or is to be counted: what only the embedded cluster can do. What
 * people meet is in test/e2e/rest.test.ts.
 */
import { gunzipSync, gzipSync } from 'node:zlib';
import t from 'tap';
import { freePort } from './support/free-port.ts';
import { type Lockkeeper, startLockkeeper } from './support/lockkeeper.ts';
import { record } from './support/records.ts';
import { type Json, type RestAnswer, type RestClient, restClient } from './support/rest.ts';

const LIVE_SECONDS = 60;
const STALE_SECONDS = 3_600;

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
  const creationTimestamp = new Date(Date.now() - age * 1000).toISOString().replace(/\.\d+Z$/, 'Z');
  Object.assign(stored.metadata, { creationTimestamp });
  lockkeeper.cluster.seed([stored]);
}

function storeLive(lockkeeper: Lockkeeper): void {
  store(lockkeeper, 'api', 1, 'deployed', STALE_SECONDS);
  store(lockkeeper, 'api', 2, 'pending-upgrade', LIVE_SECONDS);
}

t.test('a wait ends when the lock is freed, though the watch is cut at that moment', async (t) => {
  const lockkeeper = await startLockkeeper(t);
  const { cluster } = lockkeeper;
  const admin = await cluster.client();
  const pipeline = await restClient(t, lockkeeper, { username: 'pipeline' });
  storeLive(lockkeeper);
  const waiting = pipeline.get('/api/wait?timeout=600');
  await waitedFor(pipeline, 1);

  const back = Promise.withResolvers<void>();
  const stop = cluster.faults.failRequests(({ query }) =>
    query.get('watch') === 'true' ? { until: back.promise } : undefined,
  );
  cluster.faults.cutWatches();
  await admin.patch('/api/v1/namespaces/prod/secrets/sh.helm.release.v1.api.v2', {
    metadata: { labels: { status: 'deployed' } },
    data: { release: Buffer.from(release('deployed')).toString('base64') },
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
  storeLive(lockkeeper);
  const requests = () => cluster.traffic.countRequests(({ userAgent }) => userAgent === 'lockkeeper');

  const waiting = Array.from({ length: 1_000 }, () => pipeline.get('/api/wait?timeout=600'));
  await waitedFor(pipeline, 1_000);
  const before = requests();
  await admin.patch('/api/v1/namespaces/prod/secrets/sh.helm.release.v1.api.v2', {
    metadata: { labels: { status: 'deployed' } },
    data: { release: Buffer.from(release('deployed')).toString('base64') },
  });
  const answers = await Promise.all(waiting);
  t.ok(
    answers.every(({ status }) => status === 204),
    'all of them were told',
  );
  // Who wakes first looks, all others share the next look; each asks for both drivers, and one may be under way.
  t.ok(requests() - before <= 10, `at the cost of ${requests() - before} reads`);
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
        ...[400, 415, 200],
      ],
      'each was answered as it should be',
    );
    const metrics = await (await fetch(`http://127.0.0.1:${service.metricsPort}/metrics`)).text();
    t.match(metrics, /lockkeeper_locks_cleared_total\{strategy="mark-failed",trigger="rest"\} 1/);
    t.match(metrics, /lockkeeper_locks\{verdict="expired"\} 5/);
    const events = await admin.list('/api/v1/namespaces/prod/events');
    const cleared = events.filter(
      ({ reason, involvedObject }) => reason === 'Cleared' && Object(involvedObject).kind === 'Secret',
    );
    t.equal(cleared.length, 2);
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
