/** Lockkeeper in this process, on a cluster, called by it over HTTPS as in life. */
import { randomUUID } from 'node:crypto';
import { KubeConfig } from '@kubernetes/client-node';
import type { Test } from 'tap';
import { systemClock } from '../../src/clock.ts';
import { type Config, readConfig } from '../../src/config.ts';
import { type Service, startService } from '../../src/service.ts';
import { OPEN_PATH } from '../../src/webhook/client-config.ts';
import type { Cluster, User } from '../clusters/cluster.ts';
import {
  type EmbeddedCluster,
  type EmbeddedClusterOptions,
  startEmbeddedCluster,
} from '../clusters/embedded/cluster.ts';
import { REAL } from '../clusters/start.ts';
import { GATE_WEBHOOKS_PATH, type GateWebhookOptions, gateWebhook } from './gate-webhook.ts';
import { type TestLog, testLog } from './log.ts';
import { apply, defineReleaseLocks, readRights } from './manifests.ts';
import { fixedCertificate, serving } from './serving.ts';

/** Whom the manifests make Lockkeeper. */
export const LOCKKEEPER: User = { username: 'system:serviceaccount:lockkeeper:lockkeeper' };

export interface LockkeeperOptions
  extends Partial<Pick<GateWebhookOptions, 'timeoutSeconds' | 'failurePolicy'>> {
  readonly config?: Partial<Config>;
  readonly cluster?: EmbeddedClusterOptions;
}

export interface Lockkeeper<AnyCluster extends Cluster = EmbeddedCluster> {
  readonly cluster: AnyCluster;
  readonly service: Service;
  readonly url: string;
  /** PEM of the authority that signed the service's certificate. */
  readonly caCertificate: string;
  readonly logs: TestLog;
  /** Has the cluster ask Lockkeeper, and no more. */
  installWebhook(): Promise<void>;
  removeWebhook(): Promise<void>;
}

/** Starts both, has the cluster ask Lockkeeper, and ends both with the test. */
export async function startLockkeeper(t: Test, options: LockkeeperOptions = {}): Promise<Lockkeeper> {
  const cluster = await startEmbeddedCluster(options.cluster);
  t.teardown(() => cluster.stop());
  const { service, logs, ready } = await startServiceOn(t, cluster, options.config);
  const { caCertificate } = serving;
  await ready();
  const url = `https://127.0.0.1:${service.port}`;

  const admin = await cluster.client();
  const lockkeeper = {
    cluster,
    service,
    url,
    caCertificate,
    logs,
    installWebhook: async () => {
      await admin.create(GATE_WEBHOOKS_PATH, gateWebhook({ url, caCertificate, ...options }));
    },
    removeWebhook: () => admin.remove(`${GATE_WEBHOOKS_PATH}/lockkeeper`),
  };
  await admin.createNamespace('prod');
  await lockkeeper.installWebhook();
  return lockkeeper;
}

/**
 * The service alone, on a cluster that runs already. On a real one it has the rights of the manifest; the embedded
 * one knows no rights.
 */
export async function startServiceOn(t: Test, cluster: Cluster, changes: Partial<Config> = {}) {
  if (REAL) await grantRights(cluster);
  const logs = testLog();
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromFile(await cluster.kubeconfig({ user: LOCKKEEPER }));
  const defaults = readConfig({});
  const config: Config = {
    ...defaults,
    host: '127.0.0.1',
    port: 0,
    metricsPort: 0,
    drivers: ['secrets', 'configmaps'],
    webhookConfiguration: undefined,
    // Where the tests' own configuration sends reviews.
    admission: { ...defaults.admission, path: OPEN_PATH },
    // Nobody is sent to it any more when a test ends it.
    drainSeconds: 0,
    ...changes,
  };
  const hasFiles = config.webhookConfiguration === undefined || config.tlsFiles !== undefined;
  const service = await startService({
    config,
    replica: randomUUID(),
    certificates: hasFiles ? fixedCertificate(serving.pair) : undefined,
    kubeConfig,
    clock: systemClock,
    random: Math.random,
    log: logs.log,
  });
  t.teardown(() => service.close());
  return {
    service,
    logs,
    /** Resolves when it knows the pending releases, and so is ready. */
    ready: () =>
      Promise.all(config.drivers.map((driver) => logs.line('listed', ({ resource }) => resource === driver))),
  };
}

/** What the manifest grants to Lockkeeper, its namespace, and the ReleaseLocks that it makes. */
export async function grantRights(cluster: Cluster): Promise<void> {
  const admin = await cluster.client();
  await admin.createNamespace('lockkeeper');
  await apply(admin, await readRights());
  await defineReleaseLocks(admin);
}
