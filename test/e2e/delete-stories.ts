/** What becomes of locks when people delete ReleaseLocks, as they delete everything else: by kubectl. */
import { gunzipSync, gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import type { ApiClient } from '../clusters/client.ts';
import { LOCKKEEPER } from '../support/lockkeeper.ts';
import { readManifest } from '../support/manifests.ts';
import { record } from '../support/records.ts';
import { clusterWithRights, type Rule, roleFor } from '../support/rights.ts';
import { until } from '../support/until.ts';
import { helmBinary, type NpmHelmVersion } from '../tools/binaries.ts';
import { helmEnvironment, type RunResult, run } from '../tools/run.ts';
import { lockkeeperOn } from './world.ts';

const ENTRIES = '/apis/lockkeeper.dev/v1alpha1/namespaces/prod/releaselocks';
const SECRETS = '/api/v1/namespaces/prod/secrets';

const HOUR_MS = 3_600_000;

/** May do what everybody may who edits workloads, and nothing else. */
const EDITOR = 'system:serviceaccount:ci:editor';

/** May clear live locks, too. */
const FORCER = 'system:serviceaccount:ci:forcer';

const FORCE: Rule = { apiGroups: ['lockkeeper.dev'], resources: ['releaselocks/force'], verbs: ['delete'] };

const MARKED = (release: string, how = '') =>
  new RegExp(
    `^Warning: lockkeeper marked revision 2 of prod/${release} ${how}as failed, which was pending-upgrade: `,
    'm',
  );

function recordPath(release: string, revision = 2): string {
  return `${SECRETS}/sh.helm.release.v1.${release}.v${revision}`;
}

/** Revision 1 is deployed, and 2 is pending. */
async function lock(admin: ApiClient, release: string): Promise<void> {
  for (const [revision, status] of [
    [1, 'deployed'],
    [2, 'pending-upgrade'],
  ] as const) {
    const json = JSON.stringify({ name: release, info: { status, description: 'Preparing upgrade' } });
    const payload = gzipSync(json).toString('base64');
    await admin.create(SECRETS, record(release, revision, status, { payload }));
  }
}

/** As another replica would have written it. */
async function enter(keeper: ApiClient, admin: ApiClient, release: string): Promise<void> {
  const { metadata } = await admin.get(recordPath(release));
  await keeper.create(ENTRIES, {
    apiVersion: 'lockkeeper.dev/v1alpha1',
    kind: 'ReleaseLock',
    metadata: { name: release },
    spec: {
      driver: 'secrets',
      revision: 2,
      status: 'pending-upgrade',
      recordUID: metadata.uid,
      since: metadata.creationTimestamp,
    },
  });
}

/** Helm's status of revision 2, in the label and in the record, and what Helm shows of it. */
async function stateOf(admin: ApiClient, release: string) {
  const object = await admin.get(recordPath(release));
  const { data } = object as unknown as { data: { release: string } };
  const payload = Buffer.from(Buffer.from(data.release, 'base64').toString(), 'base64');
  const { status, description } = JSON.parse(gunzipSync(payload).toString()).info;
  return { label: object.metadata.labels?.status, status, description };
}

const PENDING = {
  label: 'pending-upgrade',
  status: 'pending-upgrade',
  description: 'Preparing upgrade',
};

async function isEntered(admin: ApiClient, release: string): Promise<boolean> {
  return (await admin.request('GET', `${ENTRIES}/${release}`)).code === 200;
}

async function editorRules(): Promise<readonly Rule[]> {
  const objects = await readManifest('deploy/lockkeeper.yaml');
  const role = objects.find(
    ({ kind, metadata }) => kind === 'ClusterRole' && metadata.name?.endsWith('-edit'),
  );
  return role?.rules as readonly Rule[];
}

/** With the stale locks that are named, and Lockkeeper, which knows of them. */
async function stage(t: Test, version: NpmHelmVersion, stale: readonly string[]) {
  const { cluster, grant } = await clusterWithRights(t);
  const admin = await cluster.client();
  const keeper = await cluster.client(LOCKKEEPER);
  for (const release of stale) await lock(admin, release);
  await cluster.letTimePass(HOUR_MS);
  const { front, service, installWebhook, removeWebhook } = await lockkeeperOn(t, cluster);
  for (const release of stale) await enter(keeper, admin, release);
  const rules = await editorRules();
  await grant(roleFor(EDITOR, 'prod', rules));
  await grant(roleFor(FORCER, 'prod', [...rules, FORCE]));
  const { kubectl } = await helmBinary(version);
  return {
    admin,
    keeper,
    front,
    service,
    installWebhook,
    removeWebhook,
    /** A lock that has just been taken, and its ReleaseLock. */
    async liveLock(release: string) {
      await lock(admin, release);
      await until(
        () => isEntered(admin, release),
        (entered) => entered,
      );
    },
    /** An old kubectl looks into the description of the API to see who knows dry runs, which the embedded cluster lacks. */
    dryRun: (release: string) =>
      version === '3.9.4'
        ? `delete --raw ${ENTRIES}/${release}?dryRun=All`
        : `delete rlock ${release} --dry-run=server`,
    async kubectl(username: string, command: string): Promise<RunResult> {
      const kubeconfig = await cluster.kubeconfig({ user: { username }, namespace: 'prod' });
      const env = helmEnvironment({ folder: cluster.folder, kubeconfig });
      return run(kubectl, command.split(' '), { env });
    },
  };
}

type Stage = Awaited<ReturnType<typeof stage>>;

/** @param version of the Helm whose kubectl it is */
export function tellDeletions(version: NpmHelmVersion): void {
  t.test(`kubectl of Helm ${version}: who deletes a ReleaseLock clears its lock`, async (t) => {
    const s = await stage(t, version, ['api', 'web', 'jobs', 'cron']);
    await t.test('a stale one is cleared', (t) => staleIsCleared(t, s));
    await t.test('a dry run says what would happen', (t) => dryRunChangesNothing(t, s));
    await t.test('only Lockkeeper writes what one says', (t) => nobodyElseWrites(t, s));
    await t.test('all stale ones are cleared at once', (t) => allAreCleared(t, s));
    await t.test('a live one is cleared by force, and by whoever has the right', (t) => liveIsForced(t, s));
    await t.test('one that is left over goes', (t) => leftOverGoes(t, s));
    await t.test('a namespace goes with its locks, though nobody answers', (t) => namespaceGoes(t, s));
  });
}

async function staleIsCleared(t: Test, { admin, kubectl }: Stage): Promise<void> {
  const { code, stdout, stderr } = await kubectl(EDITOR, 'delete rlock api');
  t.equal(code, 0, stderr);
  t.match(stdout, /^releaselock.lockkeeper.dev "api" deleted/);
  t.match(stderr, MARKED('api'));
  t.match(stderr, /no sign of life for 1h/);
  t.match(stderr, /^Warning: what works now: helm upgrade api CHART -n prod$/m);
  t.match(await stateOf(admin, 'api'), {
    label: 'failed',
    status: 'failed',
    description: /^Cleared by \S+:editor at .*, was pending-upgrade: no sign of life for 1h/,
  });
  t.notOk(await isEntered(admin, 'api'));
}

async function dryRunChangesNothing(t: Test, { admin, kubectl, dryRun }: Stage): Promise<void> {
  const { code, stderr } = await kubectl(EDITOR, dryRun('web'));
  t.equal(code, 0, stderr);
  t.match(stderr, /^Warning: lockkeeper would mark revision 2 of prod\/web as failed/m);
  t.same(await stateOf(admin, 'web'), PENDING);
  t.ok(await isEntered(admin, 'web'));
}

async function allAreCleared(t: Test, { admin, kubectl }: Stage): Promise<void> {
  const { code, stderr } = await kubectl(EDITOR, 'delete rlock --all');
  t.equal(code, 0, stderr);
  for (const release of ['web', 'jobs', 'cron']) {
    t.match(stderr, MARKED(release));
    t.match(await stateOf(admin, release), { label: 'failed' });
  }
  t.same(await admin.list(ENTRIES), []);
}

async function liveIsForced(t: Test, { admin, kubectl, dryRun, liveLock }: Stage): Promise<void> {
  await liveLock('live');
  const refused = await kubectl(EDITOR, 'delete rlock live');
  t.equal(refused.code, 1);
  t.match(
    refused.stderr,
    /"releaselocks\.lockkeeper\.dev" denied the request: release prod\/live is locked by revision 2 \(pending-upgrade, \S+, \S+\)\. Nothing was changed\. Wait for it, or ask its holder: it counts as live \(/,
  );
  const [way = ''] = /kubectl annotate .*$/m.exec(refused.stderr) ?? [];
  const commands = [
    'kubectl annotate rlock live -n prod lockkeeper.dev/force=true',
    'kubectl delete rlock live -n prod',
  ];
  t.equal(way, commands[0], 'the refusal ends with what to type');
  const [annotate = '', remove = ''] = commands.map((command) => command.replace('kubectl ', ''));

  const lacks =
    /:editor may not delete releaselocks\/force in namespace prod\. A namespace admin usually may\. Grant it by this rule/;
  t.match(await kubectl(EDITOR, annotate), { code: 1, stderr: lacks }, 'the mark takes the right');
  t.match(await kubectl(EDITOR, 'annotate rlock live team=red'), { code: 0 }, 'other marks do not');
  t.match(
    await kubectl(FORCER, annotate),
    { code: 0, stderr: `even if it is live: ${commands[1]}` },
    'the answer ends with the next',
  );
  t.match(await kubectl(EDITOR, remove), { code: 1, stderr: lacks }, 'so does the deletion');
  const dry = await kubectl(FORCER, dryRun('live'));
  t.match(dry, { code: 0, stderr: /lockkeeper would mark revision 2/ });
  t.same(await stateOf(admin, 'live'), PENDING, 'nothing was changed');

  const forced = await kubectl(FORCER, remove);
  t.equal(forced.code, 0, forced.stderr);
  t.match(forced.stderr, MARKED('live', 'by force '));
  t.match(await stateOf(admin, 'live'), {
    label: 'failed',
    description: /^Cleared by force by \S+:forcer at /,
  });
}

async function nobodyElseWrites(t: Test, { admin }: Stage): Promise<void> {
  const { spec } = (await admin.get(`${ENTRIES}/web`)) as unknown as { spec: object };
  const metadata = { name: 'lie' };
  const lie = { apiVersion: 'lockkeeper.dev/v1alpha1', kind: 'ReleaseLock', metadata, spec };
  const refusal = /only lockkeeper records who holds a lock/;
  t.match(await admin.request('POST', ENTRIES, lie), { code: 403, body: { message: refusal } });
  const holder = { user: 'somebody else' };
  const patch = { headers: { 'content-type': 'application/merge-patch+json' } };
  t.match(await admin.request('PATCH', `${ENTRIES}/web`, { spec: { holder } }, patch), {
    code: 403,
    body: { message: refusal },
  });
}

async function leftOverGoes(t: Test, { admin, kubectl, keeper }: Stage): Promise<void> {
  // Of the revision that was cleared before.
  await enter(keeper, admin, 'api');
  t.match(await kubectl(EDITOR, 'delete rlock api'), { code: 0, stderr: '' });
}

async function namespaceGoes(t: Test, { keeper, service, kubectl, liveLock }: Stage): Promise<void> {
  await liveLock('last');
  await service.close();
  t.match(await kubectl(EDITOR, 'delete rlock last'), { code: 1, stderr: /failed calling webhook/ });
  t.match(await keeper.request('DELETE', `${ENTRIES}/last?dryRun=All`), { code: 200 }, 'Lockkeeper may');
  t.match(await kubectl('alice', 'delete namespace prod'), { code: 0 });
}
