/** Every command of docs/operations.md, as it stands there, on a real cluster: one story, told with old and new Helm. */
import { X509Certificate } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dumpYaml, loadYaml } from '@kubernetes/client-node';
import t, { type Test } from 'tap';
import { issueAuthority } from '../../src/tls/issue.ts';
import type { ApiClient } from '../clusters/client.ts';
import { startServiceOn } from '../support/lockkeeper.ts';
import { record } from '../support/records.ts';
import { until } from '../support/until.ts';
import { type HelmVersion, helmBinary } from '../tools/binaries.ts';
import { helmEnvironment, run } from '../tools/run.ts';
import { type ChartWorld, CONFIGURATION_PATH, chartWorld, playKubelet } from './chart-world.ts';

const ROOT = new URL('../../', import.meta.url).pathname;

const DOCUMENT = await readFile(join(ROOT, 'docs/operations.md'), 'utf8');

const untold = new Set(blocksOf('sh'));

function blocksOf(language: string): string[] {
  const blocks = DOCUMENT.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'));
  return [...blocks].map(([, block = '']) => block);
}

/** The one command of the document that has these words. */
function commandWith(words: string): string {
  const found = blocksOf('sh').filter((block) => block.includes(words));
  if (found.length !== 1) throw new Error(`${found.length} commands of the document say: ${words}`);
  untold.delete(found[0] as string);
  return found[0] as string;
}

/** A folder as whoever reads the document has it: a checkout, and their values. */
async function reader(t: Test, { cluster }: ChartWorld, version: HelmVersion, values: object) {
  const folder = await mkdtemp(join(cluster.folder, 'reader-'));
  const bin = join(folder, 'bin');
  await mkdir(bin, { recursive: true });
  const { helm, kubectl } = await helmBinary(version);
  for (const [name, program] of Object.entries({ helm, kubectl })) await symlink(program, join(bin, name));
  await symlink(join(ROOT, 'deploy'), join(folder, 'deploy'));
  const documented = Object.assign({}, ...blocksOf('yaml').map((block) => loadYaml(block) as object));
  const write = (more: object) =>
    writeFile(join(folder, 'lockkeeper-values.yaml'), dumpYaml({ ...documented, ...more }));
  await write(values);
  const kubeconfig = await cluster.kubeconfig({ user: { username: 'alice' } });
  await chmod(kubeconfig, 0o600);
  const env = { ...helmEnvironment({ folder, kubeconfig }), PATH: `${bin}:${process.env.PATH}` };
  return {
    folder,
    write,
    async type(words: string): Promise<string> {
      const command = commandWith(words);
      const { code, stdout, stderr } = await run('bash', ['--norc', '-euo', 'pipefail', '-c', command], {
        cwd: folder,
        env,
      });
      t.equal(code, 0, `${command.trim()}${code === 0 ? '' : `: ${stderr}`}`);
      return stdout;
    },
  };
}

/** Whether a second deploy beside one that is in flight is refused. */
async function isGated(admin: ApiClient): Promise<boolean> {
  const path = '/api/v1/namespaces/prod/secrets?dryRun=All';
  return (await admin.request('POST', path, record('api', 2, 'pending-upgrade'))).code === 409;
}

async function caBundle(admin: ApiClient): Promise<string> {
  const { webhooks } = await admin.get(CONFIGURATION_PATH);
  const [gate] = webhooks as readonly { clientConfig: { caBundle?: string } }[];
  return Buffer.from(gate?.clientConfig.caBundle ?? '', 'base64').toString();
}

for (const version of ['3.17.3', '4.1.4'] as const) {
  t.test(`from the installation to the end, with Helm ${version}`, async (t) => {
    const w = await chartWorld(t);
    const { admin, cluster } = w;
    await admin.patch('/api/v1/namespaces/prod', { metadata: { labels: { team: 'a' } } });
    await admin.patch('/api/v1/namespaces/default', { metadata: { labels: { team: 'a' } } });
    await admin.create('/api/v1/namespaces/prod/secrets', record('api', 1, 'pending-install'));
    const { folder, write, type } = await reader(t, w, version, {});

    const mine = await issueAuthority({ commonName: 'mine', validDays: 30, now: new Date() });
    await writeFile(join(folder, 'ca.crt'), mine.certificate);
    await writeFile(join(folder, 'ca.key'), mine.privateKey);
    await type('kubectl create secret tls');
    await type('helm install');
    t.notOk(await isGated(admin), 'nobody is held up before a replica is ready');

    // No kubelet is here to start the pods: a process on this machine takes their place.
    const { service } = await startServiceOn(t, cluster, {
      drivers: ['secrets'],
      webhookConfiguration: 'lockkeeper',
    });
    const { namespaceSelector } = (loadYaml(blocksOf('yaml')[1] as string) as { webhook: object })
      .webhook as {
      namespaceSelector: object;
    };
    const url = `https://127.0.0.1:${service.port}/admission`;
    await write({ replicas: 0, webhook: { url, namespaceSelector } });
    await type('helm upgrade');
    await until(() => isGated(admin), Boolean);
    const kubelet = playKubelet(w, 'lockkeeper-self-test');
    await type('helm test');
    t.match(await kubelet, /PASSED/);

    await type('caBundle');
    const trusted = await readFile(join(folder, 'lockkeeper-ca.crt'), 'utf8');
    t.equal(new X509Certificate(trusted).subject, 'O=lockkeeper\nCN=mine', 'what API servers trust');
    await type('kubectl patch secret');
    const both = await until(
      () => caBundle(admin),
      (bundle) => bundle !== trusted,
    );
    t.ok(both.startsWith(trusted), 'the old authority signs until the new one is known');

    await type('kubectl delete validatingwebhookconfiguration');
    await until(
      () => isGated(admin),
      (gated) => !gated,
    );
    t.pass('everybody deploys as if there were no Lockkeeper');
    await type('helm upgrade');
    await until(() => isGated(admin), Boolean);
    t.pass('until the next upgrade');

    await type('kubectl delete validatingadmissionpolicybinding');
    await type('helm uninstall');
    t.notOk(await isGated(admin));
  });
}

t.test('and without Helm', async (t) => {
  const w = await chartWorld(t);
  const { type } = await reader(t, w, '4.1.4', {});
  t.match(await type('deploy/lockkeeper.yaml'), /deployment\.apps\/lockkeeper serverside-applied/);
});

t.test('no command of the document was left out', async (t) => {
  t.same([...untold], []);
});
