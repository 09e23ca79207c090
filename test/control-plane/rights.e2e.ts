/**
 * That Lockkeeper runs with the rights that the chart grants: it uses each of them, needs each of them, and asks for no
 * more.
 */
import t, { type Test } from 'tap';
import type { Config } from '../../src/config.ts';
import { DRIVERS, type Driver } from '../../src/helm/release.ts';
import type { ApiClient } from '../clusters/client.ts';
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import { ownControlPlane } from '../clusters/start.ts';
import { lockkeeperOn } from '../e2e/world.ts';
import { chart, type Rendered } from '../support/chart.ts';
import { freePort } from '../support/free-port.ts';
import { GATE_WEBHOOKS_PATH } from '../support/gate-webhook.ts';
import { LOCKKEEPER, startServiceOn } from '../support/lockkeeper.ts';
import { apply, readRights, rightsAmong } from '../support/manifests.ts';
import { record } from '../support/records.ts';
import { restClient } from '../support/rest.ts';
import { until } from '../support/until.ts';
import { type AuditEvent, auditEvents } from './audit.ts';

/** `get secrets`, or `create tokenreviews.authentication.k8s.io`. */
type RightName = string;

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

function nameOf(verb: string, resource: string, group = ''): RightName {
  return `${verb} ${group === '' ? resource : `${resource}.${group}`}`;
}

/** One rule for each right in every namespace; those to objects of its own, which have names, are left out. */
async function granted(): Promise<ReadonlyMap<RightName, Rule>> {
  const roles = (await readRights()).filter(({ kind }) => kind === 'ClusterRole');
  const rules = roles.flatMap((role) => role.rules as readonly Rule[]).filter((rule) => !rule.resourceNames);
  const single = rules.flatMap(({ apiGroups, resources, verbs }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((resource) =>
        verbs.map((verb) => {
          const rule: Rule = { apiGroups: [group], resources: [resource], verbs: [verb] };
          return [nameOf(verb, resource, group), rule] as const;
        }),
      ),
    ),
  );
  return new Map(single);
}

const RIGHTS = await granted();

const ROLE = '/apis/rbac.authorization.k8s.io/v1/clusterroles/lockkeeper';

/** Lockkeeper on a real cluster, asked for everything by bob. */
async function world(t: Test, config: Partial<Config> = {}) {
  const cluster = await ownControlPlane(t);
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  const before = (await auditEvents(cluster)).length;
  const lockkeeper = await lockkeeperOn(t, cluster, {
    config: { holdSeconds: 0, maxWaitSeconds: 0, metricsPort: await freePort(), ...config },
  });
  return {
    ...lockkeeper,
    cluster,
    admin,
    bob: await restClient(t, lockkeeper, { username: 'bob' }),
    /** What Lockkeeper has asked for since this began. */
    asked: async () =>
      (await auditEvents(cluster)).slice(before).filter(({ user }) => user.username === LOCKKEEPER.username),
  };
}

type World = Awaited<ReturnType<typeof world>>;

/** As Helm writes it, so that it can be marked as failed. */
function pending(release: string, revision: number, driver: Driver, status = 'pending-upgrade') {
  const content = {
    name: release,
    info: { status, description: 'Preparing' },
    version: revision,
    namespace: 'prod',
  };
  const payload = Buffer.from(JSON.stringify(content)).toString('base64');
  return record(release, revision, status, { driver, payload });
}

/** Whoever deploys: each answer as it comes. */
function deploy({ admin }: World, release: string, revision: number, driver: Driver) {
  const object = pending(release, revision, driver);
  return admin.request<{ message?: string }>('POST', `/api/v1/namespaces/prod/${driver}`, object);
}

/** By somebody who does not hold the lock. */
async function removeRecord({ cluster }: World, release: string, revision: number, driver: Driver) {
  const path = `/api/v1/namespaces/prod/${driver}/sh.helm.release.v1.${release}.v${revision}`;
  const alice = await cluster.client({ username: 'alice' });
  return alice.request<{ message?: string }>('DELETE', path);
}

