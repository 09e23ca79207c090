/** The HTTPS listener: reads requests, writes answers, and goes away and comes back when told. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { KeyPair } from '../../../src/tls/issue.ts';
import type { Api } from './api.ts';
import { unrecognized } from './decoding.ts';
import type { FaultRules } from './faults.ts';
import { decodeProtobuf } from './protobuf.ts';
import { createReply, type Reply } from './reply.ts';
import { parseTarget, patternOf, verbOf } from './request-info.ts';
import type { Resource } from './resources.ts';
import { ApiError, internalError, tooLarge, unsupportedMediaType } from './status.ts';
import type { TrafficRecorder } from './traffic.ts';
import { ANONYMOUS, type UserInfo, type Users } from './users.ts';

export interface ServerDependencies {
  readonly certificate: KeyPair;
  readonly resources: readonly Resource[];
  readonly api: Api;
  readonly users: Users;
  readonly faults: FaultRules;
  readonly traffic: TrafficRecorder;
  readonly log: (message: string) => void;
  /** For the Date header; milliseconds since 1970. */
  readonly now: () => number;
}

export interface ApiServer {
  readonly port: number;
  /** Stops listening and cuts every connection. */
  goAway(): Promise<void>;
  /** Listens again on the same port. */
  comeBack(): Promise<void>;
}

/** The limit of the real API server (`MaxRequestBodyBytes`). */
const MAX_BODY_BYTES = 3 * 1024 * 1024;

/** What the real API server shows to anybody, so that load balancers can look. */
const PROBES = /^\/(?:healthz|livez|readyz)$/;

/** kubectl asks for this schema in protobuf; an empty document says "nothing to check against". */
const OPENAPI_V2_TYPE = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';

export async function startServer(dependencies: ServerDependencies): Promise<ApiServer> {
  const { certificate, api, users, faults, traffic, resources, log, now } = dependencies;

  const server = createServer(
    {
      cert: certificate.certificate,
      key: certificate.privateKey,
      // Go clients keep idle connections for 90 s; a server that closes them earlier makes requests fail.
      keepAliveTimeout: 120_000,
    },
    (incoming, outgoing) => void serve(incoming, outgoing),
  );

  async function serve(incoming: IncomingMessage, outgoing: ServerResponse) {
    const gone = new AbortController();
    outgoing.on('close', () => gone.abort());
    const reply = createReply(outgoing, now);
    const warnings: string[] = [];
    try {
      await answer(incoming, reply, gone.signal, warnings);
    } catch (error) {
      if (!gone.signal.aborted) sendError(reply, error, warnings);
    }
  }

  async function answer(
    incoming: IncomingMessage,
    reply: Reply,
    signal: AbortSignal,
    warnings: string[],
  ): Promise<void> {
    const method = incoming.method ?? '';
    const { pathname: path, searchParams: query } = new URL(incoming.url ?? '/', 'https://cluster');
    const userAgent = incoming.headers['user-agent'] ?? '';
    traffic.connection(incoming.socket, userAgent);
    await faults.apply({ method, path, query, userAgent }, signal, reply);
    const isProbe = PROBES.test(path);
    const user = isProbe ? ANONYMOUS : users.authenticate(incoming.headers.authorization);
    if (method === 'GET' && (isProbe || user !== ANONYMOUS) && sendPlain(path, reply)) return;
    record(method, path, query, userAgent, user);
    const contentType = (incoming.headers['content-type'] ?? '').split(';')[0] as string;
    const result = await api({
      method,
      path,
      query,
      accept: incoming.headers.accept,
      contentType,
      userAgent,
      user,
      body: parseBody(await readBody(incoming), contentType, parseTarget(path, resources)?.resource),
      signal,
      warn: (text) => warnings.push(text),
      stream: reply.stream,
    });
    if (result) reply.json(result.code, result.body, warnings);
  }

  function record(method: string, path: string, query: URLSearchParams, userAgent: string, user: UserInfo) {
    const target = parseTarget(path, resources);
    const verb = (target && verbOf(method, target, query)) ?? method.toLowerCase();
    traffic.request({ method, pattern: patternOf(path, target), verb, userAgent, user: user.username });
  }

  function sendError(reply: Reply, error: unknown, warnings: readonly string[]) {
    const { status } = error instanceof ApiError ? error : unexpected(error as Error);
    if (status.message?.includes('the embedded cluster does not')) log(status.message);
    reply.json(status.code, status, warnings);
  }

  function unexpected(error: Error): ApiError {
    log(`a defect of the embedded cluster: ${error.stack}`);
    return internalError(error.message);
  }

  function listen(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', () => {
        server.off('error', reject);
        resolve();
      });
    });
  }

  await listen(0);
  const { port } = server.address() as AddressInfo;
  return {
    port,
    goAway: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
    comeBack: () => listen(port),
  };
}

/** Answers that are no JSON, and a 404 that nobody needs to hear of; true when this was one. */
function sendPlain(path: string, reply: Reply): boolean {
  if (path === '/openapi/v2') {
    reply.plain(200, OPENAPI_V2_TYPE);
    return true;
  }
  if (path === '/openapi/v3') {
    reply.plain(404);
    return true;
  }
  if (!PROBES.test(path)) return false;
  reply.plain(200, 'text/plain; charset=utf-8', 'ok');
  return true;
}

async function readBody(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    size += chunk.length;
    // The rest is read and dropped, so that the client gets to read the answer.
    if (size <= MAX_BODY_BYTES) chunks.push(chunk);
  }
  if (size > MAX_BODY_BYTES) throw tooLarge(MAX_BODY_BYTES);
  return Buffer.concat(chunks);
}

const JSON_BODY = /^(?:|application\/json|application\/[a-z-]+\+json|application\/apply-patch\+yaml)$/;
const PROTOBUF_BODY = 'application/vnd.kubernetes.protobuf';

/** Also of a patch said to be YAML: what Helm and kubectl send as such is JSON. */
function parseBody(body: Buffer, contentType: string, resource: Resource | undefined): unknown {
  if (body.length === 0) return undefined;
  const isProtobuf = contentType === PROTOBUF_BODY;
  if (!isProtobuf && !JSON_BODY.test(contentType))
    throw unsupportedMediaType(['application/json', PROTOBUF_BODY]);
  try {
    return isProtobuf ? decodeProtobuf(body) : JSON.parse(body.toString());
  } catch (error) {
    throw unrecognized(resource ?? { kind: '' }, (error as Error).message);
  }
}
