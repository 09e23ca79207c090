/**
 * Something on the way to the API server answers in its place: a proxy, or an API server in trouble. Whatever it says, no lock
 * is taken for dead or for free. A whole Lockkeeper is asked.
 */
import { EventEmitter, once } from 'node:events';
import type { ServerResponse } from 'node:http';
import t, { type Test } from 'tap';
import type { Cluster } from '../clusters/cluster.ts';
import { startEmbeddedCluster } from '../clusters/embedded/cluster.ts';
import { writeKubeconfig } from '../clusters/kubeconfig.ts';
import { askThrough } from '../e2e/webhook.ts';
import { LOCKKEEPER, startServiceOn } from '../support/lockkeeper.ts';
import { startPassage } from '../support/passage.ts';
import { record } from '../support/records.ts';
import { restClient } from '../support/rest.ts';
import { serving } from '../support/serving.ts';
import { until } from '../support/until.ts';

const SECRETS = '/api/v1/namespaces/prod/secrets';
const ENTRIES = '/apis/lockkeeper.dev/v1alpha1/namespaces/prod/releaselocks';
const RUNNER = 'system:serviceaccount:ci:runner';

/** Of an API server, with 200, that mean nothing; and a 404 of somebody else. */
const NONSENSE: readonly (readonly [name: string, status: number, body: unknown])[] = [
  ['an empty object', 200, {}],
  ['null', 200, null],
  ['an empty array', 200, []],
  ['a word', 200, 'ok'],
  ['a page', 200, undefined],
  ['a Status', 200, { kind: 'Status', apiVersion: 'v1', status: 'Success' }],
  ['a list without a kind', 200, { metadata: { resourceVersion: '1' }, items: [] }],
  ['a list without metadata', 200, { kind: 'PartialObjectMetadataList', items: [] }],
  ['a list without items', 200, { kind: 'PartialObjectMetadataList', metadata: {} }],
  ['items that are empty', 200, { kind: 'PartialObjectMetadataList', metadata: {}, items: [{}] }],
  ['items without uids', 200, { kind: 'PodList', metadata: {}, items: [{ metadata: { name: 'one' } }] }],
  ['items without names', 200, { kind: 'PodList', metadata: {}, items: [{ metadata: { uid: 'one' } }] }],
  ['an object without a uid', 200, { kind: 'Pod', metadata: { name: 'one', namespace: 'ci-0' } }],
  ['an object of another name', 200, { kind: 'Pod', metadata: { name: 'other', uid: 'other' } }],
  ['another 404', 404, { message: 'no route' }],
  ['a 404 about another object', 404, { kind: 'Status', message: 'pods "other" not found', code: 404 }],
];

const PAGE = '<html><body>Please log in</body></html>';

/** Pods of one namespace: so many are read one by one, and one more as a list. */
const PODS_OF_A_LIST = 4;

/** Whose requests are answered with nonsense, and with which. */
type Rule = (path: string) => number | undefined;

async function world(t: Test) {
  const cluster = await startEmbeddedCluster();
  t.teardown(() => cluster.stop());
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  let rule: Rule = () => undefined;
  const heard = new Map<string, number>();
  const asked = new EventEmitter();
  const proxy = await startPassage(t, cluster, {
    mayPass({ method, url = '' }, response) {
      const found = method === 'GET' && !url.includes('watch=true') ? rule(url) : undefined;
      if (found === undefined) return true;
      heard.set(url, (heard.get(url) ?? 0) + 1);
      asked.emit('asked');
      answer(response, found);
      return false;
    },
  });
  const kubeconfig: Cluster['kubeconfig'] = async ({ user = LOCKKEEPER } = {}) =>
    writeKubeconfig(cluster.folder, {
      ...proxy,
      token: await cluster.token(user),
      user,
      namespace: undefined,
    });
  const { service, ready, logs } = await startServiceOn(t, { ...cluster, kubeconfig } as Cluster, {
    autoClear: 'expired',
    holdSeconds: 0,
    maxWaitSeconds: 0,
    deathGraceSeconds: 0,
  });
  await ready();
  const url = `https://127.0.0.1:${service.port}`;
  await askThrough(admin, { url });
  const way = { url, caCertificate: serving.caCertificate, cluster };
  return {
    cluster,
    admin,
    logs,
    rest: await restClient(t, way, { username: 'alice' }),
    /** Resolves when so many requests of this namespace were answered with nonsense. */
    async answered(which: number, atLeast: number): Promise<void> {
      const times = () => [...heard].filter(([path]) => namespaceOfPods(path) === which);
      while (times().reduce((sum, [, count]) => sum + count, 0) < atLeast) await once(asked, 'asked');
    },
    /** From now on. */
    answerWith: (next: Rule) => {
      rule = next;
    },
  };
}

