/** A Lockkeeper of its own process that is flooded, and what it says of itself meanwhile. */
import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import type { Test } from 'tap';
import { Agent } from 'undici';
import { type EmbeddedCluster, startEmbeddedCluster } from '../clusters/embedded/cluster.ts';
import { deployReview } from '../fixtures/reviews.ts';
import { freePort } from '../support/free-port.ts';
import { record } from '../support/records.ts';
import { type ReplicaOptions, startReplica } from '../support/replica.ts';
import { serving } from '../support/serving.ts';

export interface Flooded {
  readonly cluster: EmbeddedCluster;
  readonly url: string;
  /** A connection from the address of the flood. */
  connected(): Promise<TLSSocket>;
  /** Milliseconds that an uncontended deploy took, which came from another address. @throws if it was not allowed */
  deploy(): Promise<number>;
  /** @throws if it is not alive, ready and measured, each on the port that probes and scrapers ask */
  healthy(): Promise<Health>;
}

export interface Health {
  /** Until `/readyz` was answered. */
  readonly readyMs: number;
  readonly residentMiB: number;
  readonly openFiles: number;
  readonly held: number;
}

/** The addresses of the flood, and of whoever else is there. */
const FLOOD = '127.0.1.1';
const OTHERS = '127.0.1.2';

const MIB = 2 ** 20;

export async function floodedReplica(
  t: Test,
  environment: Readonly<Record<string, string>> = {},
  options: ReplicaOptions = {},
): Promise<Flooded> {
  const cluster = await startEmbeddedCluster();
  t.teardown(() => cluster.stop());
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  // What everybody of the flood waits for.
  cluster.seed([record('api', 6, 'pending-upgrade')]);
  const metricsPort = await freePort();
  const settings = {
    LOCKKEEPER_METRICS_PORT: String(metricsPort),
    LOCKKEEPER_LOG_LEVEL: 'info',
    ...environment,
  };
  const { port } = await startReplica(t, cluster, settings, options);
  const url = `https://127.0.0.1:${port}`;
  const { caCertificate: ca } = serving;
  const others = new Agent({ connect: { ca, localAddress: OTHERS, timeout: 60_000 } });
  t.teardown(() => others.destroy());
  let deploys = 0;

  async function ask(path: string): Promise<string> {
    const response = await fetch(`http://127.0.0.1:${metricsPort}${path}`);
    const text = await response.text();
    if (response.status !== 200) throw new Error(`${path}: ${response.status} ${text}`);
    return text;
  }

  return {
    cluster,
    url,
    async connected() {
      const options = { port, host: '127.0.0.1', ca, localAddress: FLOOD };
      const socket = connect(options);
      // Who is cut off was cut off: that is what the others look at.
      socket.on('error', () => {});
      t.teardown(() => socket.destroy());
      await Promise.race([
        once(socket, 'secureConnect'),
        new Promise((resolve) => socket.once('close', resolve)),
      ]);
      return socket.resume();
    },
    async deploy() {
      const began = performance.now();
      deploys += 1;
      const response = await others.request({
        origin: url,
        path: '/admission?timeout=10s',
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(deployReview({ release: `free-${deploys}`, revision: 1 })),
      });
      const text = await response.body.text();
      if (!text.includes('"allowed":true'))
        throw new Error(`a deploy was answered ${response.statusCode}: ${text}`);
      return performance.now() - began;
    },
    async healthy() {
      const began = performance.now();
      await ask('/readyz');
      const readyMs = performance.now() - began;
      await ask('/livez');
      const metrics = await ask('/metrics');
      const value = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(metrics)?.[1]);
      return {
        readyMs,
        residentMiB: value('process_resident_memory_bytes') / MIB,
        openFiles: value('process_open_fds'),
        held: value('lockkeeper_held_requests'),
      };
    },
  };
}
