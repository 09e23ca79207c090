/**
 * The gate and the guard as an API server meets them, on either cluster; records are created as Helm would. What needs
 * a cluster that fails or counts on demand is in test/service.test.ts.
 */
import t, { type Test } from 'tap';
import type { ApiClient, ApiResponse } from '../clusters/client.ts';
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import { REAL, startCluster } from '../clusters/start.ts';
import { LOCKKEEPER } from '../support/lockkeeper.ts';
import { readRights } from '../support/manifests.ts';
import { type RecordOptions, record } from '../support/records.ts';
import { clusterWithRights } from '../support/rights.ts';
import { lockkeeperOn, STALE_AFTER_MS, type WorldOptions } from './world.ts';

const SECRETS = '/api/v1/namespaces/prod/secrets';
const PENDING = 'pending-upgrade';

/** Longer than any test needs, so that none hangs on the machine's pace. */
const PATIENT = { timeoutSeconds: 30, config: { holdSeconds: 25, maxHeld: 150 } };

async function world(t: Test, options: WorldOptions = {}) {
  const cluster = await startCluster(t);
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  const lockkeeper = await lockkeeperOn(t, cluster, options);
  return { ...lockkeeper, admin, bob: await cluster.client({ username: 'bob' }) };
}

function pathOf(release: string, revision: number): string {
  return `${SECRETS}/sh.helm.release.v1.${release}.v${revision}`;
}

/** Resolves with the answer, whatever it is. */
function create(
  client: ApiClient,
  release: string,
  revision: number,
  { status = PENDING, ...options }: RecordOptions & { readonly status?: string } = {},
): Promise<ApiResponse<StoredObject & { message?: string }>> {
  return client.request('POST', SECRETS, record(release, revision, status, options));
}

function finish(admin: ApiClient, release: string, revision: number): Promise<StoredObject> {
  return admin.patch(pathOf(release, revision), { metadata: { labels: { status: 'deployed' } } });
}

/** So many at a time. */
const BATCH = 50;

/** The codes of the answers, each once. */
async function codesOf(
  releases: readonly string[],
  ask: (release: string) => Promise<{ code: number }>,
): Promise<number[]> {
  const codes = new Set<number>();
  for (let first = 0; first < releases.length; first += BATCH) {
    const answers = await Promise.all(releases.slice(first, first + BATCH).map(ask));
    for (const { code } of answers) codes.add(code);
  }
  return [...codes];
}

type Answer = Awaited<ReturnType<typeof create>>;

/** Stores a lock for each, and sends the next deploy of each, which is held. Resolves when so many are. */
async function locked(
  { admin, logs }: Awaited<ReturnType<typeof world>>,
  client: ApiClient,
  many: readonly string[],
  count = many.length,
): Promise<Promise<Answer>[]> {
  const first = await codesOf(many, (release) => create(admin, release, 1));
  if (first.join() !== '201') throw new Error(`the locks were answered ${first.join()}`);
  const held = logs.line('held', ({ held }) => held === count);
  const answers = many.map((release) => create(client, release, 2));
  const tooEarly = answers.map(async (answer) => {
    const { code, body } = await answer;
    throw new Error(`before all were held, one was answered ${code}: ${body.message}`);
  });
  await Promise.race([held, ...tooEarly]);
  return answers;
}

function releases(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `release-${index}`);
}

t.test('deploys of many releases: none is in the way of another', async (t) => {
  const { admin, logs } = await world(t);
  // A real API server takes its time for each, and as many show the same.
  const many = releases(REAL ? 200 : 1_000);
  t.same(await codesOf(many, (release) => create(admin, release, 1)), [201], 'first deploys');
  for (const release of many.slice(0, BATCH)) await finish(admin, release, 1);
  t.same(await codesOf(many.slice(0, BATCH), (release) => create(admin, release, 2)), [201], 'second ones');
  t.notOk(logs.messages().includes('held'));
});

t.test('held deploys of many releases, freed one after the other', async (t) => {
  const w = await world(t, PATIENT);
  const many = releases(REAL ? 50 : 150);
  const answers = await locked(w, w.admin, many);
  for (const release of many) await finish(w.admin, release, 1);
  const codes = (await Promise.all(answers)).map(({ code }) => code);
  t.same([...new Set(codes)], [201], 'every one is admitted');
});

