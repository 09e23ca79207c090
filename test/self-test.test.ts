/** The process that `helm test` runs: its variables, its words, its exit code. What it tries is in self-test-trial.test.ts. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { startLockkeeper } from './support/lockkeeper.ts';
import { run } from './tools/run.ts';

const SELF_TEST = new URL('../src/self-test.ts', import.meta.url).pathname;

function selfTest(environment: Record<string, string>) {
  return run(process.execPath, [SELF_TEST], {
    env: { ...(process.env as Record<string, string>), ...environment },
  });
}

t.test('the gate refuses: 0', async (t) => {
  const { cluster } = await startLockkeeper(t);
  const KUBECONFIG = await cluster.kubeconfig();
  for (const [environment, what] of [
    [{}, /of the release lockkeeper-self-test in the namespace default:/],
    [
      { SELF_TEST_NAMESPACE: 'prod', SELF_TEST_RELEASE: 'keeper-self-test', SELF_TEST_DRIVER: 'configmaps' },
      /of the release keeper-self-test in the namespace prod:/,
    ],
  ] as const) {
    const { code, stdout, stderr } = await selfTest({ KUBECONFIG, ...environment });
    t.match({ code, stderr }, { code: 0, stderr: '' });
    t.match(stdout, what);
    t.match(stdout, /\nPASSED: .*\n$/);
  }
});

t.test('nobody refuses: 1, and what may be the reason', async (t) => {
  const { cluster, removeWebhook } = await startLockkeeper(t);
  await removeWebhook();
  const { code, stdout } = await selfTest({
    KUBECONFIG: await cluster.kubeconfig(),
    SELF_TEST_CONFIGURATION: 'keeper',
    SELF_TEST_PATIENCE_SECONDS: '0',
  });
  t.equal(code, 1);
  t.match(stdout, /FAILED: two deploys .*kubectl get validatingwebhookconfiguration keeper/s);
});

t.test('there is no cluster: 1, and what is missing', async (t) => {
  const KUBECONFIG = join(t.testdir({}), 'config');
  await writeFile(KUBECONFIG, 'apiVersion: v1\nkind: Config\n');
  t.match(await selfTest({ KUBECONFIG }), {
    code: 1,
    stdout: /^FAILED: the cluster cannot be asked: the kubeconfig has no current context/,
  });
});