function answer(response: ServerResponse, which: number): void {
  const [, status, body] = NONSENSE[which] as (typeof NONSENSE)[number];
  const isPage = body === undefined;
  response.writeHead(status, { 'content-type': isPage ? 'text/html' : 'application/json' });
  response.end(isPage ? PAGE : JSON.stringify(body));
}

type World = Awaited<ReturnType<typeof world>>;

/** Each in a namespace of its own, whose pods hold locks. */
async function deployFromPods({ cluster, admin }: World, podsOfOne: number): Promise<string[]> {
  const deploys = NONSENSE.flatMap((_, which) =>
    Array.from({ length: podsOfOne }, async (_, pod) => {
      const release = `api-${which}-${pod}`;
      const { metadata } = await admin.create(`/api/v1/namespaces/ci-${which}/pods`, {
        metadata: { name: release },
      });
      const extra = {
        'authentication.kubernetes.io/pod-name': [release],
        'authentication.kubernetes.io/pod-uid': [metadata.uid],
      };
      const client = await cluster.client({ username: RUNNER.replace('ci', `ci-${which}`), extra });
      await client.create(SECRETS, record(release, 1, 'pending-install'));
      client.close();
      return release;
    }),
  );
  const releases = await Promise.all(deploys);
  await until(
    () => admin.list(ENTRIES),
    (entries) =>
      entries.filter(({ spec }) => (spec as { holder?: { podKind?: string } }).holder?.podKind).length ===
      releases.length,
  );
  return releases;
}

/** Of which namespace of pods a request is. */
function namespaceOfPods(path: string): number | undefined {
  const [, number] = /^\/api\/v1\/namespaces\/ci-(\d+)\/pods[/?]/.exec(path) ?? [];
  return number === undefined ? undefined : Number(number);
}

for (const [how, podsOfOne] of [
  ['one by one', 1],
  ['as a list', PODS_OF_A_LIST],
] as const) {
  t.test(`of pods that are read ${how}, nonsense proves no death`, async (t) => {
    const w = await world(t);
    for (const [which] of NONSENSE.entries()) await w.admin.createNamespace(`ci-${which}`);
    const releases = await deployFromPods(w, podsOfOne);
    w.answerWith(namespaceOfPods);
    for (const [which, [name]] of NONSENSE.entries()) {
      // The first look has proven nothing, or there would be no second one.
      await w.answered(which, podsOfOne + 1);
      t.notOk(
        w.logs.lines.some(
          ({ msg, pod }) => msg.includes('is dead') && String(pod).startsWith(`ci-${which}/`),
        ),
        name,
      );
    }
    for (const release of releases) {
      t.match((await w.rest.get(`/${release}`)).body, { verdict: 'live', status: 'pending-install' });
    }
  });
}

t.test('of the records of a live lock, nonsense lets no deploy in, and clears nothing', async (t) => {
  const w = await world(t);
  const { admin, cluster, rest } = w;
  const alice = await cluster.client({ username: 'alice' });
  for (const [which, [name]] of NONSENSE.entries()) {
    const release = `api-${which}`;
    await alice.create(SECRETS, record(release, 1, 'pending-install'));
    const path = `${SECRETS}/sh.helm.release.v1.${release}.v1`;
    const { metadata } = await admin.get(path);
    w.answerWith((url) => (url.startsWith(`${SECRETS}`) ? which : undefined));
    const bob = await admin.request('POST', SECRETS, record(release, 2, 'pending-upgrade'));
    const cleared = await rest.remove(`/${release}`);
    w.answerWith(() => undefined);
    t.ok(bob.code >= 400, `${name}: another deploy, ${bob.code}`);
    t.ok(cleared.status >= 400, `${name}: a clear, ${cleared.status}`);
    t.match(await admin.get(path), {
      metadata: { uid: metadata.uid, labels: { status: 'pending-install' } },
    });
  }
});
