/** What the README offers to pipelines, run as a pipeline would: with curl, real Helm, a token and the rights of the manifest. */

import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadAllYaml } from '@kubernetes/client-node';
import t, { type Test } from 'tap';
import { startLockkeeper } from '../support/lockkeeper.ts';
import { helmBinary } from '../tools/binaries.ts';
import { helmEnvironment, start } from '../tools/run.ts';

const CHART = fileURLToPath(new URL('../fixtures/charts/app', import.meta.url));
const DOCS = new URL('../../docs/pipeline/', import.meta.url);
const SCRIPT = fileURLToPath(new URL('deploy.sh', DOCS));

const DEPLOYER = { username: 'system:serviceaccount:ci:deployer' };

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

const [role, binding] = loadAllYaml(readFileSync(new URL('rbac.yaml', DOCS), 'utf8'));

/** Only what the manifest grants, and to whom. */
function grants(username: string, namespace: string, group: string, resource: string, verb: string): boolean {
  const [subject] = binding.subjects;
  return (
    username === `system:serviceaccount:${subject.namespace}:${subject.name}` &&
    binding.roleRef.name === role.metadata.name &&
    [role, binding].every((object) => object.metadata.namespace === namespace) &&
    role.rules.some(
      (rule: Rule) =>
        rule.apiGroups.includes(group) && rule.resources.includes(resource) && rule.verbs.includes(verb),
    )
  );
}

async function world(t: Test) {
  const lockkeeper = await startLockkeeper(t, {
    cluster: {
      authorize: ({ user, namespace, group, resource, verb }) =>
        group !== 'lockkeeper.dev' || grants(user.username, namespace, group, resource, verb),
    },
  });
  const { cluster, url, caCertificate } = lockkeeper;
  const { helm } = await helmBinary('3.17.3');
  const caFile = join(cluster.folder, 'lockkeeper-ca.crt');
  await writeFile(caFile, caCertificate);
  const kubeconfig = await cluster.kubeconfig({ user: DEPLOYER, namespace: 'prod' });
  const environment = helmEnvironment({ folder: cluster.folder, kubeconfig });
  const token = await cluster.token(DEPLOYER);

  return {
    ...lockkeeper,
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

async function inFlight({ cluster, deploy }: World, job: string) {
  const hook = cluster.waitForWrite(({ verb, object }) => verb === 'ADDED' && object.kind === 'Job');
  const running = deploy(job, ['--set', 'hook.pre=true']);
  await hook;
  const admin = await cluster.client();
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
  w.cluster.clock.advance(16 * 60_000);

  const { code, stderr } = await w.deploy('job 3: nightly', ['--set', 'message=third']).done;
  t.equal(code, 0, stderr);
  t.match(stderr, '"next":["helm upgrade api CHART -n prod"');
  const [, cleared, deployed] = await history(w);
  t.match(
    cleared,
    /^2 failed: Cleared by system:serviceaccount:ci:deployer at \S+, was pending-upgrade: no sign of life for 16m\d*s?, and 15m are enough; job 3: nightly$/,
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
  w.cluster.clock.advance(16 * 60_000);
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
