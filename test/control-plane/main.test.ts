import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import { run } from '../tools/run.ts';

t.test('without Go and without assets, one line says what is missing and how to get it', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'no-go-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const main = join(import.meta.dirname, 'main.ts');
  const env = { PATH: dirname(process.execPath), XDG_CACHE_HOME: join(folder, 'cache') };
  const { code, stdout, stderr } = await run(process.execPath, [main], { env });
  t.equal(code, 1);
  t.equal(stdout, '', 'nothing was run');
  t.equal(
    stderr,
    'test:e2e needs a real kube-apiserver, and there is no Go to build control-plane with: install Go 1.26 or newer ' +
      '(https://go.dev/dl), or set KUBEBUILDER_ASSETS to a folder with kube-apiserver and etcd (setup-envtest use -p path)\n',
  );
  t.same(await readdir(join(folder, 'cache/lockkeeper')), [], 'nothing is left');
});
