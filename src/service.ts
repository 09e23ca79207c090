/** The parts put together: the cluster's changes flow in by the watches, its reviews by HTTPS. */
import type { AddressInfo } from 'node:net';
import type { KubeConfig } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import type { Clock } from './clock.ts';
import type { Config } from './config.ts';
import { createHandlers } from './gate/handlers.ts';
import type { Lock } from './gate/lock.ts';
import { createIsOurs } from './gate/ourselves.ts';
import { jobPodOf } from './gate/pod-kind.ts';
import { judge } from './gate/verdict.ts';
import { readStatus } from './helm/record.ts';
import { buildApp, buildPlainApp } from './http/app.ts';
import type { Locks } from './http/locks.ts';
import { createMetrics } from './http/metrics.ts';
import { serveWith } from './http/tls.ts';
import { createKubernetesClient } from './kubernetes/client.ts';
import { connect } from './kubernetes/connection.ts';
import { createEventRecorder } from './kubernetes/events.ts';
import { createNamespaceReader } from './kubernetes/namespaces.ts';
import { createPayloadStatusReader } from './kubernetes/payload-status.ts';
import { createPodMetadataReader } from './kubernetes/pod-metadata.ts';
import { createPodReader } from './kubernetes/pods.ts';
import { createRecordStore } from './kubernetes/records.ts';
import { createAnnotationsReader, createReleaseLockStore } from './kubernetes/release-locks.ts';
import { createRequests, type RequestPool } from './kubernetes/requests.ts';
import { createReviews } from './kubernetes/reviews.ts';
import { startListWatch } from './kubernetes/watch.ts';
import { createAutoClear } from './locks/auto-clear.ts';
import { createClearer } from './locks/clear.ts';
import { createCurrentLocks } from './locks/current.ts';
import { createDeaths } from './locks/deaths.ts';
import { createPodDescriber } from './locks/describe-pod.ts';
import { createLockFinder, readNewest, readNewestInParts } from './locks/find.ts';
import { followPending } from './locks/follow.ts';
import { createHolders } from './locks/holders.ts';
import { keepLedger } from './locks/ledger.ts';
import { alsoOnReleaseLocks } from './locks/lock-events.ts';
import { createRevisionReader } from './locks/newest-revision.ts';
import { createOneAtATime } from './locks/one-at-a-time.ts';
import { createRecordedReader } from './locks/read-recorded.ts';
import { createRecordedLocks } from './locks/recorded.ts';
import { createRegistry } from './locks/registry.ts';
import { createSilence } from './locks/silence.ts';
import { startStaleEvents } from './locks/stale-events.ts';
import { createStoryteller } from './locks/storyteller.ts';
import { startSweep } from './locks/sweep.ts';
import { createWaits } from './locks/wait.ts';
import type { CertificateSource } from './tls/source.ts';
import { createUpkeep } from './upkeep.ts';

export interface ServiceOptions {
  readonly config: Config;
  /** Unlike that of any other replica. */
  readonly replica: string;
  /** PEM of who signs the client certificates that reviews must come with, as the configured file has it at the start. */
  readonly clientCa?: string | undefined;
  /** Where the serving certificate comes from; undefined is an authority in the cluster, as the configuration says. */
  readonly certificates: CertificateSource | undefined;
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
  /**
   * Is not ready from now on, and answers every held call and every wait; then goes on answering for `drainSeconds`,
   * because it takes a while until nobody is sent here any more; then answers the last calls, and lets go of the cluster.
   */
  close(): Promise<void>;
  /** Ends the drain, now or as soon as it begins. */
  hurry(): void;
}

/** However fast locks come and go, whoever looks at all of them does so ten times a second at most. */
const REST_MS = 100;

/** And less often the more there are: a look at one takes some hundredths of a millisecond, in each of five places. */
const REST_MS_A_LOCK = 1;

const NOT_LISTED = 'the pending releases have not been listed yet';

/**
 * Listens and watches. Resolves before the first list was applied; `/readyz` tells when it was.
 * @throws when a port is taken, or the kubeconfig names no cluster
 */
