/** What Helm does on any cluster. */
import t, { type Test } from 'tap';
import type { HelmVersion } from '../../tools/binaries.ts';
import type { RunResult } from '../../tools/run.ts';
import type { JsonObject } from '../kubernetes-object.ts';
import { CHART, eventually, startCluster, toolsFor } from './fixture.ts';

const VERSIONS: readonly HelmVersion[] = ['3.9.4', '3.17.3', '4.1.4'];

for (const version of VERSIONS) {
  for (const driver of ['secret', 'configmap'] as const) {
    t.test(`the life of a release in Helm ${version}, kept as ${driver}s`, (test) =>
      life(test, version, driver),
    );
  }
}

async function life(t: Test, version: HelmVersion, driver: 'secret' | 'configmap'): Promise<void> {
  const { cluster, admin } = await startCluster(t);
  const { helm, startHelm } = await toolsFor(cluster, version, driver);
  const records = `/api/v1/namespaces/prod/${driver}s`;
  const message = async () => {
    const { data } = await admin.get('/api/v1/namespaces/prod/configmaps/api');
    return (data as JsonObject).message;
  };
  const hookRuns = () =>
    eventually(
      () => admin.request('GET', '/apis/batch/v1/namespaces/prod/jobs/api-pre'),
      ({ code, body }) => code === 200 && !('succeeded' in ((body.status ?? {}) as JsonObject)),
    );
  const statuses = async () => {
    const found = await admin.list(`${records}?labelSelector=owner%3Dhelm,name%3Dapi`);
    return found.map(({ metadata }) => `${metadata.labels?.version}:${metadata.labels?.status}`);
  };

  succeeds(t, 'install', await helm('install', 'api', CHART));
  t.equal(await message(), 'hello');
  const [record] = await admin.list(`${records}?labelSelector=owner%3Dhelm`);
  t.match(record?.metadata, {
    name: 'sh.helm.release.v1.api.v1',
    labels: { status: 'deployed' },
    managedFields: [{ manager: /helm/i, operation: 'Update', fieldsV1: { 'f:data': { 'f:release': {} } } }],
  });
  t.equal(record?.kind, undefined, 'items of a list do not repeat their kind');

  succeeds(t, 'upgrade', await helm('upgrade', 'api', CHART, '--set', 'message=second'));
  t.equal(await message(), 'second');

  succeeds(
    t,
    'upgrade --install',
    await helm('upgrade', '--install', 'api', CHART, '--set', 'message=third'),
  );
  t.equal(await message(), 'third');

  succeeds(t, 'rollback', await helm('rollback', 'api', '1'));
  t.equal(await message(), 'hello');

  await t.test('an upgrade stays in flight until its hook has ended', async (t) => {
    const upgrade = startHelm('upgrade', 'api', CHART, '--set', 'hook.pre=true,message=fifth');
    await hookRuns();
    t.equal((await statuses()).at(-1), '5:pending-upgrade');
    await admin.completeJob('prod', 'api-pre', 'Complete');
    succeeds(t, 'upgrade', await upgrade.done);
    t.equal(await message(), 'fifth');
  });

  await t.test('an upgrade fails when its hook does', async (t) => {
    const upgrade = startHelm('upgrade', 'api', CHART, '--set', 'hook.pre=true,message=sixth');
    await hookRuns();
    await admin.completeJob('prod', 'api-pre', 'Failed');
    t.match(await upgrade.done, { code: 1, stderr: /hooks? failed/ });
    t.equal(await message(), 'fifth');
  });

  t.same(await statuses(), [
    '1:superseded',
    '2:superseded',
    '3:superseded',
    '4:superseded',
    '5:deployed',
    '6:failed',
  ]);
  t.match(await helm('history', 'api'), { code: 0, stdout: /5 .*deployed.*Upgrade complete/ });
  t.match(await helm('list'), { code: 0, stdout: /^api\s+prod\s+6\s/m });
  t.match(await helm('status', 'api'), { code: 0, stdout: /STATUS: failed/ });
  t.match(await helm('get', 'manifest', 'api', '--revision', '5'), { code: 0, stdout: /message: "fifth"/ });

  succeeds(t, 'uninstall --keep-history', await helm('uninstall', 'api', '--keep-history'));
  t.equal((await statuses()).length, 6);
  succeeds(t, 'uninstall', await helm('uninstall', 'api'));
  t.same(await statuses(), []);
  await t.rejects(message(), /404/);
}

function succeeds(t: Test, command: string, { code, stdout, stderr }: RunResult): void {
  t.equal(code, 0, command, { stdout, stderr });
}
