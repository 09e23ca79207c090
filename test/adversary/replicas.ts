/** Replicas of Lockkeeper behind one address, each with a lane of its own to the API server; they manage their own certificates. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Test } from 'tap';
import type { ControlPlane } from '../clusters/control-plane/cluster.ts';
import { writeKubeconfig } from '../clusters/kubeconfig.ts';
import { type Balancer, startBalancer } from '../support/balancer.ts';
import { freePort } from '../support/free-port.ts';
import { LOCKKEEPER } from '../support/lockkeeper.ts';
import { type Replica, startReplica } from '../support/replica.ts';
import { DEATH_GRACE_MS, STALE_AFTER_MS, STALE_AFTER_RUNNING_MS } from './judgement.ts';
import { type Lane, startLane } from './lane.ts';

export interface Place {
  readonly lane: Lane;
  readonly port: number;
  /** Undefined while it is down. */
  replica: Replica | undefined;
}

export interface Replicas {
  readonly balancer: Balancer;
  readonly places: readonly Place[];
  /** Starts it again after a while, on a machine whose clock is wrong by so much. Resolves when it gets calls. */
  revive(place: Place, afterMs: number, skewMs: number): Promise<void>;
}

const SKEWED_CLOCK = new URL('skewed-clock.ts', import.meta.url).href;

/** An hour is enough for certificates of machines whose clocks are wrong by minutes: a tenth of it lies in the past. */
const ENVIRONMENT = {
  LOCKKEEPER_DRIVERS: 'secrets,configmaps',
  LOCKKEEPER_HOLD_SECONDS: '2',
  LOCKKEEPER_RETRY_AFTER_SECONDS: '1',
  LOCKKEEPER_MAX_WAIT_SECONDS: '8',
  LOCKKEEPER_DRAIN_SECONDS: '2',
  LOCKKEEPER_STALE_AFTER_SECONDS: String(STALE_AFTER_MS / 1000),
  LOCKKEEPER_STALE_AFTER_RUNNING_SECONDS: String(STALE_AFTER_RUNNING_MS / 1000),
  LOCKKEEPER_DEATH_GRACE_SECONDS: String(DEATH_GRACE_MS / 1000),
  LOCKKEEPER_TLS_CERT_FILE: '',
  LOCKKEEPER_TLS_KEY_FILE: '',
  LOCKKEEPER_TLS_CERT_SECONDS: '3600',
  LOCKKEEPER_TLS_AUTHORITY_SECONDS: '3600',
  LOCKKEEPER_WEBHOOK_CONFIGURATION: 'lockkeeper',
  LOCKKEEPER_ADMISSION_PATH: '/admission',
};

/** @param modules that each replica loads before anything else */
export async function startReplicas(
  t: Test,
  cluster: ControlPlane,
  count: number,
  modules: readonly string[],
): Promise<Replicas> {
  const balancer = await startBalancer(t, { dead: 'next' });
  const token = await cluster.token(LOCKKEEPER);

  async function start({ lane, port }: Place, skewMs: number): Promise<Replica> {
    const content = { ...lane, token, user: LOCKKEEPER, namespace: undefined };
    const imports = [SKEWED_CLOCK, ...modules].map((module) => `--import=${module}`);
    return startReplica(t, cluster, {
      ...ENVIRONMENT,
      LOCKKEEPER_PORT: String(port),
      KUBECONFIG: await writeKubeconfig(cluster.folder, content),
      NODE_OPTIONS: imports.join(' '),
      ADVERSARY_SKEW_MS: String(skewMs),
    });
  }

  const places = await Promise.all(
    Array.from({ length: count }, async (): Promise<Place> => {
      const place = { lane: await startLane(t, cluster), port: await freePort(), replica: undefined };
      return Object.assign(place, { replica: await start(place, 0) });
    }),
  );
  await Promise.all(places.map(({ port }) => balancer.add(port)));
  return {
    balancer,
    places,
    async revive(place, afterMs, skewMs) {
      await delay(afterMs);
      place.replica = await start(place, skewMs);
      await balancer.knows(place.port);
    },
  };
}
