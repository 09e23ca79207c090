/**
 * The REST endpoints as people meet them, on either cluster: HTTPS, tokens, rights, records. Each answer is compared as
 * a whole.
 */
import { gunzipSync, gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import type { Strategy } from '../../src/gate/clearing.ts';
import type { ApiClient } from '../clusters/client.ts';
import type { Cluster, User } from '../clusters/cluster.ts';
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import { startServiceOn } from '../support/lockkeeper.ts';
import { record } from '../support/records.ts';
import { type Json, type RestClient, restClient } from '../support/rest.ts';
import { type ClusterWithRights, clusterWithRights, type Rule, roleFor } from '../support/rights.ts';
import { serving } from '../support/serving.ts';

/** What each service account may do with releaselocks in `prod`; by name, so that a row of the table can tell. */
const RIGHTS = {
  nobody: [],
  reader: ['get releaselocks', 'list releaselocks', 'watch releaselocks'],
  waiter: ['watch releaselocks'],
  clearer: ['delete releaselocks'],
  forcer: ['delete releaselocks', 'delete releaselocks/force'],
  'forcer-only': ['delete releaselocks/force'],
} as const;

type Person = keyof typeof RIGHTS;

const PEOPLE = Object.keys(RIGHTS) as Person[];

function userOf(person: Person): User {
  return { username: `system:serviceaccount:ci:${person}` };
}

function rulesOf(person: Person): Rule[] {
  return RIGHTS[person].map((right) => {
    const [verb = '', resource = ''] = right.split(' ');
    return { apiGroups: ['lockkeeper.dev'], resources: [resource], verbs: [verb] };
  });
}

interface World extends ClusterWithRights {
  readonly admin: ApiClient;
  readonly close: () => Promise<void>;
  client(user?: User): Promise<RestClient>;
}

/** Nothing asks Lockkeeper about deploys: what is locked was locked before it came. */
async function world(t: Test, people: readonly Person[] = []): Promise<World> {
  const rights = await clusterWithRights(t);
  const { cluster } = rights;
  const { service, ready } = await startServiceOn(t, cluster);
  await ready();
  for (const person of people) {
    const { username } = userOf(person);
    await rights.grant(roleFor(username, 'prod', rulesOf(person)));
  }
  const { caCertificate } = serving;
  const lockkeeper = { cluster, caCertificate, url: `https://127.0.0.1:${service.port}` };
  return {
    ...rights,
    admin: await cluster.client(),
    close: () => service.close(),
    client: (user) => restClient(t, lockkeeper, user),
  };
}

const LIVE_SECONDS = 60;
const STALE_SECONDS = 3_600;

function release(status: string): string {
  const info = { status, description: 'Preparing upgrade' };
  return gzipSync(JSON.stringify({ name: 'x', info })).toString('base64');
}

function recordPath(name: string, number: number): string {
  return `/api/v1/namespaces/prod/secrets/sh.helm.release.v1.${name}.v${number}`;
}

async function stored(admin: ApiClient, name: string, number: number): Promise<StoredObject | undefined> {
  const { code, body } = await admin.request('GET', recordPath(name, number));
  return code === 200 ? body : undefined;
}

function releaseIn(object: StoredObject | undefined): Json {
  const { release = '' } = (object as { data?: { release?: string } } | undefined)?.data ?? {};
  return JSON.parse(gunzipSync(Buffer.from(Buffer.from(release, 'base64').toString(), 'base64')).toString());
}

/** What a lock looks like, whose record was never written again. */
function lockJson(name: string, { metadata }: StoredObject, verdict: 'live' | 'expired', reason: string) {
  return {
    namespace: 'prod',
    release: name,
    revision: 2,
    status: 'pending-upgrade',
    since: metadata.creationTimestamp,
    lastActivity: metadata.creationTimestamp,
    holder: null,
    verdict,
    reason,
    waiting: 0,
  };
}

const LIVE_REASON = /^created 1m\d*s? ago, stale in 1[34]m\d*s? unless it is written again$/;
const STALE_REASON = /^no sign of life for 1h\d*m?, and 15m are enough$/;

type Revisions = readonly (readonly [number: number, status: string])[];

/** What was stored an hour ago, and a minute ago. */
const STATES = {
  'no release': { old: [], recent: [] },
  free: { old: [[1, 'deployed']], recent: [] },
  shadowed: { old: [[2, 'pending-upgrade']], recent: [[3, 'deployed']] },
  live: { old: [[1, 'deployed']], recent: [[2, 'pending-upgrade']] },
  stale: {
    old: [
      [1, 'deployed'],
      [2, 'pending-upgrade'],
    ],
    recent: [],
  },
} as const satisfies Readonly<Record<string, { old: Revisions; recent: Revisions }>>;

type State = keyof typeof STATES;

/** All at once, since all that is stored grows older together. */
async function arrange(cluster: Cluster, states: ReadonlyMap<string, State>): Promise<void> {
  const admin = await cluster.client();
  const store = async (age: 'old' | 'recent') => {
    for (const [name, state] of states) {
      for (const [number, status] of STATES[state][age]) {
        const payload = release(status);
        await admin.create('/api/v1/namespaces/prod/secrets', record(name, number, status, { payload }));
      }
    }
  };
  await store('old');
  await cluster.letTimePass((STALE_SECONDS - LIVE_SECONDS) * 1_000);
  await store('recent');
  await cluster.letTimePass((LIVE_SECONDS + 2) * 1_000); // API servers date in whole seconds
}

function missingRight(person: Person, force: boolean): string | undefined {
  const rights: readonly string[] = RIGHTS[person];
  if (!rights.includes('delete releaselocks')) return 'releaselocks';
  return force && !rights.includes('delete releaselocks/force') ? 'releaselocks/force' : undefined;
}

interface Row {
  readonly person: Person;
  readonly state: State;
  readonly strategy: Strategy;
  readonly force: boolean;
}

const ROWS: readonly Row[] = PEOPLE.filter((person) => person !== 'waiter').flatMap((person) =>
  (Object.keys(STATES) as State[]).flatMap((state) =>
    (['mark-failed', 'delete'] as const).flatMap((strategy) =>
      [false, true].map((force) => ({ person, state, strategy, force })),
    ),
  ),
);

t.test('DELETE: every pair of rights, state of the lock, strategy and force', async (t) => {
  const w = await world(t, PEOPLE);
  await arrange(w.cluster, new Map(ROWS.map(({ state }, index) => [`app-${index}`, state])));
  for (const person of PEOPLE) {
    const client = await w.client(userOf(person));
    for (const [index, row] of ROWS.entries()) {
      if (row.person !== person) continue;
      const { state, strategy, force } = row;
      await t.test(`${person}, ${state}, ${strategy}${force ? ', force' : ''}`, (t) =>
        deleteOnce(t, w, client, row, `app-${index}`),
      );
    }
  }
});

async function deleteOnce(t: Test, { admin }: World, client: RestClient, row: Row, name: string) {
  const { person, state, strategy, force } = row;
  const { username } = userOf(person);
  const before = await stored(admin, name, 2);
  const query = `?strategy=${strategy}${force ? '&force=true' : ''}&reason=the+runner+was+lost`;
  const { status, headers, body } = await client.remove(`/${name}${query}`);
  const after = await stored(admin, name, 2);
  const missing = missingRight(person, force);
  const problem = (code: number, title: string, detail: string, more: object = {}) => {
    t.equal(status, code);
    t.equal(headers['content-type'], 'application/problem+json; charset=utf-8');
    t.same(body, { type: 'about:blank', title, status: code, detail, ...more });
    t.same(after, before, 'nothing was changed');
  };

  if (missing !== undefined) {
    const rule = `{"apiGroups":["lockkeeper.dev"],"resources":["${missing}"],"verbs":["delete"]}`;
    const others = missing === 'releaselocks/force' ? ' A namespace admin usually may.' : '';
    return problem(
      403,
      'Forbidden',
      `${username} may not delete ${missing} in namespace prod.${others} Grant it by this rule in a Role in namespace prod, ` +
        `or a ClusterRole, that is bound to ${username}: ${rule}`,
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
        'with force=true. That takes the right to delete releaselocks/force, which a namespace admin usually has',
      { lock: lockJson(name, before as StoredObject, 'live', reason) },
    );
  }
  const { reason } = body.cleared;
  t.equal(status, 200);
  t.match(reason, state === 'live' ? LIVE_REASON : STALE_REASON);
  t.same(body, {
    cleared: lockJson(name, before as StoredObject, state === 'live' ? 'live' : 'expired', reason),
    strategy,
    next: [
      `helm upgrade ${name} CHART -n prod`,
      `helm upgrade --install ${name} CHART -n prod`,
      `helm rollback ${name} 1 -n prod`,
    ],
  });
  if (strategy === 'delete') {
    t.equal(after, undefined, 'the record is gone');
    return;
  }
  t.equal(after?.metadata.labels?.status, 'failed');
  const { info, ...rest } = releaseIn(after);
  t.same(rest, { name: 'x' });
  t.equal(info.status, 'failed');
  const forced = state === 'live' ? 'Cleared by force' : 'Cleared';
  t.match(
    info.description,
    new RegExp(`^${forced} by ${username} at \\S+Z, was pending-upgrade: .*; the runner was lost$`),
  );
}

t.test('who may look, and who may wait', async (t) => {
  const people = ['reader', 'clearer', 'nobody'] as const;
  const w = await world(t, people);
  await arrange(w.cluster, new Map([['api', 'live']]));
  const paths = [
    ['list', '/api/v1/namespaces/prod/locks', 200, 'namespace prod'],
    ['get', '/api/v1/namespaces/prod/locks/api', 200, 'namespace prod'],
    ['watch', '/api/v1/namespaces/prod/locks/api/wait?timeout=0', 409, 'namespace prod'],
    ['list', '/api/v1/locks', 200, 'all namespaces'],
    ['list', '/api/v1/namespaces/dev/locks', 200, 'namespace dev'],
  ] as const;
  for (const person of people) {
    const { username } = userOf(person);
    const client = await w.client({ username });
    for (const [verb, path, answer, where] of paths) {
      const may = person === 'reader' && path.includes('prod');
      const { status, body } = await client.request('GET', path);
      t.equal(status, may ? answer : 403, `${person}: ${verb} ${path}: ${status}`);
      if (!may)
        t.match(
          body.detail,
          `${username} may not ${verb} releaselocks in ${where}. Grant it by this rule in `,
        );
      if (!may) t.match(body.detail, `"verbs":["${verb}"]`);
    }
  }
});

t.test('rights that are given count at once, and rights to clear that are taken away do, too', async (t) => {
  const w = await world(t);
  await arrange(w.cluster, new Map([['api', 'live']]));
  const { username } = userOf('clearer');
  const client = await w.client({ username });
  const role = roleFor(username, 'prod', rulesOf('clearer'));
  t.match(await client.remove('/api'), { status: 403 });
  await w.grant(role);
  t.match(await client.remove('/api'), { status: 409, body: { lock: { verdict: 'live' } } });
  await w.withdraw(role);
  t.match(await client.remove('/api'), { status: 403 });
});

t.test('whoever is not known is told how to log in', async (t) => {
  const w = await world(t);
  const stranger = await w.client();
  for (const authorization of [undefined, 'Bearer nonsense']) {
    const answer = await stranger.get('/api', { headers: { ...(authorization && { authorization }) } });
    t.match(answer, { status: 401, body: { detail: /kubectl create token/ } });
  }
});

t.test('the list: locks only, of one namespace or of all, in order', async (t) => {
  const { cluster, admin, client } = await world(t);
  const alice = await client({ username: 'alice' });
  const names = async (path: string) => {
    const { body } = await alice.request('GET', path);
    return body.items.map((lock: Json) => `${lock.namespace}/${lock.release} ${lock.revision}`);
  };
  t.same(await names('/api/v1/locks'), [], 'none yet');

  await arrange(
    cluster,
    new Map((Object.keys(STATES) as State[]).map((state) => [state.replace(' ', '-'), state])),
  );
  await admin.createNamespace('dev');
  await admin.create(
    '/api/v1/namespaces/dev/secrets',
    record('web', 7, 'pending-install', { namespace: 'dev' }),
  );
  await admin.create(
    '/api/v1/namespaces/dev/configmaps',
    record('api', 1, 'pending-rollback', { namespace: 'dev', driver: 'configmaps' }),
  );
  // The watch tells where to look, in its own time.
  await until(async () => (await names('/api/v1/locks')).length === 4);
  t.same(await names('/api/v1/locks'), ['dev/api 1', 'dev/web 7', 'prod/live 2', 'prod/stale 2']);
  t.same(await names('/api/v1/namespaces/prod/locks'), ['prod/live 2', 'prod/stale 2']);
  t.same(await names('/api/v1/namespaces/nowhere/locks'), []);
});

/** Asks again and again; the limit is that of the test. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds()));
}

/** Many who wait for a live lock of `prod/api`, once its lock tells that all of them do. */
async function crowd({ cluster, client }: World, user: User, count: number) {
  await arrange(cluster, new Map([['api', 'live']]));
  const who = await client(user);
  const waiting = Array.from({ length: count }, () => who.get('/api/wait?timeout=600'));
  const alice = await client({ username: 'alice' });
  await until(async () => (await alice.get('/api')).body.waiting === count);
  return waiting;
}

t.test('all who wait are answered by the write that frees the lock, or by its deletion', async (t) => {
  for (const [how, free] of [
    [
      'a write',
      ({ admin }: World) =>
        admin.patch(recordPath('api', 2), { metadata: { labels: { status: 'deployed' } } }),
    ],
    ['a deletion', ({ admin }: World) => admin.remove(recordPath('api', 2))],
  ] as const) {
    await t.test(how, async (t) => {
      const w = await world(t, ['waiter']);
      const waiting = await crowd(w, userOf('waiter'), 100);
      await free(w);
      const answers = await Promise.all(waiting);
      t.same([...new Set(answers.map(({ status, body }) => `${status} ${body}`))], ['204 ']);
    });
  }
});

t.test('a replica that shuts down says so to who waits', async (t) => {
  const w = await world(t);
  const [waiting] = await crowd(w, { username: 'alice' }, 1);
  await w.close();
  t.match(await waiting, { status: 503, headers: { 'retry-after': '2' }, body: { detail: /ask again/ } });
});
