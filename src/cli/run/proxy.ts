/**
 * Stands between one Helm and its API server, on the loopback: passes on everything as it is, and sees each record that
 * is made. What was made through here was made by this Helm; and nobody can write through here once it is closed.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import type { Connection } from '../../kubernetes/connection.ts';
import { issueAuthority, issueServingCertificate } from '../../tls/issue.ts';
import { changes, createsRecord, headersFor, headersFrom, type Made, readAnswer } from './passing.ts';

export interface HelmProxy {
  readonly url: string;
  /** PEM of the authority that signed its certificate. */
  readonly caCertificate: string;
  /** The bearer token that it takes, and no other. */
  readonly token: string;
  /** The records that were created through it. */
  readonly made: readonly Made[];
  /** Whether anything was changed through it. */
  hasWritten(): boolean;
  /** Whether a record was refused because another one was first. */
  hasLost(): boolean;
  /** Lets nobody in any more. Resolves when each write that was under way has its answer, or was given up. */
  close(): Promise<void>;
}

export interface ProxyOptions {
  readonly connection: Pick<Connection, 'server' | 'access'>;
  /** Told why a record was refused for now; Helm itself waits in silence, and comes back. */
  readonly onHeld: (words: string) => void;
  /** How long `close` waits for writes. */
  readonly writesMs?: number;
}

/** For as long as a Helm may run. */
const VALID_DAYS = 30;

/** Longer than Helm keeps a connection that it does not use, or it would meet the end of one. */
const KEEP_ALIVE_MS = 120_000;

/** Whoever cancelled a job kills what is left of it after ten seconds. */
const WRITES_MS = 3_000;

export async function startProxy({
  connection,
  onHeld,
  writesMs = WRITES_MS,
}: ProxyOptions): Promise<HelmProxy> {
  const validity = { validDays: VALID_DAYS, now: new Date() };
  const authority = await issueAuthority({ commonName: 'lockkeeper run', ...validity });
  const pair = await issueServingCertificate(authority, { hosts: ['127.0.0.1'], ...validity });
  const token = randomBytes(32).toString('base64url');
  const made: Made[] = [];
  const writes = new Set<Promise<void>>();
  const closing = new AbortController();
  let hasWritten = false;
  let hasLost = false;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method, url } = request as IncomingMessage & { readonly method: 'GET'; readonly url: string };
    const isWrite = changes(request);
    // What becomes of a write must be known, also when Helm is gone; of anything else nobody wants to know then.
    const gone = new AbortController();
    if (!isWrite) response.on('close', () => gone.abort());
    const signal = AbortSignal.any([gone.signal, closing.signal]);
    const { passage, headers } = await connection.access(signal);
    const {
      statusCode,
      headers: answered,
      body,
    } = await passage.request({
      origin: connection.server,
      path: url,
      method,
      headers: headersFor(request, headers),
      body: request,
      signal,
    });
    if (isWrite && statusCode < 300) hasWritten = true;
    response.writeHead(statusCode, headersFrom(answered));
    // A watch may have nothing to tell for long, and its caller waits for the headers.
    response.flushHeaders();
    if (!createsRecord(request)) return pipeline(body, response);
    const whole = await buffer(body);
    note(statusCode, readAnswer(url, whole));
    response.end(whole);
  }

  function note(statusCode: number, answered: ReturnType<typeof readAnswer>): void {
    if (statusCode === 201 && answered.made) made.push(answered.made);
    if (statusCode === 409) hasLost = true;
    if (statusCode === 429 && answered.message) onHeld(answered.message);
  }

  function onRequest(request: IncomingMessage, response: ServerResponse): void {
    if (!isLoggedIn(request, token)) {
      response.writeHead(401).end();
      return;
    }
    // Helm meets the end of a connection, as it would without us.
    const passing = answer(request, response).catch(() => void response.destroy());
    if (!changes(request)) return;
    writes.add(passing);
    void passing.finally(() => writes.delete(passing));
  }

  const server = createServer({ cert: pair.certificate, key: pair.privateKey, requestTimeout: 0 }, onRequest);
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    caCertificate: authority.certificate,
    token,
    made,
    hasWritten: () => hasWritten,
    hasLost: () => hasLost,
    async close() {
      server.close();
      server.closeAllConnections();
      const timer = setTimeout(() => closing.abort(), writesMs);
      await Promise.all(writes);
      clearTimeout(timer);
    },
  };
}

function isLoggedIn({ headers: { authorization = '' } }: IncomingMessage, token: string): boolean {
  const expected = Buffer.from(`Bearer ${token}`);
  const given = Buffer.from(authorization);
  return given.length === expected.length && timingSafeEqual(given, expected);
}
