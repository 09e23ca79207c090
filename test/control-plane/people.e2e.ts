/**
 * What people may do who have Kubernetes' own roles in a namespace, and what they read: `view` looks, `edit` clears what is
 * stale, `admin` forces. The rules come to these roles by the chart's labels.
 */
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import type { ApiClient } from '../clusters/client.ts';
import type { KubernetesObject } from '../clusters/kubernetes-object.ts';
import { ownControlPlane } from '../clusters/start.ts';
import { lockkeeperOn } from '../e2e/world.ts';
import { chart } from '../support/chart.ts';
import { apply, isForPeople } from '../support/manifests.ts';
import { record } from '../support/records.ts';
import { restClient } from '../support/rest.ts';
import { until } from '../support/until.ts';
import { helmBinary } from '../tools/binaries.ts';
import { helmEnvironment, type RunResult, run } from '../tools/run.ts';

const RBAC = '/apis/rbac.authorization.k8s.io/v1';
const SECRETS = '/api/v1/namespaces/prod/secrets';
const LOCKS = '/apis/lockkeeper.dev/v1alpha1/namespaces/prod/releaselocks';

const INFO = { status: 'pending-install', description: 'Initial install underway' };
const PAYLOAD = gzipSync(JSON.stringify({ name: 'any', info: INFO })).toString('base64');

const ROLES = ['view', 'edit', 'admin'] as const;
type RoleName = (typeof ROLES)[number];

type ClusterRole = KubernetesObject & {
  readonly rules: readonly object[] | null;
  readonly aggregationRule: {
    readonly clusterRoleSelectors: readonly { matchLabels: Record<string, string> }[];
  };
};

/** As kube-controller-manager does, which does not run here. */
async function aggregate(admin: ApiClient): Promise<void> {
  const all = (await admin.list(`${RBAC}/clusterroles`)) as unknown as readonly ClusterRole[];
  // `admin` takes what `edit` has, and `edit` what `view` has.
  for (const name of ROLES) {
    const path = `${RBAC}/clusterroles/${name}`;
    const { aggregationRule } = (await admin.get(path)) as unknown as ClusterRole;
    const rules = aggregationRule.clusterRoleSelectors.flatMap(({ matchLabels }) =>
      all
        .filter(({ metadata: { labels = {} } }) =>
          Object.entries(matchLabels).every(([label, value]) => labels[label] === value),
        )
        .filter(({ metadata }) => !ROLES.some((role) => role === metadata.name))
        .flatMap((role) => role.rules ?? []),
    );
    await admin.patch(path, { rules });
  }
}

/** Each role of Kubernetes is somebody's in the namespace `prod`, and nobody's elsewhere. */
async function world(t: Test, config: { readonly staleAfterSeconds?: number } = {}) {
  const cluster = await ownControlPlane(t);
  const admin = await cluster.client();
  for (const namespace of ['prod', 'dev']) await admin.createNamespace(namespace);
  const lockkeeper = await lockkeeperOn(t, cluster, { config });
  await apply(admin, (await chart()).all('ClusterRole').filter(isForPeople));
  await aggregate(admin);
  for (const role of ROLES) {
    await admin.create(`${RBAC}/namespaces/prod/rolebindings`, {
      metadata: { name: `team-${role}` },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
      subjects: [{ kind: 'ServiceAccount', namespace: 'team', name: role }],
    });
  }
  const { kubectl } = await helmBinary('4.1.4');

  async function as(role: RoleName) {
    const user = { username: `system:serviceaccount:team:${role}` };
    const kubeconfig = await cluster.kubeconfig({ user, namespace: 'prod' });
    const env = helmEnvironment({ folder: cluster.folder, kubeconfig });
    return {
      kubectl: (command: string): Promise<RunResult> => run(kubectl, command.split(' '), { env }),
      rest: await restClient(t, lockkeeper, user),
    };
  }
  const people = { view: await as('view'), edit: await as('edit'), admin: await as('admin') };
  // An API server takes some milliseconds to hear of a binding.
  for (const role of ROLES) {
    await until(
      () => people[role].kubectl('get rlock'),
      ({ code }) => code === 0,
    );
  }

  return {
    ...lockkeeper,
    people,
    /** Nobody works on it, and it looks as if somebody did. */
    lock: async (release: string, namespace = 'prod') => {
      await admin.create(
        `/api/v1/namespaces/${namespace}/secrets`,
        record(release, 1, 'pending-install', { namespace, payload: PAYLOAD }),
      );
      const path = LOCKS.replace('prod', namespace);
      await until(
        () => admin.request('GET', `${path}/${release}`),
        ({ code, body }) => code === 200 && 'status' in (body as object),
      );
    },
    statusOf: async (release: string) =>
      (await admin.get(`${SECRETS}/sh.helm.release.v1.${release}.v1`)).metadata.labels?.status,
  };
}

