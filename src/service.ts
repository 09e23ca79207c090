/** The parts put together: the cluster's changes flow in by the watches, its reviews by HTTPS. */
import type { AddressInfo } from 'node:net';
import type { KubeConfig } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import type { Clock } from './clock.ts';
import type { Config } from './config.ts';
import { createGate } from './gate/hold.ts';
import { buildApp, buildProbes } from './http/app.ts';
import { createKubernetesClient } from './kubernetes/client.ts';
import { connect } from './kubernetes/connection.ts';
import { startListWatch } from './kubernetes/watch.ts';
import { followPending } from './locks/follow.ts';
import { createHolders } from './locks/holders.ts';
import { createRevisionReader } from './locks/newest-revision.ts';
import { createRegistry } from './locks/registry.ts';
import type { KeyPair } from './tls/issue.ts';

export interface ServiceOptions {
  readonly config: Config;
  readonly tls: KeyPair;
  readonly kubeConfig: KubeConfig;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
}

export interface Service {
  /** The port of the HTTPS listener. */
  readonly port: number;
  /** The port of the plain HTTP listener; undefined when it is off. */
  readonly metricsPort: number | undefined;
  /** Answers every held call, then every other, then lets go of the cluster. */
  close(): Promise<void>;
}

/**
 * Listens and watches. Resolves before the first list was applied; `/readyz` tells when it was.
 * @throws when a port is taken, or the kubeconfig names no cluster
 */
export async function startService(options: ServiceOptions): Promise<Service> {
  const { config, tls, kubeConfig, clock, random, log } = options;
  const { drivers } = config;
  const connection = await connect(kubeConfig, clock.now);
  const client = createKubernetesClient(connection);

  const registry = createRegistry((uid) => holders.appeared(uid));
  const holders = createHolders((uid) => registry.hasRecord(uid), clock.now);
  const reader = createRevisionReader(client);
  const gate = createGate({ drivers, reader, watched: registry, holders, limits: config, clock, log });

  let closing = false;
  const readiness = {
    reasons: () => [
      ...(closing ? ['shutting down'] : []),
      ...(registry.isComplete(drivers) ? [] : ['the pending releases have not been listed yet']),
    ],
  };
  const app = buildApp({ tls, gate, readiness, log });
  const probes = buildProbes({ readiness, log });

  const { host, port, metricsPort } = config;
  await app.listen({ host, port });
  if (metricsPort !== 0) await probes.listen({ host, port: metricsPort });
  const watches = drivers.map((driver) =>
    startListWatch({ client, ...followPending(driver, registry), clock, random, log }),
  );

  const addresses = {
    port: portOf(app.server.address()),
    metricsPort: metricsPort === 0 ? undefined : portOf(probes.server.address()),
  };
  log.info({ host, ...addresses }, 'listening');
  return {
    ...addresses,
    async close() {
      closing = true;
      await app.close();
      await probes.close();
      await Promise.all(watches.map((watch) => watch.stop()));
      await connection.close();
    },
  };
}

function portOf(address: AddressInfo | string | null): number {
  return (address as AddressInfo).port;
}
