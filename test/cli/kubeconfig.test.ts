/** The kubeconfig is found and merged as kubectl does it; kubectl itself is asked. */
import { writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import t, { type Test } from 'tap';
import { type KubeconfigChoice, loadKubeconfig, namespaceOf } from '../../src/cli/kubeconfig.ts';
import { helmBinary } from '../tools/binaries.ts';
import { run } from '../tools/run.ts';

function config(name: string, current: string | undefined, more: readonly string[] = []) {
  const names = [name, ...more];
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: names.map((each) => ({
      name: each,
      cluster: { server: `https://${each}-of-${name}.example.com` },
    })),
    users: names.map((each) => ({ name: each, user: { token: `token-of-${name}` } })),
    contexts: names.map((each) => ({
      name: each,
      context: { cluster: each, user: each, namespace: `${each}-ns` },
    })),
    ...(current && { 'current-context': current }),
  };
}

async function files(t: Test, contents: Readonly<Record<string, object>>) {
  const folder = t.testdir({});
  for (const [name, content] of Object.entries(contents)) {
    await writeFile(join(folder, name), JSON.stringify(content), { mode: 0o600 });
  }
  return (...names: string[]) => names.map((name) => join(folder, name)).join(delimiter);
}

async function load(KUBECONFIG: string, choice: KubeconfigChoice = {}) {
  const kubeConfig = await loadKubeconfig(choice, { env: { KUBECONFIG }, home: '/no/home' });
  return {
    context: kubeConfig.getCurrentContext(),
    server: kubeConfig.getCurrentCluster()?.server,
    token: kubeConfig.getCurrentUser()?.token,
    namespace: namespaceOf(kubeConfig),
  };
}

t.test('several files: what a file says first is right, and one that is missing is nothing', async (t) => {
  const path = await files(t, {
    one: config('one', undefined, ['both']),
    two: config('two', 'two', ['both']),
    three: config('three', 'three'),
  });
  const { kubectl } = await helmBinary('4.1.4');
  for (const { names, context, user } of [
    { names: ['one', 'two'], context: undefined, user: 'two' },
    { names: ['none', 'two', 'three'], context: undefined, user: 'two' },
    { names: ['three', 'one', 'two'], context: undefined, user: 'three' },
    { names: ['one', 'two'], context: 'both', user: 'one' },
    { names: ['two', 'one'], context: 'both', user: 'two' },
  ]) {
    const KUBECONFIG = path(...names);
    const found = await load(KUBECONFIG, { context });
    const args = ['config', 'view', '--minify', '-o', 'json', ...(context ? ['--context', context] : [])];
    const { stdout } = await run(kubectl, args, { env: { KUBECONFIG, HOME: t.testdirName } });
    const kubectls = JSON.parse(stdout);
    t.equal(found.server, kubectls.clusters[0].cluster.server, `${names} ${context ?? ''}`);
    t.equal(found.namespace, kubectls.contexts[0].context.namespace);
    t.equal(found.context, kubectls['current-context']);
    t.equal(found.token, `token-of-${user}`);
  }
});

t.test('a choice', async (t) => {
  const path = await files(t, { config: config('one', 'one'), broken: ['no'] });
  await t.rejects(load(path('config'), { context: 'two' }), {
    code: 6,
    message: 'the kubeconfig has no context "two"',
  });
  const kubeconfig = path('config');
  t.match(await load('', { kubeconfig }), { context: 'one' }, 'a file that is named');
  const cluster = { server: 'https://other.example.com' };
  const over = await load(kubeconfig, { cluster, user: { token: 'mine' } });
  t.match(over, { ...cluster, token: 'mine', namespace: 'one-ns' });
});

t.test('in a pod, and at home', async (t) => {
  process.env.KUBERNETES_SERVICE_HOST = '10.0.0.1';
  process.env.KUBERNETES_SERVICE_PORT = '443';
  t.teardown(() => {
    delete process.env.KUBERNETES_SERVICE_HOST;
    delete process.env.KUBERNETES_SERVICE_PORT;
  });
  const inPod = await loadKubeconfig({}, { env: { KUBERNETES_SERVICE_HOST: '10.0.0.1' }, home: '/no/home' });
  t.equal(inPod.getCurrentCluster()?.server, 'https://10.0.0.1:443');
  t.equal(namespaceOf(inPod), 'default');
  const home = t.testdir({ '.kube': { config: JSON.stringify(config('home', 'home')) } });
  const atHome = await loadKubeconfig({}, { env: {}, home });
  t.equal(atHome.getCurrentContext(), 'home');
});

t.test('a cluster that cannot be used', async (t) => {
  const { withCluster } = await import('../../src/cli/cluster.ts');
  const path = await files(t, { config: { ...config('one', 'one'), contexts: [] } });
  const place = { env: { KUBECONFIG: path('config') }, home: '/' };
  await t.rejects(
    withCluster({}, place, async () => {}),
    { code: 6, message: 'the kubeconfig has no current context that names a cluster' },
  );
  const nowhere = await files(t, { config: config('one', 'one') });
  const who = withCluster(
    { cluster: { server: 'https://127.0.0.1:1' } },
    { ...place, env: { KUBECONFIG: nowhere('config') } },
    (cluster) => cluster.whoAmI(AbortSignal.timeout(5_000)),
  );
  t.equal(await who, 'somebody', 'nobody says who asks');
});