export async function startService(options: ServiceOptions): Promise<Service> {
  const { config, replica, kubeConfig, clock, random, log } = options;
  const { drivers } = config;
  const connection = connect(kubeConfig, { clock });
  const { date } = connection;
  const registry = createRegistry({
    onAppeared: (revision) => holders.appeared(revision),
    onChange: () => {
      current.wake();
      wake();
    },
  });
  const recorded = createRecordedLocks((key) => {
    wake(key);
    storyteller.wake();
  });
  const holders = createHolders({
    recordOf: recorded.recordOf,
    describePod: (pod) => describePod(pod),
    onDescribed: () => wake(),
    silentSince: createSilence({ now: clock.now, earliestDate: connection.earliestDate }),
    deathOf: (pod) => deaths.of(pod),
    now: clock.now,
  });
  const restMs = () => REST_MS + registry.newestPending().length * REST_MS_A_LOCK;
  /** Locks have changed, or what is known of them. */
  function wake(entry?: string): void {
    for (const part of [deaths, sweep, staleEvents]) part.wake();
    ledger.wake(entry);
  }

  const judgeNow = (lock: Lock) => judge(lock, config, clock.now());
  const oneAtATime = createOneAtATime();

  /** The watch says where locks may be, once it has said so at all. */
  function suspects() {
    if (!registry.isComplete(drivers)) throw new Error(NOT_LISTED);
    return registry.suspects();
  }

  /** What finds and clears locks, over connections of its own. */
  function connectTo(pool: RequestPool) {
    const requests = createRequests({ connection, pool });
    const client = createKubernetesClient(requests);
    const reader = createRevisionReader(client);
    const records = createRecordStore(requests);
    const statusInPayload = createPayloadStatusReader(records);
    const finder = createLockFinder({ drivers, reader, suspects, holders, statusInPayload });
    const clearer = createClearer({
      finder: { find: finder.findInPayload },
      reader,
      records,
      events: alsoOnReleaseLocks(createEventRecorder(requests, date), recorded.subjectFor),
      oneAtATime,
      judgeLock: judgeNow,
      confirmDeath: (pod, signal) => deaths.confirm(pod, signal),
      now: date,
      log,
      onCleared: (request) => metrics.cleared(request),
    });
    return { client, requests, reader, finder, clearer, reviews: createReviews(requests) };
  }
  // A deploy never waits behind a person's question.
  const forDeploys = connectTo('requests');
  const forPeople = connectTo('errands');
  const describePod = createPodDescriber({
    reader: createPodMetadataReader(forPeople.client),
    except: config.autoClearExcept,
    log,
  });
  const waits = createWaits({ drivers, finder: forPeople.finder, watched: registry, clock });

  const current = createCurrentLocks({
    drivers,
    registry,
    holders,
    readNewest: (releases, signal) => readNewestInParts(forPeople.reader, releases, signal),
    onChange: () => wake(),
    onError: (error) => log.warn({ reason: String(error) }, 'it could not be read which locks there are'),
    restMs,
    clock,
    random,
  });
  const deaths = createDeaths({
    pods: () => current.locks().flatMap(({ holder }) => jobPodOf(holder) ?? []),
    reader: createPodReader(forPeople.requests),
    client: forPeople.client,
    onDeath: () => wake(),
    restMs,
    clock,
    random,
    log,
  });
  const autoClearIn = createAutoClear({
    fallback: config.autoClear,
    readAnnotations: createNamespaceReader(forPeople.requests),
    now: clock.now,
    log,
  });
  const sweep = startSweep({
    locks: current.locks,
    judge: judgeNow,
    autoClearIn,
    clearer: forPeople.clearer,
    restMs,
    clock,
    random,
    log,
  });

  const isReady = () => readiness.reasons().length === 0;
  const metrics = createMetrics({
    isReady,
    heldNow: () => handlers.held(),
    verdicts: async () => {
      if (!current.isComplete()) throw new Error(NOT_LISTED);
      return current.locks().map((lock) => judgeNow(lock).verdict);
    },
    certificates: () => upkeep.expiries(),
    lastEvents: () => watches.map(({ resource, lastEventAt }) => ({ resource, at: lastEventAt() })),
  });
  const events = createEventRecorder(forPeople.requests, date);
  const storyteller = createStoryteller({ events, subjectFor: recorded.subjectFor, now: clock.now, log });
  const staleEvents = startStaleEvents({
    locks: current.locks,
    judge: judgeNow,
    subjectFor: recorded.subjectFor,
    events,
    restMs,
    clock,
    random,
    log,
  });
  const releaseLocks = createReleaseLockStore(forPeople.requests);
  const handlers = createHandlers({
    drivers,
    reader: forDeploys.reader,
    watched: registry,
    holders,
    clearer: forDeploys.clearer,
    judge: judgeNow,
    isOurs: createIsOurs({ whoAmI: forDeploys.reviews.whoAmI, log }),
    limits: config,
    policy: config,
    autoClearIn,
    releaseLocks: {
      find: forPeople.finder.find,
      clearer: forPeople.clearer,
      may: forPeople.reviews.may,
      annotationsOf: createAnnotationsReader(releaseLocks),
    },
    readStatus,
    isListed: (record) => recorded.recordOf(record) !== undefined,
    readRecorded: createRecordedReader({
      store: createReleaseLockStore(forDeploys.requests),
      recorded,
      log,
    }),
    clock,
    date,
    log,
    onLeave: metrics.held,
    onEnded: metrics.ended,
    onStory: storyteller.tell,
  });
  const locks: Locks = {
    list: forPeople.finder.list,
    find: forPeople.finder.findInPayload,
    wait: waits.wait,
    clear: forPeople.clearer.clear,
    judge: judgeNow,
    waits: waits.count,
    waiting: ({ revision: { release } }) => handlers.waiting(release) + waits.waitingFor(release),
  };

  const ledger = keepLedger({
    replica,
    current,
    recorded,
    store: releaseLocks,
    holders,
    readNewest: (releases, signal) => readNewest(forPeople.reader, releases, signal),
    judge: judgeNow,
    waiting: locks.waiting,
    limits: config,
    restMs,
    clock,
    date,
    random,
    log,
  });

  let closing = false;
  const readiness = {
    reasons: () => [
      ...(closing ? ['shutting down'] : []),
      ...(registry.isComplete(drivers) ? [] : [NOT_LISTED]),
      ...upkeep.reasons(),
    ],
    notes: () => upkeep.notes(),
  };
  const upkeep = createUpkeep({
    config,
    source: options.certificates,
    clientCa: options.clientCa,
    // An errand: a deploy does not wait behind it.
    requests: forPeople.requests,
    client: forPeople.client,
    isReady,
    clock,
    random,
    log,
  });
  const app = buildApp({
    admission: handlers.admission,
    admissionPaths: upkeep.admissionPaths,
    demandsClientCertificate: options.clientCa !== undefined,
    rest: { locks, reviews: forPeople.reviews, clock },
    readiness,
    metrics,
    log,
    maxHeld: config.maxHeld,
    onClose: drain,
  });
  const plain = buildPlainApp({ readiness, metrics, log });

  const watches = drivers.map((driver) =>
    startListWatch({ client: forDeploys.client, ...followPending(driver, registry), clock, random, log }),
  );

  const watchOfEntries = startListWatch({ client: releaseLocks, ...recorded.follow, clock, random, log });

  let drainMs = config.drainSeconds * 1000;
  const drained = Promise.withResolvers<void>();

  async function drain(): Promise<void> {
    handlers.close(drainMs);
    waits.close();
    if (drainMs === 0) return;
    log.info({ seconds: drainMs / 1000 }, 'not ready any more, still answering');
    const cancel = clock.after(drainMs, drained.resolve);
    await drained.promise.finally(cancel);
  }

  function hurry(): void {
    drainMs = 0;
    drained.resolve();
  }

  async function close(): Promise<void> {
    closing = true;
    const kept = Promise.all([upkeep, deaths, sweep, staleEvents].map((part) => part.stop()));
    await app.close();
    await plain.close();
    await Promise.all([
      kept,
      ...[...watches, watchOfEntries, ledger, current, storyteller].map((part) => part.stop()),
    ]);
    await connection.close();
  }

  const { host, port, metricsPort } = config;
  try {
    upkeep.start((tls) => serveWith(app, tls));
    await app.listen({ host, port });
    if (metricsPort !== 0) await plain.listen({ host, port: metricsPort });
  } catch (error) {
    hurry();
    await close();
    throw error;
  }
  const ports = {
    port: portOf(app.server.address()),
    metricsPort: metricsPort === 0 ? undefined : portOf(plain.server.address()),
  };
  log.info({ host, ...ports }, 'listening');
  return { ...ports, close, hurry };
}

function portOf(address: AddressInfo | string | null): number {
  return (address as AddressInfo).port;
}