/** Whoever deploys from pods, which are made for it: one release for each, which bears its name. */
async function deployFromPods({ cluster, admin }: World, pods: readonly string[], driver: Driver) {
  await admin.create('/apis/rbac.authorization.k8s.io/v1/namespaces/prod/rolebindings', {
    metadata: { name: 'runners' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ kind: 'ServiceAccount', namespace: 'ci', name: 'runner' }],
  });
  for (const pod of pods) {
    const extra = { 'authentication.kubernetes.io/pod-name': [pod] };
    const client = await cluster.client({ username: 'system:serviceaccount:ci:runner', extra });
    await until(
      () => client.request('POST', `/api/v1/namespaces/prod/${driver}`, pending(pod, 1, driver)),
      ({ code }) => code === 201,
    );
  }
}

/** So many that they are looked at by a list. */
const MANY = ['one', 'two', 'three', 'four'];

function removePod({ admin }: World, name: string) {
  return admin.remove(`/api/v1/namespaces/ci/pods/${name}?gracePeriodSeconds=0`);
}

const LOCKS = '/apis/lockkeeper.dev/v1alpha1/namespaces/prod/releaselocks';

/** Once it is there, and judged. */
async function entryOf({ admin }: World, release: string, isSo: (entry: StoredObject) => boolean) {
  const { body } = await until(
    () => admin.request('GET', `${LOCKS}/${release}`),
    ({ code, body }) => code === 200 && body.status !== undefined && isSo(body),
  );
  return body as StoredObject & { readonly spec: { readonly holder?: object } };
}

/** Somebody puts another entry in its place, which names no holder. */
async function forgetHolder(w: World, release: string): Promise<void> {
  const { apiVersion, kind, metadata, spec } = await entryOf(w, release, () => true);
  const { holder: _, ...rest } = spec;
  const { name } = metadata;
  const entry = { apiVersion, kind, metadata: { name }, spec: rest };
  // As long as Lockkeeper is asked, nobody may; and the API server learns of it a moment later.
  await w.removeWebhook();
  const isDone = ({ code }: { readonly code: number }) => code < 300;
  await until(() => w.admin.request('DELETE', `${LOCKS}/${name}`), isDone);
  await until(() => w.admin.request('POST', LOCKS, entry), isDone);
  await w.installWebhook();
}

/** What Lockkeeper is for, from the first deploy to the last clear, in one driver. */
async function everything(t: Test, w: World, driver: Driver): Promise<void> {
  const { bob } = w;
  const api = `api-${driver}`;
  const gap = `gap-${driver}`;
  t.match(await deploy(w, api, 1, driver), { code: 201 }, 'a deploy is let through');
  await forgetHolder(w, api);
  t.ok(await entryOf(w, api, ({ spec }) => 'holder' in (spec as object)), 'its entry names the holder again');
  t.match(await deploy(w, api, 2, driver), { code: 409 }, 'one beside it is not');
  t.match(await deploy(w, gap, 1, driver), { code: 201 });
  t.match(
    await deploy(w, gap, 3, driver),
    { code: 409 },
    'nor one above a gap in the history, found by a list',
  );
  t.match(await removeRecord(w, api, 1, driver), { code: 409 }, 'the guard keeps the record');
  t.match(await bob.get(''), { status: 200 });
  t.match(await bob.request('GET', '/api/v1/locks'), { status: 200 });
  t.match(await bob.get(`/${api}`), { status: 200, body: { holder: { user: 'admin' } } });
  t.match(await bob.get(`/${api}/wait?timeout=1`), { status: 409 });
  t.match(await bob.remove(`/${api}`), { status: 409 }, 'a live lock is kept');
  t.match(await bob.remove(`/${api}?force=true`), { status: 200, body: { strategy: 'mark-failed' } });
  t.match(await bob.remove(`/${gap}?force=true&strategy=delete`), { status: 200 });
  t.match(await bob.get(`/${gap}/wait?timeout=1`), { status: 204 });
  t.match(
    await w.admin.list('/api/v1/namespaces/prod/events?fieldSelector=reason%3DCleared'),
    { length: 4 },
    'both clears are told as Events, on the record and on its ReleaseLock',
  );
  await until(
    () => w.admin.list(LOCKS),
    (entries) => entries.length === 0,
  );
  await deployFromPods(w, MANY, driver);
  const proven = w.logs.nextLine('the holder of a lock is dead');
  await removePod(w, 'one');
  t.match(await proven, { pod: 'ci/one', how: 'is gone' });
  t.match(await w.logs.line('cleared', ({ release }) => release === 'one'), { trigger: 'sweep' });
}

