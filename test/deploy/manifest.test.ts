/** deploy/lockkeeper.yaml is what the chart makes, and `npm run manifests` says so when it is not. */
import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { MANIFEST, renderManifest } from '../../deploy/render.ts';
import { chart } from '../support/chart.ts';
import { readManifest } from '../support/manifests.ts';
import { run } from '../tools/run.ts';

const MAIN = new URL('../../deploy/main.ts', import.meta.url).pathname;

t.test('the manifest is what the chart makes of its defaults', async (t) => {
  t.equal(await readFile(MANIFEST, 'utf8'), await renderManifest(), 'or else: npm run manifests');
});

t.test('npm run manifests writes it, and with --check tells when that is needed', async (t) => {
  const file = join(t.testdir({}), 'lockkeeper.yaml');
  const manifests = (...args: string[]) =>
    run(process.execPath, [MAIN, ...args, file], { env: process.env as Record<string, string> });
  t.match(await manifests(), { code: 0, stdout: '', stderr: '' });
  t.equal(await readFile(file, 'utf8'), await readFile(MANIFEST, 'utf8'));
  t.match(await manifests('--check'), { code: 0, stderr: '' });
  await appendFile(file, '---\n');
  t.match(await manifests('--check'), { code: 1, stderr: /not what deploy\/chart makes: npm run manifests/ });
});

t.test('it begins with a namespace that keeps pods restricted, and has no hooks', async (t) => {
  const [namespace, ...others] = await readManifest('deploy/lockkeeper.yaml');
  t.match(namespace, {
    kind: 'Namespace',
    metadata: { name: 'lockkeeper', labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
  });
  const { objects } = await chart();
  const key = ({ kind, metadata }: (typeof objects)[number]) => `${kind} ${metadata.name}`;
  const withoutHooks = objects.filter(({ metadata }) => !metadata.annotations?.['helm.sh/hook']);
  t.same(others.map(key).sort(), withoutHooks.map(key).sort());
  t.equal(objects.length - withoutHooks.length, 6, 'four for the test, two for the uninstall');
});
