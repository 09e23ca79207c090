/** What the servers of the bench share: TLS, the port, and settings of Fastify as Lockkeeper has them (src/http/app.ts). */
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import { pino } from 'pino';

const { LOCKKEEPER_TLS_CERT_FILE: CERT_FILE = '', LOCKKEEPER_TLS_KEY_FILE: KEY_FILE = '' } = process.env;

const KEEP_ALIVE_MS = 120_000;

const BODY_LIMIT_BYTES = 7 * 1024 * 1024;

interface Review {
  readonly request: {
    readonly uid: string;
    readonly object: { readonly metadata: { readonly labels: Readonly<Record<string, string>> } };
  };
}

/** The route of the gate, which says yes once `look` has looked. Never returns. */
export async function serve(look: (release: string, revision: number) => Promise<unknown>): Promise<void> {
  const log: FastifyBaseLogger = pino({ level: 'info', base: null });
  const app: FastifyInstance = fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    keepAliveTimeout: KEEP_ALIVE_MS,
    requestTimeout: KEEP_ALIVE_MS,
    https: { cert: readFileSync(CERT_FILE), key: readFileSync(KEY_FILE) },
  });
  app.post<{ Body: Review }>('/admission', { bodyLimit: BODY_LIMIT_BYTES }, async ({ body }) => {
    const { uid, object } = body.request;
    const { name = '', version } = object.metadata.labels;
    await look(name, Number(version));
    return { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: { uid, allowed: true } };
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  log.info({ port: (app.server.address() as AddressInfo).port }, 'listening');
}