const OUR_BINDING = 'RBAC: allowed by ClusterRoleBinding "lockkeeper"';

/** `RBAC: allowed by ClusterRoleBinding "system:basic-user" of ClusterRole …` */
function bindingOf(reason = ''): string {
  return /Binding "([^"]+)"/.exec(reason)?.[1] ?? reason;
}

function rightOf({ verb, objectRef }: AuditEvent): RightName {
  const { resource = '', subresource, apiGroup } = objectRef ?? {};
  return nameOf(verb, subresource === undefined ? resource : `${resource}/${subresource}`, apiGroup);
}

t.test('every right to what is not its own is used, and none is missing', async (t) => {
  const used = new Set<RightName>();
  const others = new Set<string>();
  const forbidden: AuditEvent[] = [];
  for (const driver of DRIVERS) {
    await t.test(driver, async (t) => {
      const w = await world(t);
      await everything(t, w, driver);
      const metrics = await fetch(`http://127.0.0.1:${w.service.metricsPort}/metrics`);
      t.match(await metrics.text(), /lockkeeper_locks\{verdict="live"\}/);
      for (const event of await w.asked()) {
        const { annotations = {} } = event;
        if (annotations['authorization.k8s.io/decision'] === 'forbid') forbidden.push(event);
        else if (annotations['authorization.k8s.io/reason']?.startsWith(OUR_BINDING))
          used.add(rightOf(event));
        else others.add(`${rightOf(event)}: ${bindingOf(annotations['authorization.k8s.io/reason'])}`);
      }
    });
  }
  t.same(forbidden, [], 'nothing was forbidden');
  t.same([...used].sort(), [...RIGHTS.keys()].sort(), 'what was used is what was granted');
  t.same(
    [...others],
    ['create selfsubjectreviews.authentication.k8s.io: system:basic-user'],
    'everybody else may do the rest',
  );
});

/** From now on Lockkeeper may do no more than this; resolves when the API server has heard of it. */
async function leave({ admin }: World, rights: ReadonlyMap<RightName, Rule>): Promise<void> {
  const role = await admin.get(ROLE);
  await admin.replace(ROLE, { ...role, rules: [...rights.values()] });
  for (const [name, { apiGroups, resources, verbs }] of RIGHTS) {
    const [group, verb] = [apiGroups[0], verbs[0]];
    const [resource, subresource] = (resources[0] ?? '').split('/');
    const review = {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec: { user: LOCKKEEPER.username, resourceAttributes: { group, resource, subresource, verb } },
    };
    const may = async () => {
      const { status } = await admin.create('/apis/authorization.k8s.io/v1/subjectaccessreviews', review);
      return (status as { allowed: boolean }).allowed;
    };
    while ((await may()) !== rights.has(name));
  }
}

function isStored({ admin }: World, release: string, revision: number, driver: Driver): Promise<boolean> {
  const path = `/api/v1/namespaces/prod/${driver}/sh.helm.release.v1.${release}.v${revision}`;
  return admin.request('GET', path).then(({ code }) => code === 200);
}

/** What people see when a right is missing: never a yes that rests on nothing. */
type Loss = (t: Test, w: World) => Promise<void>;

