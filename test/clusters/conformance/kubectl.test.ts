/** kubectl, newest and oldest. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { HelmVersion } from '../../tools/binaries.ts';
import { REAL } from '../start.ts';
import { createPod, job, SECRETS, secret, startCluster, toolsFor } from './fixture.ts';

/** By the version of the Helm that it came with: kubectl 1.24, 1.31 and 1.35. */
const VERSIONS: readonly HelmVersion[] = ['3.9.4', '3.17.3', '4.1.4'];

for (const version of VERSIONS) t.test(`the kubectl of Helm ${version}`, (test) => story(test, version));

async function story(t: Test, version: HelmVersion): Promise<void> {
  const { cluster, admin } = await startCluster(t);
  const { kubectl, startKubectl } = await toolsFor(cluster, version);

  await t.test('create and get', async (t) => {
    t.match(await kubectl('create', 'secret', 'generic', 'one', '--from-literal=a=b'), {
      code: 0,
      stdout: 'secret/one created\n',
    });
    t.match(await kubectl('get', 'secrets'), {
      code: 0,
      stdout: /^NAME +TYPE +DATA +AGE\none +Opaque +1 +\d+s\n$/,
    });
    t.match(await kubectl('get', 'secret', 'one', '-o', 'jsonpath={.data.a}'), { code: 0, stdout: 'Yg==' });
    t.match(await kubectl('get', 'secrets', '-o', 'name'), { code: 0, stdout: 'secret/one\n' });
    t.match(await kubectl('get', 'secret', 'two'), {
      code: 1,
      stderr: 'Error from server (NotFound): secrets "two" not found\n',
    });
    t.match(await kubectl('create', 'secret', 'generic', 'one'), {
      code: 1,
      stderr: /secrets "one" already exists/,
    });
    t.match(await kubectl('get', 'cm,jobs,pods,ns', '-A'), { code: 0, stdout: /namespace\/prod +Active/ });
  });

  await t.test('apply, twice, and by the server', async (t) => {
    const file = join(cluster.folder, 'deployment.json');
    const container = { name: 'web', image: 'web:1' };
    const deployment = {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web' },
      spec: {
        selector: { matchLabels: { app: 'web' } },
        template: {
          metadata: { labels: { app: 'web' } },
          spec: { containers: [container, { name: 'side', image: 'side:1' }] },
        },
      },
    };
    await writeFile(file, JSON.stringify(deployment));
    t.match(await kubectl('apply', '-f', file), { code: 0, stdout: 'deployment.apps/web created\n' });
    t.match(await kubectl('apply', '-f', file), { code: 0, stdout: 'deployment.apps/web unchanged\n' });
    container.image = 'web:2';
    await writeFile(file, JSON.stringify(deployment));
    if (version !== '3.9.4' || REAL) {
      // The oldest refuses on its own: it looks for the parameter in the schema, which is empty in the embedded cluster.
      const { stdout } = await kubectl('apply', '-f', file, '--dry-run=server');
      t.equal(stdout, 'deployment.apps/web configured (server dry run)\n');
    }
    t.match(await kubectl('apply', '-f', file), { code: 0, stdout: 'deployment.apps/web configured\n' });
    const { spec } = await admin.get('/apis/apps/v1/namespaces/prod/deployments/web');
    t.match(spec, { template: { spec: { containers: [{ image: 'web:2' }, { image: 'side:1' }] } } });
    t.match(await kubectl('apply', '--server-side', '--force-conflicts', '-f', file), {
      code: 0,
      stdout: /serverside-applied/,
    });
  });

  await t.test('annotate, label, patch and edit what is there', async (t) => {
    t.match(await kubectl('annotate', 'secret', 'one', 'lockkeeper.dev/allow-delete=yes'), { code: 0 });
    t.match(await kubectl('label', 'secret', 'one', 'a=b'), { code: 0 });
    t.match(
      await kubectl(
        'patch',
        'secret',
        'one',
        '--type=json',
        '-p',
        '[{"op":"remove","path":"/metadata/labels/a"}]',
      ),
      { code: 0 },
    );
    const { metadata } = await admin.get(`${SECRETS}/one`);
    t.same(metadata.annotations, { 'lockkeeper.dev/allow-delete': 'yes' });
    t.notOk('labels' in metadata);
    const managers = metadata.managedFields?.map(({ manager }) => manager);
    t.same(new Set(managers), new Set(['kubectl-create', 'kubectl-annotate']));
  });

  await t.test('get -w prints every change', async (t) => {
    const [listed, changed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let output = '';
    const watching = startKubectl(['get', 'secrets', '-w', '--no-headers', '-o', 'name'], {
      onOutput(text) {
        output += text;
        if (output.includes('secret/one\n')) listed.resolve();
        if (output.includes('secret/three\n')) changed.resolve();
      },
    });
    await listed.promise; // what is made from now on comes by the watch
    await admin.create(SECRETS, secret('three'));
    await changed.promise;
    watching.kill();
    await watching.done;
    t.equal(output, 'secret/one\nsecret/three\n');
  });

  await t.test('wait for a condition, and for a deletion', async (t) => {
    await admin.create('/apis/batch/v1/namespaces/prod/jobs', job('job'));
    const complete = startKubectl(['wait', '--for=condition=Complete', 'job/job', '--timeout=20s']);
    await admin.completeJob('prod', 'job', 'Complete');
    t.match(await complete.done, { code: 0, stdout: 'job.batch/job condition met\n' });
    const pod = '/api/v1/namespaces/prod/pods';
    await createPod(admin, 'p');
    const running = startKubectl([
      'wait',
      '--for=jsonpath={.status.phase}=Running',
      'pod/p',
      '--timeout=20s',
    ]);
    await admin.patch(`${pod}/p/status`, { status: { phase: 'Running' } });
    t.match(await running.done, { code: 0 });

    const deleted = startKubectl(['wait', '--for=delete', 'secret/one', '--timeout=20s']);
    t.match(await kubectl('delete', 'secret', 'one'), { code: 0, stdout: /^secret "one" deleted/ });
    t.match(await deleted.done, { code: 0 });
  });

  // It takes the real namespace controller five seconds, so one kubectl waits for it.
  if (version === '4.1.4')
    await t.test('delete a namespace with all that is in it', async (t) => {
      t.match(await kubectl('create', 'namespace', 'gone'), { code: 0 });
      t.match(await kubectl('create', 'configmap', 'x', '-n', 'gone', '--from-literal=a=b'), { code: 0 });
      t.match(await kubectl('delete', 'namespace', 'gone'), { code: 0 });
      t.match(await kubectl('get', 'cm', '-n', 'gone'), { code: 0, stderr: /No resources found/ });
    });

  t.match(await kubectl('auth', 'can-i', 'delete', 'secrets'), { code: 0, stdout: 'yes\n' });
  t.match(await kubectl('version'), { code: 0, stdout: /Server Version: / });
  await kubectl('create', 'serviceaccount', 'runner');
  const { stdout: token } = await kubectl('create', 'token', 'runner');
  t.match(token.trim(), /^\S{20,}$/);
}
