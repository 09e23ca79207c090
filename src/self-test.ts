/** The process that `helm test` runs in a pod: its environment, its words, its exit code. */
import { systemClock } from './clock.ts';
import { connect } from './kubernetes/connection.ts';
import { newKubeConfig } from './kubernetes/kubeconfig.ts';
import { createRequests } from './kubernetes/requests.ts';
import { tryGate } from './self-test-trial.ts';

const {
  SELF_TEST_NAMESPACE: namespace = 'default',
  SELF_TEST_RELEASE: release = 'lockkeeper-self-test',
  SELF_TEST_DRIVER: driver = 'secrets',
  SELF_TEST_CONFIGURATION: configuration = 'lockkeeper',
  SELF_TEST_PATIENCE_SECONDS: patience = '60',
} = process.env;

const say = (line: string) => void process.stdout.write(`${line}\n`);

try {
  const kubeConfig = newKubeConfig();
  kubeConfig.loadFromDefault();
  const connection = connect(kubeConfig, { clock: systemClock });
  const passed = await tryGate({
    requests: createRequests({ connection, pool: 'errands' }),
    namespace,
    release,
    driver: driver === 'configmaps' ? 'configmaps' : 'secrets',
    configuration,
    patienceMs: Number(patience) * 1_000,
    clock: systemClock,
    say,
  });
  await connection.close();
  process.exitCode = passed ? 0 : 1;
} catch (error) {
  say(`FAILED: the cluster cannot be asked: ${(error as Error).message}`);
  process.exitCode = 1;
}