/** Another replica, which starts when the right is gone. */
async function replica(t: Test, { cluster }: World) {
  const { service, logs } = await startServiceOn(t, cluster, { metricsPort: await freePort() });
  return {
    logs,
    readyz: async () => {
      const response = await fetch(`http://127.0.0.1:${service.metricsPort}/readyz`);
      return { status: response.status, text: await response.text() };
    },
  };
}

const NO_ANSWER = /failed calling webhook "gate\.lockkeeper\.dev"/;

function lossesIn(driver: Driver): Readonly<Record<RightName, Loss>> {
  const cannot = (verb: string) => new RegExp(`cannot ${verb} resource "${driver}"`);
  return {
    [`get ${driver}`]: async (t, w) => {
      t.match(await deploy(w, 'api', 3, driver), { code: 500, body: { message: NO_ANSWER } });
      t.notOk(await isStored(w, 'api', 3, driver), 'a deploy is not let through unseen');
      t.match(await w.bob.remove('/api?force=true'), { status: 502, body: { detail: cannot('get') } });
    },
    [`list ${driver}`]: async (t, w) => {
      t.match(await deploy(w, 'api', 4, driver), { code: 500, body: { message: NO_ANSWER } });
      t.notOk(await isStored(w, 'api', 4, driver), 'a deploy above a gap is not let through unseen');
      t.match(await w.bob.get('/api'), { status: 502, body: { detail: cannot('list') } });
      const { logs, readyz } = await replica(t, w);
      await logs.line('the watch was lost, trying again', ({ reason }) =>
        cannot('list').test(String(reason)),
      );
      t.match(await readyz(), {
        status: 503,
        text: 'not ready: the pending releases have not been listed yet',
      });
    },
    [`watch ${driver}`]: async (t, w) => {
      const { logs } = await replica(t, w);
      const lost = await logs.line('the watch was lost, trying again');
      t.match(lost, { resource: driver, reason: cannot('watch') }, 'it is in the log');
      t.match(await deploy(w, 'api', 3, driver), { code: 409 }, 'whoever deploys is judged by a live read');
    },
    [`update ${driver}`]: async (t, w) => {
      t.match(await w.bob.remove('/api?force=true'), { status: 502, body: { detail: cannot('update') } });
      t.match(
        await w.bob.get('/api'),
        { body: { revision: 2, status: 'pending-upgrade' } },
        'it is still locked',
      );
    },
    [`delete ${driver}`]: async (t, w) => {
      const answer = await w.bob.remove('/api?force=true&strategy=delete');
      t.match(answer, { status: 502, body: { detail: cannot('delete') } });
      t.ok(await isStored(w, 'api', 2, driver), 'the record is still there');
    },
  };
}

/** A holder that is dead counts as alive, until it has been silent for long enough. */
function neverProven(verb: string, pods: readonly string[]): Loss {
  return async (t, w) => {
    await deployFromPods(w, pods, 'secrets');
    await removePod(w, 'one');
    const unsaid = await w.logs.line('it cannot be told whether the holders of locks are alive');
    t.match(unsaid, { namespace: 'ci', reason: new RegExp(`cannot ${verb} resource "pods"`) });
    t.match(await w.bob.get('/one'), { body: { verdict: 'live' } });
  };
}

/** It serves without them. */
function withoutEntries(verb: string): Loss {
  return async (t, w) => {
    const { logs, readyz } = await replica(t, w);
    const unsaid = await logs.line('there is none, going on without');
    t.match(unsaid, {
      resource: 'releaselocks',
      reason: new RegExp(`cannot ${verb} resource "releaselocks"`),
    });
    await logs.line('listed', ({ resource }) => resource === 'secrets');
    await logs.line('listed', ({ resource }) => resource === 'configmaps');
    t.match(await readyz(), { status: 200 });
  };
}

