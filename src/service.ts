/** The parts put together: the cluster's changes flow in by the watches, its reviews by HTTPS. */
import type { AddressInfo } from 'node:net';
import type { KubeConfig } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import type { Clock } from './clock.ts';
import type { Config } from './config.ts';
import { createGate } from './gate/hold.ts';
import { buildApp, buildPlainApp } from './http/app.ts';
import { createMetrics } from './http/metrics.ts';
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
  const connection = connect(kubeConfig, { now: clock.now });
  const client = createKubernetesClient({ connection });

  const registry = createRegistry((uid) => holders.appeared(uid));
  const holders = createHolders((uid) => registry.hasRecord(uid), clock.now);
  const reader = createRevisionReader(client);
  const metrics = createMetrics({
    heldNow: () => gate.held(),
    lastEvents: () => watches.map(({ resource, lastEventAt }) => ({ resource, at: lastEventAt() })),
  });
  const gate = createGate({
    drivers,
    reader,
    watched: registry,
    holders,
    limits: config,
    clock,
    log,
    onLeave: metrics.held,
  });

  let closing = false;
  const readiness = {
    reasons: () => [
      ...(closing ? ['shutting down'] : []),
      ...(registry.isComplete(drivers) ? [] : ['the pending releases have not been listed yet']),
    ],
  };
  const app = buildApp({ tls, gate, readiness, metrics, log });
  const plain = buildPlainApp({ readiness, metrics, log });

  const watches = drivers.map((driver) =>
    startListWatch({ client, ...followPending(driver, registry), clock, random, log }),
  );

  async function close(): Promise<void> {
    closing = true;
    await app.close();
    await plain.close();
    await Promise.all(watches.map((watch) => watch.stop()));
    await connection.close();
  }

  const { host, port, metricsPort } = config;
  try {
    await app.listen({ host, port });
    if (metricsPort !== 0) await plain.listen({ host, port: metricsPort });
  } catch (error) {
    await close();
    throw error;
  }
  const ports = {
    port: portOf(app.server.address()),
    metricsPort: metricsPort === 0 ? undefined : portOf(plain.server.address()),
  };
  log.info({ host, ...ports }, 'listening');
  return { ...ports, close };
}

function portOf(address: AddressInfo | string | null): number {
  return (address as AddressInfo).port;
}
