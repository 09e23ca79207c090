/** Clearing on the embedded cluster: the real parts, releases to clear, and ways to meddle while it is done. */
import { gunzipSync, gzipSync } from 'node:zlib';
import { KubeConfig } from '@kubernetes/client-node';
import type { Test } from 'tap';
import { systemClock } from '../../src/clock.ts';
import type { ClearOutcome, ClearRequest } from '../../src/gate/clearing.ts';
import type { Death, Holder } from '../../src/gate/lock.ts';
import { judge } from '../../src/gate/verdict.ts';
import { DRIVERS, type Driver, recordName } from '../../src/helm/release.ts';
import { createKubernetesClient } from '../../src/kubernetes/client.ts';
import { type Connection, connect } from '../../src/kubernetes/connection.ts';
import { createEventRecorder } from '../../src/kubernetes/events.ts';
import { createRecordStore } from '../../src/kubernetes/records.ts';
import { createRequests } from '../../src/kubernetes/requests.ts';
import { createClearer } from '../../src/locks/clear.ts';
import { createLockFinder } from '../../src/locks/find.ts';
import { createRevisionReader } from '../../src/locks/newest-revision.ts';
import { createOneAtATime } from '../../src/locks/one-at-a-time.ts';
import type { ApiClient } from '../clusters/client.ts';
import {
  type EmbeddedCluster,
  type EmbeddedClusterOptions,
  startEmbeddedCluster,
} from '../clusters/embedded/cluster.ts';
import type { Fault, SeenRequest } from '../clusters/embedded/faults.ts';
import type { KubernetesObject, StoredObject } from '../clusters/kubernetes-object.ts';
import { limits } from './limits.ts';
import { type TestLog, testLog } from './log.ts';
import { record } from './records.ts';

export const never = new AbortController().signal;

export const MINUTE = 60_000;

/** After this, a lock is stale for the clearer that is made here. */
export const STALE_AFTER_SECONDS = 900;

/** What a promise rejects with. */
export function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => ({ resolved: value }),
    (error: unknown) => error,
  );
}

/** What Lockkeeper asks of the API server; `list` and `read` are GETs. */
export type Step = 'list' | 'read' | 'PUT' | 'DELETE' | 'POST';

function stepOf({ method, path }: SeenRequest): string {
  if (method !== 'GET') return method;
  return /\/(?:secrets|configmaps)$/.test(path) ? 'list' : 'read';
}

export interface Meddling {
  readonly cluster: EmbeddedCluster;
  readonly admin: ApiClient;
  /** A connection to the cluster as Lockkeeper makes it. */
  readonly connection: Connection;
  /** What happens to Lockkeeper's requests of this kind from now on. Returns the function that ends it. */
  on(step: Step, fault: () => Fault | undefined): () => void;
  /** The same for the next one only. */
  once(step: Step, fault: () => Fault): void;
  /** Has this end before the next such request is served. */
  before(step: Step, action: () => Promise<unknown>): void;
  /** How many such requests were made since the last `traffic.reset()`, by verb: get, list, update, delete, … */
  count(verb: string): number;
}

/** A cluster with the namespace `prod`, and Lockkeeper's connection to it. */
export async function startMeddling(t: Test, options?: EmbeddedClusterOptions): Promise<Meddling> {
  const cluster = await startEmbeddedCluster(options);
  t.teardown(() => cluster.stop());
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromFile(await cluster.kubeconfig({ user: { username: 'lockkeeper' } }));
  const connection = connect(kubeConfig, { clock: systemClock });
  t.teardown(() => connection.close());

  function on(step: Step, fault: () => Fault | undefined) {
    return cluster.faults.failRequests((request) =>
      request.userAgent === 'lockkeeper' && stepOf(request) === step ? fault() : undefined,
    );
  }

  function once(step: Step, fault: () => Fault) {
    const end = on(step, () => {
      end();
      return fault();
    });
  }

  return {
    cluster,
    admin,
    connection,
    on,
    once,
    before: (step, action) => once(step, () => ({ until: action() })),
    count: (verb) =>
      cluster.traffic.countRequests((request) => request.userAgent === 'lockkeeper' && request.verb === verb),
  };
}

export interface Clearing extends Meddling {
  readonly logs: TestLog;
  /** What onCleared was told. */
  readonly cleared: ClearRequest[];
  readonly holders: Map<string, Holder>;
  /** Of pods that have ended, by uid. */
  readonly deaths: Map<string, Death>;
  /** Uids of pods that are there again. */
  readonly revived: Set<string>;
  /** Clears `prod/api` by mark-failed, for alice, unless said otherwise. */
  clear(request?: Partial<ClearRequest>, signal?: AbortSignal): Promise<ClearOutcome>;
  /** The Events of the namespace `prod`. */
  events(): Promise<readonly StoredObject[]>;
}

