/** What a test may expect of a control plane, whichever programs it is made of. */
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { ApiClient, WatchEvent } from '../clusters/client.ts';
import { type StartedControlPlane, startControlPlane } from '../clusters/control-plane/cluster.ts';
import { DEFINITIONS } from '../clusters/control-plane/custom-resources.ts';
import { kubernetesVersion } from '../clusters/control-plane/programs.ts';
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import { until } from '../support/until.ts';
import type { GoOptions } from '../tools/go.ts';
import { DEFINITION, THINGS } from './things.ts';

const PROD = '/api/v1/namespaces/prod';

const PROD_THINGS = '/apis/example.com/v1/namespaces/prod/things';

const POD_NAME = 'authentication.kubernetes.io/pod-name';

const PAUSE_MS = 200;

export function controlPlaneStories(options: GoOptions): void {
  let cluster: StartedControlPlane;
  let admin: ApiClient;
  t.before(async () => {
    cluster = await startControlPlane(options);
    admin = await cluster.client();
  });
  t.teardown(() => cluster.stop());

  /** Each test begins with an empty `prod`. */
  const story = (name: string, tell: (t: Test) => Promise<void>) =>
    t.test(name, async (t) => {
      await admin.createNamespace('prod');
      t.teardown(() => cluster.empty());
      await tell(t);
    });

  story('it is the Kubernetes that go.mod asks for', async (t) => {
    const [version] = await kubernetesVersion();
    t.equal(cluster.version, version);
    t.match((await admin.request('GET', '/version')).body, { gitVersion: version });
  });

  story('it asks who may do what', async (t) => {
    const code = async (username: string) =>
      (await (await cluster.client({ username })).request('GET', `${PROD}/secrets`)).code;
    t.same(
      await Promise.all([code('alice'), code('mallory'), code('system:serviceaccount:prod:runner')]),
      [200, 403, 403],
    );
    await t.rejects(cluster.token({ username: 'nobody' }), { message: /nobody is no user/ });
  });

  story('a token says in which pod it lives', async (t) => {
    const username = 'system:serviceaccount:prod:runner';
    const runner = await cluster.client({ username, extra: { [POD_NAME]: ['runner-1'] } });
    const review = await runner.create('/apis/authentication.k8s.io/v1/selfsubjectreviews', {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'SelfSubjectReview',
    });
    const { metadata } = await admin.get(`${PROD}/pods/runner-1`);
    t.match(review.status, {
      userInfo: {
        username,
        extra: { [POD_NAME]: ['runner-1'], 'authentication.kubernetes.io/pod-uid': [metadata.uid] },
      },
    });
    const unbound = await cluster.client({ username });
    t.equal((await unbound.request('GET', '/api')).code, 200, 'the same user elsewhere');

    await admin.remove(`${PROD}/pods/runner-1`);
    t.equal((await unbound.request('GET', '/api')).code, 200);
    t.equal(await firstOther(200, async () => (await runner.request('GET', '/api')).code), 401);
  });

  story('time passes for the records of Helm, as a watch is told', async (t) => {
    const create = (kind: string, name: string, labels: object) =>
      admin.create(`${PROD}/${kind}`, { metadata: { name, labels, finalizers: ['test/keep'] } });
    const other = await create('secrets', 'other', {});
    const records = [
      await create('secrets', 'record', { owner: 'helm' }),
      await create('configmaps', 'record', { owner: 'helm' }),
    ];
    await cluster.letTimePass(3_600_000);
    for (const [index, kind] of ['secrets', 'configmaps'].entries()) {
      const before = records[index] as StoredObject;
      const after = await admin.get(`${PROD}/${kind}/record`);
      t.same(
        timesOf(after),
        timesOf(before).map((time) => time - 3_600_000),
        kind,
      );
      const { type, object } = await firstEvent(admin, `${PROD}/${kind}`, before, () => true);
      t.same([type, object.metadata], ['MODIFIED', after.metadata], 'the watch');
      const withoutTimes = ({ metadata, ...rest }: StoredObject) => ({
        ...rest,
        metadata: { ...metadata, resourceVersion: '', creationTimestamp: '', managedFields: [] },
      });
      t.same(withoutTimes(after), withoutTimes(before), 'nothing else changes');
      await admin.replace(`${PROD}/${kind}/record`, { ...after, data: { a: 'YQ==' } });
    }
    t.same(await admin.get(`${PROD}/secrets/other`), other, 'what is no record stays as young');
  });

  story('a namespace goes with its contents', async (t) => {
    const namespace = await admin.createNamespace('going');
    const things = THINGS.filter(({ path }) => path.includes('NAMESPACE'));
    const collections = things.map(({ path }) => path.replace('NAMESPACE', 'namespaces/going'));
    for (const [index, { object }] of things.entries()) {
      await admin.create(collections[index] as string, object);
    }
    await admin.remove('/api/v1/namespaces/going');
    const isIt = ({ type, object }: WatchEvent) => type === 'DELETED' && object.metadata.name === 'going';
    const { object } = await firstEvent(admin, '/api/v1/namespaces', namespace, isIt);
    t.equal(object.metadata.uid, namespace.metadata.uid);
    for (const path of collections) t.same(await admin.list(path), [], path);
  });

  story('a namespace waits for what a finalizer keeps', async (t) => {
    const namespace = await admin.createNamespace('waiting');
    const path = '/api/v1/namespaces/waiting/configmaps';
    const kept = await admin.create(path, { metadata: { name: 'kept', finalizers: ['test/keep'] } });
    await admin.remove('/api/v1/namespaces/waiting');
    await firstEvent(admin, path, kept, ({ object }) => object.metadata.deletionTimestamp !== undefined);
    t.match(await admin.get('/api/v1/namespaces/waiting'), { status: { phase: 'Terminating' } });
    await admin.patch(`${path}/kept`, { metadata: { finalizers: null } });
    await firstEvent(admin, '/api/v1/namespaces', namespace, ({ type }) => type === 'DELETED');
    t.equal((await admin.request('GET', '/api/v1/namespaces/waiting')).code, 404);
  });

  story('what has lost all its owners goes', async (t) => {
    const owner = async (name: string) => {
      const { metadata } = await admin.create(`${PROD}/configmaps`, { metadata: { name } });
      return { apiVersion: 'v1', kind: 'ConfigMap', name, uid: metadata.uid };
    };
    const [first, second] = [await owner('first'), await owner('second')];
    const dependent = (name: string, ownerReferences: object[]) =>
      admin.create(`${PROD}/secrets`, { metadata: { name, ownerReferences } });
    const ofFirst = await dependent('of-first', [first]);
    await dependent('of-both', [first, second]);
    await dependent('of-nobody', []);
    await dependent('of-a-namesake', [{ ...second, uid: first.uid }]);
    const gone = (name: string) =>
      firstEvent(
        admin,
        `${PROD}/secrets`,
        ofFirst,
        ({ type, object }) => type === 'DELETED' && object.metadata.name === name,
      );
    const names = async () => (await admin.list(`${PROD}/secrets`)).map(({ metadata }) => metadata.name);
    await gone('of-a-namesake');
    t.same(await names(), ['of-both', 'of-first', 'of-nobody']);
    await admin.remove(`${PROD}/configmaps/first`);
    await gone('of-first');
    t.same(await names(), ['of-both', 'of-nobody']);
    await admin.remove(`${PROD}/configmaps/second`);
    await gone('of-both');
    t.same(await names(), ['of-nobody']);
  });

  story('what a test made is taken away, and nothing else', async (t) => {
    const paths = THINGS.map(({ path }) => path.replace('NAMESPACE', 'namespaces/prod'));
    const all = async () => {
      const lists = await Promise.all(paths.map((path) => admin.list(path)));
      return lists.map((items) => items.map(({ metadata }) => metadata.name).sort());
    };
    const before = await all();
    for (const [index, { path, object }] of THINGS.entries()) {
      const finalizers = path.includes('NAMESPACE') ? ['test/keep'] : [];
      const metadata = { ...object.metadata, finalizers };
      await admin.create(paths[index] as string, { ...object, metadata });
    }
    for (const [index, names] of (await all()).entries()) {
      const expected = [...(before[index] ?? []), THINGS[index]?.object.metadata.name];
      t.same(names, expected.sort(), paths[index] as string);
    }
    await cluster.empty();
    t.same(await all(), before);
    const alice = await cluster.client({ username: 'alice' });
    t.equal((await alice.request('GET', `${PROD}/secrets`)).code, 200, 'administrators stay');
  });

  story('its API server restarts, and what is stored stays', async (t) => {
    const log = async () => (await readFile(cluster.auditLog, 'utf8')).split('\n');
    const { metadata } = await admin.create(`${PROD}/secrets`, { metadata: { name: 'kept' } });
    await admin.create(DEFINITIONS, DEFINITION);
    const thing = { apiVersion: 'example.com/v1', kind: 'Thing', metadata: { name: 'kept' } };
    await until(
      () => admin.request('POST', PROD_THINGS, thing),
      ({ code }) => code === 201,
    );
    const before = await log();
    const watch = admin.watch(`${PROD}/secrets?watch=true`);
    t.match(await watch.next(), { value: { type: 'ADDED', object: { metadata } } }, 'it has begun');
    const ended = watch.next().then(
      ({ done }) => done === true || 'went on',
      () => true,
    );
    await cluster.restartApiServer();
    t.equal(await ended, true, 'its watches end');
    t.match(await admin.list(`${PROD}/secrets`), [{ metadata }]);
    t.match(await admin.list(PROD_THINGS), [thing], 'custom resources are served, too');
    t.equal((await admin.request('GET', '/readyz')).code, 200);
    t.same((await log()).slice(0, before.length - 1), before.slice(0, -1), 'the audit log goes on');

    await cluster.restartApiServer();
    const namespace = await admin.createNamespace('after');
    await admin.remove('/api/v1/namespaces/after');
    await firstEvent(admin, '/api/v1/namespaces', namespace, ({ type }) => type === 'DELETED');
  });

  story('two at once do not know each other', async (t) => {
    const other = await startControlPlane(options);
    t.teardown(() => other.stop());
    const otherAdmin = await other.client();
    await otherAdmin.createNamespace('prod');
    await otherAdmin.create(`${PROD}/secrets`, { metadata: { name: 'theirs', labels: { owner: 'helm' } } });
    const { metadata } = await admin.create(`${PROD}/secrets`, {
      metadata: { name: 'ours', labels: { owner: 'helm' } },
    });
    await other.letTimePass(1000);
    t.match(await admin.list(`${PROD}/secrets`), [{ metadata }], 'neither records nor time');
    await other.empty();
    await other.stop();
    t.match(await admin.list(`${PROD}/secrets`), [{ metadata }], 'nor the end');
  });
}

function timesOf({ metadata }: StoredObject): number[] {
  const { creationTimestamp, managedFields = [] } = metadata;
  return [creationTimestamp, ...managedFields.map(({ time }) => time)].map((time) => Date.parse(time));
}

/** The first event after this object was written that is as wanted. */
async function firstEvent(
  admin: ApiClient,
  path: string,
  { metadata }: StoredObject,
  isWanted: (event: WatchEvent) => boolean,
): Promise<WatchEvent> {
  for await (const event of admin.watch(`${path}?watch=true&resourceVersion=${metadata.resourceVersion}`)) {
    if (isWanted(event)) return event;
  }
  throw new Error(`the watch of ${path} ended`);
}

/** Asks until the answer is another one: the API server remembers tokens for 10 s. */
async function firstOther<Answer>(known: Answer, ask: () => Promise<Answer>): Promise<Answer> {
  for (;;) {
    const answer = await ask();
    if (answer !== known) return answer;
    await delay(PAUSE_MS);
  }
}
