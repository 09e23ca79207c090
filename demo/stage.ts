/** What the story is played on: the embedded cluster in this process, Lockkeeper in its own, real Helm. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ApiClient, connect } from '../test/clusters/client.ts';
import type { User } from '../test/clusters/cluster.ts';
import { type EmbeddedCluster, startEmbeddedCluster } from '../test/clusters/embedded/cluster.ts';
import { GATE_WEBHOOKS_PATH, gateWebhook } from '../test/support/gate-webhook.ts';
import { createLogReader, type LogReader } from '../test/support/log.ts';
import { issueTlsFiles } from '../test/support/tls.ts';
import { defaultHelm, type HelmBinary } from '../test/tools/binaries.ts';
import { helmEnvironment, type RunningProgram, start } from '../test/tools/run.ts';
import { createRest, type Rest } from './rest.ts';

export const NAMESPACE = 'shop';
export const CHART = fileURLToPath(new URL('../test/fixtures/charts/app', import.meta.url));

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));

/** A pipeline, whose token is bound to its pod, and a person. */
export type UserName = 'runner' | 'alice';

/** Where the pods of the pipeline run. */
export const PODS_PATH = '/api/v1/namespaces/ci/pods';
export const RUNNER_POD = 'runner-7f9c';

export type Program = 'helm' | 'kubectl';

export interface Stage {
  readonly cluster: EmbeddedCluster;
  readonly admin: ApiClient;
  readonly helm: HelmBinary;
  /** What Lockkeeper logs. */
  readonly log: LogReader;
  /** Resolves with its exit code when Lockkeeper ends. */
  readonly lockkeeperEnded: Promise<number | null>;
  /** Lockkeeper's REST endpoints, as the runner calls them. */
  readonly rest: Rest;
  /** Starts Helm, or kubectl, as somebody. */
  run(user: UserName, args: readonly string[], program?: Program): RunningProgram;
  kubeconfig(user: UserName): Promise<string>;
  installWebhook(): Promise<void>;
  removeWebhook(): Promise<void>;
  /** Resolves when Lockkeeper, asked to with SIGTERM, has ended; its exit code. */
  stop(): Promise<number | null>;
}

export interface StageOptions {
  readonly holdSeconds: number;
  readonly retryAfterSeconds: number;
  readonly helmBin: string | undefined;
  readonly path: string | undefined;
}

export async function setStage(options: StageOptions): Promise<Stage> {
  const helm = await defaultHelm(options);
  const cluster = await startEmbeddedCluster();
  try {
    return await furnish(cluster, helm, options);
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

async function furnish(cluster: EmbeddedCluster, helm: HelmBinary, options: StageOptions): Promise<Stage> {
  const admin = await cluster.client();
  await admin.createNamespace(NAMESPACE);
  await admin.createNamespace('ci');
  const runner = await startRunner(admin);
  const kubeconfigs = {
    runner: await cluster.kubeconfig({ user: runner, namespace: NAMESPACE }),
    alice: await cluster.kubeconfig({ user: { username: 'alice' }, namespace: NAMESPACE }),
  };

  const running = new Set<RunningProgram>();
  const tlsFolder = join(cluster.folder, 'tls');
  const tls = await issueTlsFiles(tlsFolder);
  const log = createLogReader();
  const lockkeeper = start(process.execPath, [MAIN], {
    env: {
      KUBECONFIG: await cluster.kubeconfig({
        user: { username: 'system:serviceaccount:lockkeeper:lockkeeper' },
      }),
      LOCKKEEPER_HOST: '127.0.0.1',
      LOCKKEEPER_PORT: '0',
      LOCKKEEPER_METRICS_PORT: '0',
      LOCKKEEPER_TLS_CERT_FILE: tls.certFile,
      LOCKKEEPER_TLS_KEY_FILE: tls.keyFile,
      LOCKKEEPER_DRIVERS: 'secrets,configmaps',
      LOCKKEEPER_HOLD_SECONDS: String(options.holdSeconds),
      LOCKKEEPER_RETRY_AFTER_SECONDS: String(options.retryAfterSeconds),
      LOCKKEEPER_LOG_LEVEL: 'debug',
    },
    onOutput: log.write,
    // Ctrl-C on the demo's terminal is the demo's business, which then ends Lockkeeper in order.
    ownGroup: true,
  });
  const { port } = await Promise.race([log.line('listening'), failed(lockkeeper)]);
  await log.line('listed');
  const url = `https://127.0.0.1:${port}`;
  const webhook = gateWebhook({ url, caCertificate: tls.caCertificate });
  const token = await cluster.token(runner);
  const client = connect({ url, caCertificate: tls.caCertificate, token });

  return {
    cluster,
    admin,
    helm,
    log,
    lockkeeperEnded: lockkeeper.done.then(({ code }) => code),
    rest: createRest({ client, url, caFile: join(tlsFolder, 'ca.crt'), token, namespace: NAMESPACE }),
    run(user, args, program = 'helm') {
      const env = helmEnvironment({ folder: cluster.folder, kubeconfig: kubeconfigs[user] });
      const started = start(helm[program], args, { env });
      running.add(started);
      void started.done.finally(() => running.delete(started));
      return started;
    },
    kubeconfig: async (user) => kubeconfigs[user],
    installWebhook: async () => {
      await admin.create(GATE_WEBHOOKS_PATH, webhook);
    },
    removeWebhook: () => admin.remove(`${GATE_WEBHOOKS_PATH}/${webhook.metadata.name}`),
    async stop() {
      for (const program of running) program.kill('SIGKILL');
      await Promise.all([...running].map(({ done }) => done));
      client.close();
      lockkeeper.kill('SIGTERM');
      const { code } = await lockkeeper.done;
      await cluster.stop();
      return code;
    },
  };
}

/** A pod of the pipeline, and the user that its token stands for. */
async function startRunner(admin: ApiClient): Promise<User> {
  const { metadata } = await admin.create(PODS_PATH, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: RUNNER_POD },
    spec: { containers: [{ name: 'helm', image: 'helm' }] },
  });
  return {
    username: 'system:serviceaccount:ci:runner',
    extra: {
      'authentication.kubernetes.io/pod-name': [RUNNER_POD],
      'authentication.kubernetes.io/pod-uid': [metadata.uid],
    },
  };
}

async function failed(program: RunningProgram): Promise<never> {
  const { code, stderr } = await program.done;
  throw new Error(`Lockkeeper ended with ${code}: ${stderr}`);
}