export async function startClearing(
  t: Test,
  { drivers = DRIVERS, ...options }: EmbeddedClusterOptions & { drivers?: readonly Driver[] } = {},
): Promise<Clearing> {
  const meddling = await startMeddling(t, options);
  const { connection, admin } = meddling;
  const requests = createRequests({ connection, pool: 'errands' });
  const reader = createRevisionReader(createKubernetesClient(requests));
  const holders = new Map<string, Holder>();
  const deaths = new Map<string, Death>();
  /** Uids of pods that are there again. */
  const revived = new Set<string>();
  const logs = testLog();
  const cleared: ClearRequest[] = [];
  const clearer = createClearer({
    finder: createLockFinder({
      drivers,
      reader,
      suspects: () => [],
      holders: {
        lockOf(revision) {
          const holder = holders.get(revision.uid);
          const death = deaths.get(holder?.pod?.uid ?? '');
          return { revision, holder, ...(death && { death }) };
        },
      },
    }),
    reader,
    records: createRecordStore(requests),
    events: createEventRecorder(requests, connection.date),
    oneAtATime: createOneAtATime(),
    judgeLock: (lock) => judge(lock, limits(STALE_AFTER_SECONDS), connection.date()),
    confirmDeath: async ({ uid }) => !revived.has(uid),
    now: connection.date,
    log: logs.log,
    onCleared: (request) => cleared.push(request),
  });
  return {
    ...meddling,
    logs,
    cleared,
    holders,
    deaths,
    revived,
    clear: (request = {}, signal = never) => clearer.clear({ ...REQUEST, ...request }, signal),
    events: () => admin.list('/api/v1/namespaces/prod/events'),
  };
}

const REQUEST: ClearRequest = {
  target: { namespace: 'prod', name: 'api' },
  strategy: 'mark-failed',
  force: false,
  trigger: 'rest',
  by: 'alice',
};

/** A release as Helm codes it; with a number that JavaScript cannot hold, and spaces that JSON does not need. */
export function releaseJson(status: string, revision: number, description = 'Preparing upgrade'): string {
  return (
    `{"name":"api", "info":{"first_deployed":"2026-01-02T03:04:05.123456789+01:00","description":"${description}",` +
    `"status":"${status}" ,"notes":"\\u003cb\\u003e Grüße"},"chart":{"values":{"big":9007199254740993,"float":1.0}},` +
    `"config":{"password":"g€heim"},\n"manifest":"---\\n","version":${revision},"namespace":"prod"}`
  );
}

/** A record of `prod/api` as Helm stores it, payload and all. */
export function helmRecord(
  revision: number,
  status: string,
  { driver = 'secrets' as Driver, name = 'api', json = releaseJson(status, revision) } = {},
): KubernetesObject {
  return record(name, revision, status, { driver, payload: gzipSync(json).toString('base64') });
}

/** The JSON that a record holds: base64 (of base64, in a Secret) of gzip. */
export function jsonOf({ kind, data }: KubernetesObject): string {
  const { release } = data as { release: string };
  const helms = kind === 'Secret' ? Buffer.from(release, 'base64').toString() : release;
  return gunzipSync(Buffer.from(helms, 'base64')).toString();
}

export function pathOf(driver: Driver, revision?: number, name = 'api'): string {
  const collection = `/api/v1/namespaces/prod/${driver}`;
  return revision === undefined ? collection : `${collection}/${recordName(name, revision)}`;
}

/** Helm writes a record anew, as it does at the start of a hook and at the end: without a resourceVersion. */
export async function helmWrites(
  admin: ApiClient,
  revision: number,
  status: string,
  driver: Driver = 'secrets',
  description = 'Helm wrote this',
): Promise<StoredObject> {
  const json = releaseJson(status, revision, description);
  return admin.replace(pathOf(driver, revision), helmRecord(revision, status, { driver, json }));
}

/** Revision 5 is deployed, and 6 is pending since so many minutes. Returns the record of 6. */
export async function lockedRelease(
  { admin, cluster }: Pick<Meddling, 'admin' | 'cluster'>,
  { driver = 'secrets' as Driver, minutes = 60, change = (record: KubernetesObject) => record } = {},
): Promise<StoredObject> {
  await admin.create(pathOf(driver), helmRecord(5, 'deployed', { driver }));
  const locked = await admin.create(pathOf(driver), change(helmRecord(6, 'pending-upgrade', { driver })));
  cluster.clock.advance(minutes * MINUTE);
  return locked;
}