t.test('more held deploys of ordinary users than a real API server serves them at once', async (t) => {
  const w = await world(t, PATIENT);
  const many = releases(120);
  // Each takes a seat of bob's in the API server, which was seen to have some sixty of them: the others wait before
  // Lockkeeper is asked about them.
  const answers = await locked(w, w.bob, many, 20);
  for (const release of many) await finish(w.admin, release, 1);
  const codes = (await Promise.all(answers)).map(({ code }) => code);
  t.same([...new Set(codes)], [201], 'every one is admitted');
});

t.test('names with dots, names of 53 characters, and revisions with a gap below', async (t) => {
  const { admin, logs } = await world(t);
  for (const release of ['app', 'app.v2', 'a.v1.v2', 'x', 'r'.repeat(53)]) {
    await create(admin, release, 3, { status: 'failed' });
    await create(admin, release, 5);
    const next = create(admin, release, 12);
    t.match(await logs.line('held', (line) => line.release === release), { lock: { revision: 5 } }, release);
    await finish(admin, release, 5);
    t.equal((await next).code, 201, release);
    await finish(admin, release, 12);
    await create(admin, release, 20, { status: 'failed' });
    const late = await create(admin, release, 15);
    t.equal(late.code, 409, `${release}: with 14 gone, 20 is looked for, which tells that 15 comes too late`);
  }
  t.equal((await create(admin, 'app.v2.v3', 1)).code, 201, 'another release whose name begins alike');
});

t.test('trap 17: a record near 1 MiB', async (t) => {
  const { admin, bob, logs } = await world(t);
  const payload = 'x'.repeat(1_000_000);
  t.equal((await create(admin, 'api', 1, { payload })).code, 201);
  const second = create(bob, 'api', 2, { payload });
  await logs.line('held');
  await finish(admin, 'api', 1);
  t.equal((await second).code, 201);
  t.notMatch(JSON.stringify(logs.lines), /xxxx/, 'is not logged');
});

t.test('the client of a held deploy leaves: nobody is left in the gate', async (t) => {
  const { cluster, admin, bob, logs } = await world(t, { config: { maxHeld: 1 } });
  await create(admin, 'api', 1);
  const leaving = new AbortController();
  const left = bob.request('POST', SECRETS, record('api', 2, PENDING), { signal: leaving.signal });
  left.catch(() => {});
  await logs.line('held');
  leaving.abort();
  t.match(await logs.line('the caller hung up'), { release: 'api', revision: 2, client: 'bob' });
  const next = create(await cluster.client({ username: 'carol' }), 'api', 2);
  await logs.line('held', ({ client }) => client === 'carol');
  await finish(admin, 'api', 1);
  t.equal((await next).code, 201, 'the seat was free');
});

t.test('a webhook that gives no time to hold: the answer comes before the API server gives up', async (t) => {
  const { admin, bob, logs } = await world(t, { timeoutSeconds: 1 });
  await create(admin, 'api', 1);
  const answer = await create(bob, 'api', 2);
  t.equal(answer.code, 429);
  t.equal(answer.headers['retry-after'], '20');
  t.notOk(logs.messages().includes('held'));
});

for (const [failurePolicy, code] of [
  ['Fail', 500],
  ['Ignore', 201],
] as const) {
  t.test(`Lockkeeper is down: failurePolicy ${failurePolicy} alone decides on deploys`, async (t) => {
    const { admin, service } = await world(t, { failurePolicy });
    await create(admin, 'api', 1);
    await service.close();
    const answer = await create(admin, 'api', 2);
    t.equal(answer.code, code);
    if (code === 500) t.match(answer.body.message, 'failed calling webhook "gate.lockkeeper.dev"');
    await admin.remove(pathOf('api', 1));
    t.pass('and a record may always be deleted');
  });

  t.test(`Lockkeeper may not read: failurePolicy ${failurePolicy} alone decides on deploys`, async (t) => {
    const { cluster, withdraw } = await clusterWithRights(t);
    const admin = await cluster.client();
    await lockkeeperOn(t, cluster, { failurePolicy });
    await create(admin, 'api', 1);
    const manifest = await readRights();
    await withdraw(manifest.filter(({ kind }) => kind === 'ClusterRoleBinding'));
    const answer = await create(admin, 'api', 2);
    t.equal(answer.code, code);
    if (code === 500) t.match(answer.body.message, /lockkeeper cannot read release records: .* 403/);
    await admin.remove(pathOf('api', 1));
    t.pass('and a record may always be deleted');
  });
}