async function unwritten(t: Test, { logs }: World, verb: string, resource = 'releaselocks'): Promise<void> {
  const unsaid = await logs.line('ReleaseLocks cannot be kept current');
  t.match(unsaid, { reason: new RegExp(`cannot ${verb} resource "${resource}"`) });
}

const LOSSES: Readonly<Record<RightName, Loss>> = {
  ...lossesIn('secrets'),
  ...lossesIn('configmaps'),
  'get pods': async (t, w) => {
    const unsaid = w.logs.line('the pod of a holder cannot be read, so its end will prove nothing');
    await deployFromPods(w, ['one'], 'secrets');
    t.match(await unsaid, { pod: 'ci/one', reason: /cannot get resource "pods"/ });
    await removePod(w, 'one');
    t.match(await w.bob.get('/one'), { body: { verdict: 'live' } });
  },
  'get namespaces': async (t, w) => {
    await deployFromPods(w, ['one'], 'secrets');
    await removePod(w, 'one');
    const unsaid = await w.logs.line('no lock of this namespace is cleared by itself');
    t.match(unsaid, { namespace: 'prod', reason: /cannot get resource "namespaces"/ });
    t.match(await w.bob.get('/one'), { body: { verdict: 'dead-holder' } }, 'a person may clear it');
  },
  'list pods': neverProven('list', MANY),
  'create events': async (t, w) => {
    t.match(await w.bob.remove('/api?force=true'), { status: 200 }, 'it is cleared all the same');
    const unsaid = await w.logs.line('no Event could be recorded');
    t.match(unsaid, { reason: /cannot create resource "events"/ });
  },
  'create tokenreviews.authentication.k8s.io': async (t, w) => {
    // Who asks is nobody yet, and is told no more.
    const detail = 'the API server cannot be asked now whose token this is; the log of lockkeeper says why';
    t.match(await w.bob.get('/api'), { status: 503, body: { detail } });
    const unsaid = await w.logs.line('the API server does not say whose token this is');
    t.match(unsaid, { reason: /cannot create resource "tokenreviews"/ });
  },
  'list releaselocks.lockkeeper.dev': withoutEntries('list'),
  'watch releaselocks.lockkeeper.dev': withoutEntries('watch'),
  'create releaselocks.lockkeeper.dev': async (t, w) => {
    t.match(await deploy(w, 'web', 1, 'secrets'), { code: 201 }, 'deploys are let through all the same');
    await unwritten(t, w, 'create');
  },
  'update releaselocks.lockkeeper.dev': async (t, w) => {
    await forgetHolder(w, 'api');
    await unwritten(t, w, 'update');
    t.match(await w.bob.get('/api'), { body: { holder: { user: 'admin' } } }, 'who was told, still knows');
  },
  'update releaselocks/status.lockkeeper.dev': async (t, w) => {
    t.match(await deploy(w, 'web', 1, 'secrets'), { code: 201 });
    await unwritten(t, w, 'update', 'releaselocks/status');
  },
  'delete releaselocks.lockkeeper.dev': async (t, w) => {
    t.match(await w.bob.remove('/api?force=true'), { status: 200 }, 'the lock is cleared all the same');
    await unwritten(t, w, 'delete');
  },
  'create subjectaccessreviews.authorization.k8s.io': async (t, w) => {
    const detail = /cannot create resource "subjectaccessreviews"/;
    t.match(await w.bob.get('/api'), { status: 502, body: { detail } });
  },
};

t.test('without one of its rights, Lockkeeper says what it cannot do', async (t) => {
  t.same(Object.keys(LOSSES).sort(), [...RIGHTS.keys()].sort(), 'each is tried');
  for (const [name, loss] of Object.entries(LOSSES)) {
    await t.test(name, async (t) => {
      const w = await world(t);
      const driver = name.endsWith('configmaps') ? 'configmaps' : 'secrets';
      await w.admin.create(`/api/v1/namespaces/prod/${driver}`, pending('api', 1, driver, 'deployed'));
      await deploy(w, 'api', 2, driver);
      await entryOf(w, 'api', () => true);
      await leave(w, new Map([...RIGHTS].filter(([right]) => right !== name)));
      await loss(t, w);
      const forbidden = (await w.asked()).filter(({ responseStatus }) => responseStatus?.code === 403);
      t.same([...new Set(forbidden.map(rightOf))], [name], 'that, and nothing else, was forbidden');
    });
  }
});

