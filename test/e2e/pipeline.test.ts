/**
 * What the README offers to pipelines, run as a pipeline would: with curl, real Helm, the token of a service account and
 * the rights of the manifest.
 */
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { watchWrites } from '../clusters/writes.ts';
import { readManifest } from '../support/manifests.ts';
import { clusterWithRights, roleFor } from '../support/rights.ts';
import { helmBinary } from '../tools/binaries.ts';
import { helmEnvironment, start } from '../tools/run.ts';
import { CHART, lockkeeperOn } from './world.ts';

const SCRIPT = fileURLToPath(new URL('../../docs/pipeline/deploy.sh', import.meta.url));

const DEPLOYER = { username: 'system:serviceaccount:ci:deployer' };

/** What Helm itself needs for the chart: its records, what the chart makes, and the Jobs of its hooks. */
const FOR_HELM = [
  { apiGroups: [''], resources: ['secrets', 'configmaps'] },
  { apiGroups: ['batch'], resources: ['jobs'] },
].map((rule) => ({ ...rule, verbs: ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete'] }));

async function world(t: Test) {
  const { cluster, grant } = await clusterWithRights(t);
  await grant([
    ...(await readManifest('docs/pipeline/rbac.yaml')),
    ...roleFor(DEPLOYER.username, 'prod', FOR_HELM),
  ]);
  const lockkeeper = await lockkeeperOn(t, cluster);
  const { url, caCertificate } = lockkeeper;
  const admin = await cluster.client();
  const writes = await watchWrites(admin);
  t.teardown(() => writes.stop());
  const { helm } = await helmBinary('3.17.3');
  const caFile = join(cluster.folder, 'lockkeeper-ca.crt');
  await writeFile(caFile, caCertificate);
  const kubeconfig = await cluster.kubeconfig({ user: DEPLOYER, namespace: 'prod' });
  const environment = helmEnvironment({ folder: cluster.folder, kubeconfig });
  const token = await cluster.token(DEPLOYER);

  return {
    ...lockkeeper,
    admin,
    writes,
    helm: (...args: string[]) => start(helm, args, { env: environment }),
    deploy: (
      job: string,
      args: readonly string[] = [],
      more: Record<string, string> = {},
      onOutput: (text: string) => void = () => {},
    ) =>
      start('sh', [SCRIPT, ...args], {
        onOutput,
        env: {
          ...environment,
          PATH: `${dirname(helm)}:${process.env.PATH}`,
          RELEASE: 'api',
          NAMESPACE: 'prod',
          CHART,
          LOCKKEEPER: url,
          LOCKKEEPER_CA: caFile,
          TOKEN: token,
          JOB: job,
          ...more,
        },
      }),
  };
}

type World = Awaited<ReturnType<typeof world>>;

async function inFlight({ admin, writes, deploy }: World, job: string) {
  const hook = writes.next(({ verb, object }) => verb === 'ADDED' && object.kind === 'Job');
  const running = deploy(job, ['--set', 'hook.pre=true']);
  await hook;
  return { running, finish: () => admin.completeJob('prod', 'api-pre', 'Complete') };
}

async function history({ helm }: World): Promise<string[]> {
  const { stdout } = await helm('history', 'api', '--output', 'json').done;
  const revisions: { revision: number; status: string; description: string }[] = JSON.parse(stdout);
  return revisions.map(({ revision, status, description }) => `${revision} ${status}: ${description}`);
}

t.test('nobody deploys: the job deploys at once', async (t) => {
  const w = await world(t);
  const { code, stderr } = await w.deploy('job 1').done;
  t.equal(code, 0, stderr);
  t.match(stderr, 'release prod/api is not locked');
  t.same(await history(w), ['1 deployed: Install complete']);
});

t.test('another job deploys: the second one waits, and then deploys', async (t) => {
  const w = await world(t);
  t.equal((await w.deploy('job 1').done).code, 0);
  const first = await inFlight(w, 'job 2');
  const told = Promise.withResolvers<void>();
  const second = w.deploy('job 3', ['--set', 'message=third'], {}, (text) => {
    if (text.includes('that lock is live')) told.resolve();
  });
  await told.promise;
  await first.finish();
  t.equal((await first.running.done).code, 0);
  const { code, stderr } = await second.done;
  t.equal(code, 0, stderr);
  t.same(await history(w), [
    '1 superseded: Install complete',
    '2 superseded: Upgrade complete',
    '3 deployed: Upgrade complete',
  ]);
});

t.test('another job deploys for longer than this one waits: it fails, and says who deploys', async (t) => {
  const w = await world(t);
  t.equal((await w.deploy('job 1').done).code, 0);
  const first = await inFlight(w, 'job 2');
  const { code, stderr } = await w.deploy('job 3', [], { WAIT_SECONDS: '0', WAIT_PIECE: '0' }).done;
  t.equal(code, 1);
  t.match(stderr, 'release prod/api is locked by revision 2 (pending-upgrade, live: ');
  t.match(stderr, '"holder":{"user":"system:serviceaccount:ci:deployer","pod":null}');
  await first.finish();
  t.equal((await first.running.done).code, 0);
});

t.test('another job died: the next one clears its lock, and deploys', async (t) => {
  const w = await world(t);
  t.equal((await w.deploy('job 1').done).code, 0);
  const { running } = await inFlight(w, 'job 2');
  running.kill('SIGKILL');
  await running.done;
  await w.cluster.letTimePass(16 * 60_000);

  const { code, stderr } = await w.deploy('job 3: nightly', ['--set', 'message=third']).done;
  t.equal(code, 0, stderr);
  t.match(stderr, '"next":["helm upgrade api CHART -n prod"');
  const [, cleared, deployed] = await history(w);
  t.match(
    cleared,
    /^2 failed: Cleared by system:serviceaccount:ci:deployer at \S+, was pending-upgrade: no sign of life for 1[56]m\d*s?, and 15m are enough; job 3: nightly$/,
  );
  t.equal(deployed, '3 deployed: Upgrade complete');
});

t.test('another job dies while this one waits: its lock is cleared as soon as it is stale', async (t) => {
  const w = await world(t);
  t.equal((await w.deploy('job 1').done).code, 0);
  const first = await inFlight(w, 'job 2');
  const told = Promise.withResolvers<void>();
  const second = w.deploy('job 3', ['--set', 'message=third'], { WAIT_PIECE: '1' }, (text) => {
    if (text.includes('that lock is live')) told.resolve();
  });
  await told.promise;
  first.running.kill('SIGKILL');
  await first.running.done;
  await w.cluster.letTimePass(16 * 60_000);
  const { code, stderr } = await second.done;
  t.equal(code, 0, stderr);
  t.match(await history(w), ['1 superseded', /^2 failed: Cleared by/, '3 deployed']);
});

t.test('a job without the rights is told which are missing', async (t) => {
  const w = await world(t);
  const { code, stderr } = await w.deploy('job 1', [], { NAMESPACE: 'dev' }).done;
  t.equal(code, 1);
  t.match(
    stderr,
    'may not delete releaselocks in namespace dev. Grant it by this rule in a Role in namespace dev',
  );
});
