import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { fakeGo } from '../../tools/fake-go.ts';
import { GoIsMissing } from '../../tools/go.ts';
import { run } from '../../tools/run.ts';
import { controlPlaneProgram } from './programs.ts';

const ASSETS = join(import.meta.dirname, 'assets.ts');

t.test('what KUBEBUILDER_ASSETS names is taken, else it is built', async (t) => {
  const folder = t.testdir();
  t.same(await controlPlaneProgram({ env: { KUBEBUILDER_ASSETS: '/bin/k8s' } }), {
    program: process.execPath,
    args: [ASSETS, '/bin/k8s'],
  });
  const env = { PATH: folder, XDG_CACHE_HOME: folder };
  t.ok((await controlPlaneProgram({ env }).catch((error) => error)) instanceof GoIsMissing);

  const go = await fakeGo(folder);
  const { program, args } = await controlPlaneProgram({ env: { ...go.env, KUBEBUILDER_ASSETS: '' } });
  t.same(args, []);
  const goMod = await readFile(join(import.meta.dirname, 'go.mod'), 'utf8');
  const [, version = 'none'] = /k8s\.io\/kubernetes (\S+)/.exec(goMod) ?? [];
  t.match((await run(program, [])).stdout, `-X k8s.io/component-base/version.gitVersion=${version} `);
});

/** Runs assets.ts with shell scripts as binaries; what it would leave behind is seen in a folder of its own. */
async function runAssets(t: Test, scripts: Record<string, string>, args: readonly string[] = []) {
  const folder = t.testdir({ bin: {}, tmp: {} });
  for (const [name, script] of Object.entries(scripts)) {
    await writeFile(join(folder, 'bin', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }
  const env = { TMPDIR: join(folder, 'tmp') };
  const result = await run(process.execPath, [ASSETS, join(folder, 'bin'), ...args], { env });
  t.same(await readdir(env.TMPDIR), [], 'nothing is left behind');
  t.match(result, { stdout: '' });
  return { ...result, folder };
}

t.test('a binary that is missing is told in one line', async (t) => {
  const none = await runAssets(t, { etcd: 'exit 0' });
  t.match(none, {
    code: 1,
    stderr:
      /^control-plane: there is no program .*\/bin\/kube-apiserver: `setup-envtest use -p path` fetches one\n$/,
  });
});

t.test('a wrong flag is refused', async (t) => {
  const scripts = { etcd: 'exit 0', 'kube-apiserver': 'exit 0' };
  for (const args of [['-nonsense'], ['-user', '=devs'], ['-user', 'a"b'], ['other']]) {
    t.match(await runAssets(t, scripts, args), { code: 1, stderr: /^control-plane: / }, args.join(' '));
  }
});

t.test('a server that does not start is told with the end of its log', async (t) => {
  const etcd = 'i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo "line $i"; done; exit 7';
  const failed = await runAssets(t, { etcd, 'kube-apiserver': '' });
  t.equal(failed.code, 1);
  t.match(failed.stderr, /^control-plane: etcd ended: code 7\nline 11\n(.*\n)*line 30\n$/);

  t.match(await runAssets(t, { etcd: 'kill -9 $$', 'kube-apiserver': '' }), {
    stderr: /etcd ended: SIGKILL/,
  });
});

t.test('a port that was taken in between is no reason to give up at once', async (t) => {
  const etcd =
    'echo x >> "$(dirname "$0")/starts"; echo "listen tcp 127.0.0.1:1: bind: address already in use"; exit 1';
  const { folder, code } = await runAssets(t, { etcd, 'kube-apiserver': '' });
  t.equal(code, 1);
  t.equal(await readFile(join(folder, 'bin/starts'), 'utf8'), 'x\n'.repeat(5));
});
