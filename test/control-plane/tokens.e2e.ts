/** Tokens that are bound to pods, as the API server makes and judges them. */
import t, { type Test } from 'tap';
import type { ApiClient } from '../clusters/client.ts';
import type { User } from '../clusters/cluster.ts';
import { lockkeeperOn } from '../e2e/world.ts';
import { restClient } from '../support/rest.ts';
import { crew } from './crew.ts';

const RUNNER: User = {
  username: 'system:serviceaccount:ci:runner',
  extra: { 'authentication.kubernetes.io/pod-name': ['runner-7f9c'] },
};

const POD = '/api/v1/namespaces/ci/pods/runner-7f9c';

const HELM = { version: '4.1.4', driver: 'secret' } as const;

/** The runner may do in prod what a pipeline may. */
function employRunner(admin: ApiClient) {
  return admin.create('/apis/rbac.authorization.k8s.io/v1/namespaces/prod/rolebindings', {
    metadata: { name: 'runner' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ kind: 'ServiceAccount', namespace: 'ci', name: 'runner' }],
  });
}

async function world(t: Test) {
  const c = await crew(t, [RUNNER]);
  await employRunner(c.admin);
  const lockkeeper = await lockkeeperOn(t, c.cluster, { config: { holdSeconds: 0, maxWaitSeconds: 0 } });
  return { ...c, rest: await restClient(t, lockkeeper, RUNNER) };
}

t.test('whoever runs Helm in a pod is known by the pod', async (t) => {
  const { helm, admin, writes, rest } = await world(t);
  const hook = writes.next(({ object: { kind } }) => kind === 'Job');
  const deploy = helm(HELM, 'install api CHART --set hooks={pre-install},outcome=Never', RUNNER.username);
  await hook;

  const { metadata } = await admin.get(POD);
  t.match(await rest.get('/api'), {
    status: 200,
    body: {
      holder: {
        user: 'system:serviceaccount:ci:runner',
        pod: { namespace: 'ci', name: 'runner-7f9c', uid: metadata.uid },
      },
    },
  });
  const { code, stderr } = await helm(HELM, 'rollback api 1', 'bob').done;
  t.equal(code, 1);
  t.match(
    stderr,
    /release prod\/api is locked by revision 1 \(pending-install, \S+, system:serviceaccount:ci:runner in pod ci\/runner-7f9c\)\. Nothing was changed\./,
  );

  t.match(await rest.remove('/api?force=true&reason=job-4711'), { status: 200 });
  const { stdout } = await helm(HELM, 'history api', 'bob').done;
  t.match(stdout, /failed\s.*Cleared by force by system:serviceaccount:ci:runner at /);
  deploy.kill('SIGKILL');
  await deploy.done;
});

/** How long the API server goes on to accept a token that it has accepted (`TokenSuccessCacheTTL`). */
const ACCEPTED_FOR_MS = 10_000;

/** How long Lockkeeper takes its word for those who look, and clear nothing. */
const TRUST_MS = 10_000;

/** For the answers of a busy machine. */
const SLACK_MS = 3_000;

/** Milliseconds until a request is answered 401. */
async function untilRefused(ask: () => Promise<number>): Promise<number> {
  const start = performance.now();
  while ((await ask()) !== 401);
  return performance.now() - start;
}

t.test('a token whose pod is gone', async (t) => {
  const { cluster, admin, rest } = await world(t);
  const used = await cluster.client(RUNNER);
  const unused = await cluster.client(RUNNER);
  const configMap = '/api/v1/namespaces/prod/configmaps/note';
  await used.create('/api/v1/namespaces/prod/configmaps', { metadata: { name: 'note' } });
  t.match(await rest.get('/api'), { status: 404 });

  await admin.remove(`${POD}?gracePeriodSeconds=0`);
  t.equal((await admin.request('GET', POD)).code, 404, 'the pod is gone');
  const write = () =>
    used
      .request(
        'PATCH',
        configMap,
        { data: { at: String(Date.now()) } },
        {
          headers: { 'content-type': 'application/merge-patch+json' },
        },
      )
      .then(({ code }) => code);
  // So it is no proof yet that its holder writes no more: the API server remembers whom it has accepted.
  t.equal(await write(), 200, 'its holder can still write');

  const [fresh, writing, looking, clearing] = await Promise.all([
    untilRefused(() => unused.request('GET', configMap).then(({ code }) => code)),
    untilRefused(write),
    untilRefused(() => rest.get('/api').then(({ status }) => status)),
    untilRefused(() => rest.remove('/api').then(({ status }) => status)),
  ]);
  t.comment(
    `milliseconds until it is refused: ${[fresh, writing, clearing, looking].map(Math.round).join(', ')}`,
  );
  t.ok(fresh < SLACK_MS, 'who was not heard of for ten seconds is refused at once');
  t.ok(writing < ACCEPTED_FOR_MS + SLACK_MS, 'others within ten seconds');
  t.ok(clearing < ACCEPTED_FOR_MS + SLACK_MS, 'Lockkeeper lets them clear for no longer');
  t.ok(looking < ACCEPTED_FOR_MS + TRUST_MS + SLACK_MS, 'and look for ten seconds more');
});
