/** The HTTP side, built from what it is given; it listens nowhere by itself. */
import type { ServerResponse } from 'node:http';
import fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import { type AdmissionOptions, useAdmission } from './admission.ts';
import { type AdmissionPaths, refuseStrangers } from './admission-path.ts';
import { type BodyLimits, limitBodies, memoryOf } from './bodies.ts';
import { trackConnections } from './connections.ts';
import { type Readiness, useHealth } from './health.ts';
import { type Metrics, useMetrics } from './metrics.ts';
import { refuseUnreadablePath, useProblems } from './problem.ts';
import { type RestOptions, rest } from './rest.ts';
import { BODY_LIMIT_BYTES } from './review-body.ts';
import { demandClientCertificates, secureContext, type Tls } from './tls.ts';

export interface AppOptions extends AdmissionOptions {
  /** Without one, no handshake succeeds until there is one. */
  readonly tls?: Tls;
  /** Where reviews come. */
  readonly admissionPaths: AdmissionPaths;
  /** Whether reviews must come with a client certificate. */
  readonly demandsClientCertificate?: boolean;
  readonly rest: RestOptions;
  /**
   * Called when closing begins: whoever waits is to be answered now. Until it resolves, everything goes on as before,
   * but each answer asks its caller to connect anew.
   */
  readonly onClose: () => Promise<void> | void;
  readonly readiness: Readiness;
  readonly metrics: Metrics;
  readonly log: FastifyBaseLogger;
  /** How many calls the gate may hold at once; each keeps a connection for as long. */
  readonly maxHeld: number;
  readonly limits?: Partial<AppLimits>;
}

export interface AppLimits extends BodyLimits {
  /** Open at once, besides those of the calls that may be held. */
  readonly maxConnections: number;
  /** How long somebody may take no byte of an answer. */
  readonly takeMs: number;
}

/**
 * What one replica can bear, all of it at once, with the memory that the chart gives it, 512 MiB (`npm run flood -- together`): 120
 * at rest; and a connection some 65 KB, of a held call 100. Three API servers that do nothing but wait for Lockkeeper have 1,800
 * connections, 600 each. A body of a webhook has 30 seconds, which is the longest `timeoutSeconds`.
 */
const LIMITS: AppLimits = {
  maxMemory: memoryOf(48 * 1024 * 1024),
  maxMemoryOfOne: memoryOf(32 * 1024 * 1024),
  unsaidBytes: BODY_LIMIT_BYTES,
  arrivalMs: 30_000,
  maxConnections: 2_000,
  takeMs: 30_000,
};

/** As long as Lockkeeper itself gives an API server is far more than it takes; Node's limit is 120 s. */
const HANDSHAKE_MS = 10_000;

/** The API server closes an idle connection after 90 s; if we were first, a call could meet a closing one. */
const KEEP_ALIVE_MS = 120_000;

/** After this, a request that is still being received or decided holds up the shutdown no longer. */
const CLOSE_MS = 5_000;

/**
 * HTTPS: the webhook, the REST endpoints and the probes. Closing it waits for all answers.
 *
 * The API server asks over connections that it keeps, and may send a request over an idle one at any moment (trap 18).
 * If that one is being closed, the deploy fails: Go sends a POST again only if no byte of it was written
 * (net/http, `shouldRetryRequest`), client-go repeats nothing but GET after a lost connection, and `failurePolicy` is
 * `Fail`. So a connection is ended with an answer, by `connection: close`, after which Go does not take it again; those
 * that stay idle until `onClose` has resolved are ended then, when hardly anybody is sent here any more.
 */
export function buildApp(options: AppOptions): FastifyInstance {
  const { tls, readiness, log, onClose, maxHeld, demandsClientCertificate = false } = options;
  const limits = { ...LIMITS, ...options.limits };
  const app: FastifyInstance = fastify({
    ...common(log),
    https: {
      ...(tls && secureContext(tls)),
      handshakeTimeout: HANDSHAKE_MS,
      requestCert: demandsClientCertificate,
      rejectUnauthorized: false,
    },
  });
  // Node would end a spare connection, one that has carried no request yet, after 60 s.
  app.server.headersTimeout = KEEP_ALIVE_MS;
  const connections = trackConnections(app.server, limits.maxConnections + maxHeld);
  app.server.on('request', (_request, response: ServerResponse) => {
    // Node waits for ever for somebody who reads nothing. With its next request, a connection is as before.
    response.once('prefinish', () => response.socket?.setTimeout(limits.takeMs));
  });
  let closing = false;
  app.addHook('preClose', async () => {
    closing = true;
    await onClose();
    connections.endUnused();
    setTimeout(connections.endAll, CLOSE_MS).unref();
    // Node takes an answer for sent as soon as it is written, and would cut off what is still on its way.
    await connections.answered();
  });
  app.addHook('onSend', async (_request, reply) => {
    // The next call is to be routed anew; and close() would wait until the API server tires of the idle connection.
    if (closing) reply.header('connection', 'close');
  });
  const isVouchedFor = demandsClientCertificate ? demandClientCertificates(app, tls?.clientCa) : () => true;
  refuseStrangers(app, { paths: options.admissionPaths, isVouchedFor });
  limitBodies(app, limits);
  useProblems(app);
  useHealth(app, readiness);
  useAdmission(app, options);
  app.register(rest(options.rest));
  return app;
}

/** Plain HTTP: the probes and the metrics, for those that need not know the certificate. */
export function buildPlainApp(options: Pick<AppOptions, 'readiness' | 'metrics' | 'log'>): FastifyInstance {
  const { readiness, metrics, log } = options;
  // Whoever is connected here can ask again elsewhere; nothing is worth waiting for.
  const app = fastify({ ...common(log), forceCloseConnections: true });
  useProblems(app);
  useHealth(app, readiness);
  useMetrics(app, metrics);
  return app;
}

function common(log: FastifyBaseLogger) {
  return {
    loggerInstance: log,
    // One line for each decision is the gate's business.
    logController: new LogController({ disableRequestLogging: true }),
    keepAliveTimeout: KEEP_ALIVE_MS,
    requestTimeout: KEEP_ALIVE_MS,
    // Whoever is still connected while we close is answered as ever, and told to connect elsewhere next time.
    return503OnClosing: false,
    // A name of any length is for the schemas to judge, which say what is wrong with it; Node's limit is 16 KiB.
    routerOptions: { maxParamLength: 16_384 },
    // No route is found for such a path, and no hook is called.
    frameworkErrors: refuseUnreadablePath,
    // A Secret may have a key named `__proto__`; it is never merged into anything, so it does no harm.
    onProtoPoisoning: 'ignore',
    onConstructorPoisoning: 'ignore',
  } as const;
}
