/**
 * The image, as the Dockerfile makes it and the chart runs it: rehearsed without a container engine, in a root of its own
 * that is read-only (where this process may not make one, in a folder; the test's comment tells).
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { type ApiClient, connect } from '../clusters/client.ts';
import type { Cluster } from '../clusters/cluster.ts';
import { startCluster } from '../clusters/start.ts';
import { watchWrites } from '../clusters/writes.ts';
import { CHART, upgradeInFlight } from '../e2e/world.ts';
import { chart } from '../support/chart.ts';
import { freePort } from '../support/free-port.ts';
import { GATE_WEBHOOKS_PATH } from '../support/gate-webhook.ts';
import { apply } from '../support/manifests.ts';
import { helmBinary } from '../tools/binaries.ts';
import { helmEnvironment, start } from '../tools/run.ts';
import { buildImage } from './build.ts';
import { filesOpenForWriting, startContainer, statusOf, strictestConfinement } from './container.ts';
import { type ContainerSpec, startPod, untilReady } from './pod.ts';

const REPOSITORY = resolve(import.meta.dirname, '../..');

/** What `npm ci` has put here stands for what it would put there; the production dependencies are installed anew. */
const INSTALLED = join(REPOSITORY, 'node_modules');

const confinement = await strictestConfinement();
const folder = await mkdtemp(join(tmpdir(), 'lockkeeper-image-'));
t.teardown(() => rm(folder, { recursive: true, force: true }));
// mkdtemp makes it private, and the image's user has to pass.
await chmod(folder, 0o755);
const image = await buildImage({ repository: REPOSITORY, folder, installed: INSTALLED });

/** Asks whether it can write where programs like to, and whether there is a shell. */
const PROBE = `
const { accessSync, constants, existsSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const places = ['/', process.cwd(), process.cwd() + '/dist', tmpdir(), process.env.HOME];
const isWritable = (folder) => {
  try {
    writeFileSync(folder + '/probe', '');
    return true;
  } catch {
    return false;
  }
};
console.log(JSON.stringify({
  writable: places.filter(isWritable),
  shells: ['/bin/sh', '/usr/bin/sh', '/bin/busybox'].filter(existsSync),
  user: process.getuid() + ':' + process.getgid(),
  environment: process.env.NODE_ENV,
}));
`;

t.test('its user can write nothing, and there is no shell', async (t) => {
  t.comment(`confinement: ${confinement}`);
  const running = await startContainer(image, { confinement, args: ['--eval', PROBE] });
  const { stdout, stderr } = await running.done;
  t.equal(stderr, '');
  const seen = JSON.parse(stdout);
  t.equal(seen.environment, 'production');
  if (confinement === 'same-user') return;
  t.same(seen.writable, []);
  t.equal(seen.user, '65532:65532');
  if (confinement === 'sealed') t.same(seen.shells, []);
});

/** What the chart says of each container, and a cluster with all that a release of the chart makes for them. */
async function installed(t: Test) {
  const cluster = await startCluster(t);
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  await admin.createNamespace('lockkeeper');
  const port = await freePort();
  const config = { host: '127.0.0.1', port, metricsPort: await freePort() };
  const rendered = await chart({
    config: { ...config, holdSeconds: 0, maxWaitSeconds: 0, drainSeconds: 0 },
    webhook: { url: `https://127.0.0.1:${port}/admission` },
    test: { namespace: 'prod' },
  });
  const hooks = rendered.hooks('test');
  const kinds = ['ServiceAccount', 'Role', 'RoleBinding', 'ClusterRole', 'ClusterRoleBinding'];
  const rights = [...kinds.flatMap(rendered.all), ...hooks.filter(({ kind }) => kind !== 'Pod')];
  await apply(admin, rights);
  const authority = rendered.objects.filter(
    ({ kind, metadata }) => kind === 'Secret' && metadata.name === 'lockkeeper-ca',
  );
  for (const secret of authority) await admin.create('/api/v1/namespaces/lockkeeper/secrets', secret);
  await admin.create(GATE_WEBHOOKS_PATH, rendered.one('ValidatingWebhookConfiguration'));
  const { template } = rendered.one('Deployment').spec as { template: { spec: PodSpec } };
  const selfTest = hooks.find(({ kind }) => kind === 'Pod')?.spec as PodSpec;
  return { cluster, admin, port, deployment: template.spec, selfTest };
}

interface PodSpec {
  readonly serviceAccountName: string;
  readonly containers: readonly [ContainerSpec];
}

function podOf(cluster: Cluster, { serviceAccountName, containers: [spec] }: PodSpec) {
  const user = { username: `system:serviceaccount:lockkeeper:${serviceAccountName}` };
  return startPod({ image, spec, cluster, confinement, user, namespace: 'lockkeeper' });
}

async function authorityOf(admin: ApiClient): Promise<string> {
  const { data } = await admin.get('/api/v1/namespaces/lockkeeper/secrets/lockkeeper-ca');
  return Buffer.from((data as Record<string, string>)['ca.crt'] ?? '', 'base64').toString();
}

t.test('as the chart runs it, it is ready over HTTPS, and gates what Helm deploys', async (t) => {
  const { cluster, admin, port, deployment, selfTest } = await installed(t);
  const pod = await podOf(cluster, deployment);
  t.teardown(() => pod.program.kill('SIGKILL'));
  await untilReady(pod);
  const https = connect({
    url: `https://127.0.0.1:${port}`,
    caCertificate: await authorityOf(admin),
    token: '',
  });
  t.teardown(() => https.close());
  t.match(await https.request('GET', '/readyz'), { code: 200 });

  const pid = pod.program.pid as number;
  t.same(await filesOpenForWriting(pid), [], 'it has no file open for writing');
  if (confinement === 'sealed') {
    const status = await statusOf(pid);
    t.match(status.get('Uid'), /^65532\s+65532\s+65532\s+65532$/);
    t.equal(Number.parseInt(status.get('CapEff') ?? '', 16), 0, 'it has no capability');
    t.equal(status.get('NoNewPrivs'), '1', 'and gets none');
  }

  const { helm: program } = await helmBinary('4.1.4');
  const kubeconfig = await cluster.kubeconfig({ user: { username: 'alice' }, namespace: 'prod' });
  const env = helmEnvironment({ folder: cluster.folder, kubeconfig });
  const helm = (args: readonly string[]) => start(program, args, { env });
  const writes = await watchWrites(admin);
  t.teardown(() => writes.stop());
  const tested = await podOf(cluster, selfTest);
  const { code, stdout } = await tested.program.done;
  t.equal(code, 0, stdout);

  t.match(await helm(['install', 'api', CHART]).done, { code: 0 });
  const { upgrade, finish } = await upgradeInFlight({ admin, writes, helm });
  const rollback = await helm(['rollback', 'api', '1']).done;
  t.equal(rollback.code, 1);
  t.match(rollback.stderr, /release prod\/api is locked by revision 2 \(pending-upgrade/);
  await finish();
  t.match(await upgrade.done, { code: 0 });

  pod.program.kill('SIGTERM');
  t.match(await pod.program.done, { code: 0, stderr: '' }, 'SIGTERM ends it with 0');
});