t.test('malformed records are refused in words', async (t) => {
  const { admin } = await world(t);
  const liar = record('api', 2, PENDING);
  liar.metadata.labels.version = '3';
  const { code, body } = await admin.request('POST', SECRETS, liar);
  t.equal(code, 400);
  t.match(body, {
    message:
      'admission webhook "gate.lockkeeper.dev" denied the request: "sh.helm.release.v1.api.v2" is not a Helm ' +
      'release record that can be deployed: its label version is 3. Nothing was changed.',
  });
});

t.test('a record whose name the API server makes up is none of Helm', async (t) => {
  const { admin } = await world(t);
  const { metadata, ...rest } = record('api', 2, PENDING);
  const { name, ...others } = metadata;
  const { code, body } = await admin.request<{ message?: string }>('POST', SECRETS, {
    ...rest,
    metadata: { ...others, generateName: name },
  });
  t.equal(code, 400);
  t.match(body.message, /"sh\.helm\.release\.v1\.api\.v2\w{5}" is not a Helm release record/);
});

t.test('a server-side dry run changes nothing and waits for nobody', async (t) => {
  const { admin, bob } = await world(t);
  const dryRun = (client: ApiClient, revision: number) =>
    client.request('POST', `${SECRETS}?dryRun=All`, record('api', revision, PENDING));
  t.equal((await dryRun(bob, 1)).code, 201);
  t.equal((await create(admin, 'api', 1)).code, 201, 'the dry run took no place');
  const { code, body } = await dryRun(bob, 2);
  t.equal(code, 409);
  t.match(body, { message: /This was a dry run/ });
});

t.test('shutdown answers every held call with 429 and loses none', async (t) => {
  const w = await world(t, PATIENT);
  const answers = await locked(w, w.admin, releases(100));
  await w.service.close();
  const seen = (await Promise.all(answers)).map(({ code, headers }) => `${code} ${headers['retry-after']}`);
  t.same([...new Set(seen)], ['429 1']);
});

t.test('the holder is named with its pod, as its token tells', async (t) => {
  const { cluster, admin, bob } = await world(t, { config: { holdSeconds: 0, maxWaitSeconds: 0 } });
  await admin.createNamespace('ci');
  const runner = await cluster.client({
    username: 'system:serviceaccount:ci:runner',
    extra: {
      'authentication.kubernetes.io/pod-name': ['runner-7f9c'],
      'authentication.kubernetes.io/pod-uid': ['1'],
    },
  });
  await admin.create('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    metadata: { name: 'runner' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ kind: 'ServiceAccount', namespace: 'ci', name: 'runner' }],
  });
  while ((await create(runner, 'api', 1)).code !== 201);
  const { code, body } = await create(bob, 'api', 2);
  t.equal(code, 409);
  t.match(body.message, /, system:serviceaccount:ci:runner in pod ci\/runner-7f9c\)/);
});

t.test(
  'whoever deletes all records of a namespace is refused that of a live lock, and no other',
  async (t) => {
    const { cluster, admin, bob } = await world(t);
    await create(admin, 'api', 1, { status: 'deployed' });
    await create(admin, 'api', 2);
    await create(admin, 'web', 1, { status: 'failed' });
    const all = `${SECRETS}?labelSelector=owner%3Dhelm`;
    const { code, body } = await bob.request<{ message?: string }>('DELETE', all);
    t.equal(code, 409);
    t.match(body.message, /"guard\.lockkeeper\.dev" denied the request: release prod\/api: revision 2 /);
    t.ok(
      (await admin.list(all)).some(({ metadata }) => metadata.name.endsWith('api.v2')),
      'it was kept',
    );
    await cluster.letTimePass(STALE_AFTER_MS);
    t.equal((await bob.request('DELETE', all)).code, 200, 'once it is stale, it may go');
    t.same(await admin.list(all), []);
  },
);

t.test('what Lockkeeper itself deletes, the guard lets pass', async (t) => {
  const { cluster, admin } = await world(t);
  await create(admin, 'api', 1);
  const lockkeeper = await cluster.client(LOCKKEEPER);
  t.equal((await lockkeeper.request('DELETE', pathOf('api', 1))).code, 200);
});
