/** What a deploy that waits costs the API server: a seat of the level that its user's requests are on (trap 19). */
import t, { type Test } from 'tap';
import type { ApiClient } from '../clusters/client.ts';
import type { User } from '../clusters/cluster.ts';
import { emptyControlPlane } from '../clusters/start.ts';
import { lockkeeperOn } from '../e2e/world.ts';
import { LOCKKEEPER } from '../support/lockkeeper.ts';
import { record } from '../support/records.ts';

const RUNNER: User = { username: 'system:serviceaccount:ci:runner' };

const FLOWCONTROL = '/apis/flowcontrol.apiserver.k8s.io/v1';

/** The API server names them by their uids. */
async function names(admin: ApiClient, collection: string): Promise<ReadonlyMap<unknown, string>> {
  const objects = await admin.list(`${FLOWCONTROL}/${collection}`);
  return new Map(objects.map(({ metadata: { uid, name } }) => [uid, name]));
}

async function world(t: Test) {
  const cluster = await emptyControlPlane(t);
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  const lockkeeper = await lockkeeperOn(t, cluster);
  await cluster.token(RUNNER);
  await admin.create('/apis/rbac.authorization.k8s.io/v1/namespaces/prod/rolebindings', {
    metadata: { name: 'runner' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ kind: 'ServiceAccount', namespace: 'ci', name: 'runner' }],
  });
  const schemas = await names(admin, 'flowschemas');
  const levels = await names(admin, 'prioritylevelconfigurations');
  return {
    ...lockkeeper,
    cluster,
    admin,
    /** On which flow schema and level an answer says that its request was. */
    flowOf: (headers: Readonly<Record<string, unknown>>) => ({
      schema: schemas.get(headers['x-kubernetes-pf-flowschema-uid']),
      level: levels.get(headers['x-kubernetes-pf-prioritylevel-uid']),
    }),
  };
}

type World = Awaited<ReturnType<typeof world>>;

/** A value of the API server's metrics; 0 for one that it never counted. */
async function metric({ admin }: World, name: string, level: string): Promise<number> {
  const { body } = await admin.request<string>('GET', '/metrics');
  const line = new RegExp(`^${name}\\{.*priority_level="${level}".*\\} (\\S+)$`, 'm').exec(body);
  return Number(line?.[1] ?? 0);
}

const taken = (w: World, level: string) => metric(w, 'apiserver_flowcontrol_current_executing_seats', level);

/** As many deploys as wait at once, of releases that are locked. */
async function deploysThatWait(w: World, user: User, count: number) {
  const client = await w.cluster.client(user);
  const path = '/api/v1/namespaces/prod/secrets';
  const deploys = [];
  for (let number = 0; number < count; number += 1) {
    const release = `r${number}`;
    await w.admin.create(path, record(release, 1, 'pending-install'));
    const held = w.logs.nextLine('held', (line) => line.release === release);
    deploys.push(client.request('POST', path, record(release, 2, 'pending-upgrade')));
    await held;
  }
  return {
    answers: Promise.all(deploys),
    async letGo() {
      const patch = { metadata: { labels: { status: 'deployed' } } };
      for (let number = 0; number < count; number += 1) {
        await w.admin.patch(`${path}/sh.helm.release.v1.r${number}.v1`, patch);
      }
    },
  };
}

/** Resolves when so many seats of the level are taken; Lockkeeper's own requests come and go on it. */
async function untilTaken(w: World, level: string, count: number): Promise<void> {
  while ((await taken(w, level)) !== count);
}

const DEPLOYERS = [
  // What kubeconfigs of people and of pipelines outside the cluster lead to.
  {
    who: 'a user',
    user: { username: 'alice' },
    schema: 'global-default',
    level: 'global-default',
    seats: 49,
  },
  // What runs in a pod.
  { who: 'a service account', user: RUNNER, schema: 'service-accounts', level: 'workload-low', seats: 245 },
] as const;

for (const { who, user, schema, level, seats } of DEPLOYERS) {
  t.test(`a deploy of ${who} that waits takes one of the ${seats} seats of ${level}`, async (t) => {
    const w = await world(t);
    t.equal(await metric(w, 'apiserver_flowcontrol_nominal_limit_seats', level), seats, 'seats of the level');
    await untilTaken(w, level, 0);
    const { answers, letGo } = await deploysThatWait(w, user, 3);
    await untilTaken(w, level, 3);
    t.pass('three deploys wait, three seats are taken');
    await letGo();
    for (const { code, headers } of await answers) {
      t.equal(code, 201, 'it goes through');
      t.same(w.flowOf(headers), { schema, level });
    }
    await untilTaken(w, level, 0);
    t.pass('no seat is taken');
  });
}

t.test(
  'Lockkeeper asks on the level of all service accounts, beside the deploys of pods that wait',
  async (t) => {
    const w = await world(t);
    const lockkeeper = await w.cluster.client(LOCKKEEPER);
    const { code, headers } = await lockkeeper.request('GET', '/api/v1/namespaces/prod/secrets?limit=1');
    t.equal(code, 200);
    t.same(w.flowOf(headers), { schema: 'service-accounts', level: 'workload-low' });
  },
);