t.test('whoever keeps releases in Secrets only needs no right to ConfigMaps', async (t) => {
  const w = await world(t, { drivers: ['secrets'] });
  await leave(w, new Map([...RIGHTS].filter(([right]) => !right.endsWith(' configmaps'))));
  await everything(t, w, 'secrets');
  const codes = (await w.asked()).map(({ responseStatus }) => responseStatus?.code);
  t.notOk(codes.includes(403), 'nothing is forbidden');
});

const CONFIGURATION = `${GATE_WEBHOOKS_PATH}/lockkeeper`;

const AUTHORITY = '/api/v1/namespaces/lockkeeper/secrets/lockkeeper-ca';

/** Of the webhook configuration, as base64: whom API servers are told to trust. */
async function bundle(admin: ApiClient): Promise<string> {
  const { webhooks } = await admin.get(CONFIGURATION);
  const [gate] = webhooks as readonly { readonly clientConfig: { readonly caBundle?: string } }[];
  return gate?.clientConfig.caBundle ?? '';
}

/** Of rights to objects that have names, and of those in its own namespace: `get secrets lockkeeper-ca`. */
function ownRights({ all }: Rendered): RightName[] {
  const everywhere = all('ClusterRole').flatMap((role) => role.rules as readonly Rule[]);
  const here = all('Role').flatMap((role) => role.rules as readonly Rule[]);
  return [...everywhere.filter(({ resourceNames }) => resourceNames), ...here].flatMap(
    ({ apiGroups: [group], resources, resourceNames: [name = ''] = [], verbs }) =>
      resources.flatMap((resource) => verbs.map((verb) => `${nameOf(verb, resource, group)} ${name}`.trim())),
  );
}

for (const { drivers, rights } of [
  { drivers: ['configmaps'], rights: 13 },
  // Who may read and write all Secrets may do so with its own.
  { drivers: ['secrets', 'configmaps'], rights: 9 },
] as const) {
  t.test(`every right to its own objects is used, and none is missing: ${drivers}`, async (t) => {
    const cluster = await ownControlPlane(t);
    const admin = await cluster.client();
    await admin.createNamespace('lockkeeper');
    const rendered = await chart({ drivers, webhook: { url: 'https://127.0.0.1:1/admission' } });
    await apply(admin, [
      ...rightsAmong(rendered.objects),
      rendered.one('ValidatingWebhookConfiguration'),
      rendered.one('MutatingWebhookConfiguration'),
    ]);
    const before = (await auditEvents(cluster)).length;

    const { service } = await startServiceOn(t, cluster, { drivers, webhookConfiguration: 'lockkeeper' });
    while ((await bundle(admin)) === '');
    const first = await bundle(admin);
    await admin.patch(AUTHORITY, { data: null });
    while ((await bundle(admin)) === first);
    t.pass('it has made an authority and told of it, and another one when that was gone');
    // An audit log tells of a watch when it ends.
    await service.close();

    const events = (await auditEvents(cluster)).slice(before);
    const asked = events.filter(({ user }) => user.username === LOCKKEEPER.username);
    const used = new Set(
      asked.flatMap((event) => [rightOf(event), `${rightOf(event)} ${event.objectRef?.name}`]),
    );
    const granted = ownRights(rendered);
    t.equal(granted.length, rights);
    for (const right of granted) t.ok(used.has(right), right);
    const forbidden = asked.filter(({ responseStatus }) => responseStatus?.code === 403);
    t.same(forbidden.map(rightOf), [], 'nothing was forbidden');
  });
}