const REFUSED = /cannot (patch|delete) resource "releaselocks"/;

const LACKS_FORCE =
  /may not delete releaselocks\/force in namespace prod\. A namespace admin usually may\. Grant it by this rule/;

t.test('a live lock: all who may look see it, and an admin alone ends it, by force', async (t) => {
  const { people, lock, statusOf } = await world(t);
  await lock('api');
  for (const role of ROLES) {
    const { stdout } = await people[role].kubectl('get rlock api');
    t.match(stdout, /^api +1 +pending-install .* live/m, `${role} sees it`);
  }
  const { view, edit, admin } = people;
  t.match(await view.kubectl('delete rlock api'), { code: 1, stderr: REFUSED });
  t.match(await view.kubectl('annotate rlock api lockkeeper.dev/force=true'), { code: 1, stderr: REFUSED });

  const kept =
    /locked by .* That takes the right to delete releaselocks\/force, which a namespace admin usually has: kubectl annotate/;
  for (const role of ['edit', 'admin'] as const) {
    t.match(
      await people[role].kubectl('delete rlock api'),
      { code: 1, stderr: kept },
      `${role} reads the way out`,
    );
  }
  t.match(await edit.kubectl('annotate rlock api lockkeeper.dev/force=true'), {
    code: 1,
    stderr: LACKS_FORCE,
  });
  for (const role of ['view', 'edit'] as const) {
    t.match(await people[role].rest.remove('/api?force=true'), { status: 403 }, `${role} over REST`);
  }
  t.match((await edit.rest.remove('/api?force=true')).body, { detail: LACKS_FORCE });
  t.equal(await statusOf('api'), 'pending-install', 'it is as it was');

  t.match(
    await admin.kubectl('annotate rlock api lockkeeper.dev/force=true'),
    { code: 0, stderr: /even if it is live: kubectl delete rlock api -n prod$/m },
    'the answer to the mark names the next command',
  );
  t.match(await edit.kubectl('delete rlock api'), { code: 1, stderr: LACKS_FORCE }, 'the mark is no right');
  t.match(await admin.kubectl('delete rlock api'), { code: 0 });
  t.equal(await statusOf('api'), 'failed');

  await lock('web');
  t.match(await admin.rest.remove('/web?force=true'), { status: 200 }, 'and over REST');
  t.equal(await statusOf('web'), 'failed');
});

t.test('an admin of one namespace is nobody in another', async (t) => {
  const { people, lock } = await world(t);
  await lock('api', 'dev');
  const { kubectl, rest } = people.admin;
  t.match(await kubectl('annotate rlock api -n dev lockkeeper.dev/force=true'), { code: 1 });
  t.match(await kubectl('delete rlock api -n dev'), { code: 1, stderr: REFUSED });
  const answer = await rest.request('DELETE', '/api/v1/namespaces/dev/locks/api?force=true');
  t.match(answer, { status: 403 });
});

t.test(
  'a stale lock: everybody reads that it is stuck, without waiting for it, and who edits ends it',
  async (t) => {
    const { people, lock, statusOf } = await world(t, { staleAfterSeconds: 2 });
    await lock('api');
    const { view, edit } = people;
    const told = await until(
      () => view.kubectl('get events'),
      ({ stdout }) => (stdout.match(/Stale/g) ?? []).length >= 2,
    );
    const said =
      /Warning +Stale +(\S+) +revision 1 \(pending-install, \S+\) of release api is stale: .*\. To clear it: kubectl delete rlock api -n prod$/gm;
    t.same(
      [...told.stdout.matchAll(said)].map(([, object]) => object).toSorted(),
      ['releaselock/api', 'secret/sh.helm.release.v1.api.v1'],
      'once of each',
    );
    const described = await view.kubectl('describe rlock api');
    t.match(described.stdout, /^Events:\n(.*\n)* +Warning +Stale /m, 'describe shows it, too');
    t.match(await view.kubectl('delete rlock api'), { code: 1, stderr: REFUSED });
    t.match(await edit.kubectl('delete rlock api'), { code: 0 }, 'as it said');
    t.equal(await statusOf('api'), 'failed');
  },
);
