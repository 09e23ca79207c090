/**
 * Credentials and connections. The Kubernetes client knows every way to log in; its requests open a new
 * connection pool each (30 lists are 30 TLS handshakes), so it is asked for the credentials only, and the
 * connections are ours.
 */
import type { KubeConfig } from '@kubernetes/client-node';
import { Agent, type Dispatcher, interceptors } from 'undici';

export interface Connection {
  /** Such as `https://10.96.0.1:443`, without a slash at the end. */
  readonly server: string;
  /** For short requests; at most {@link REQUEST_CONNECTIONS} connections, and a lost one is replaced unseen. */
  readonly requests: Dispatcher;
  /** For watches, each of which keeps a connection to itself. */
  readonly watches: Dispatcher;
  /** The headers that log in, current to within {@link CREDENTIALS_MS}. Rejects when a credential plugin fails. */
  authorization(): Promise<Record<string, string>>;
  close(): Promise<void>;
}

/** With one watch for each of the two drivers, a replica has at most 4 connections to the API server. */
const REQUEST_CONNECTIONS = 2;

/** A token file changes once an hour or so, and the old token stays good for as long again. */
const CREDENTIALS_MS = 10_000;

/** A read by name takes milliseconds; an API server that needs longer than this cannot be read. */
const REQUEST_TIMEOUT_MS = 5_000;

/** API servers send a bookmark about every minute; a watch that is silent for longer is taken for dead. */
const WATCH_SILENCE_MS = 150_000;

const CONNECT_TIMEOUT_MS = 3_000;

/** @throws Error in words when the configuration names no cluster, or one behind a proxy */
export async function connect(kubeConfig: KubeConfig, now: () => number): Promise<Connection> {
  const cluster = kubeConfig.getCurrentCluster();
  if (cluster === null) throw new Error('the kubeconfig has no current context that names a cluster');
  if (!cluster.server.startsWith('https://')) {
    throw new Error(
      `the cluster is at ${cluster.server}, but must be at https://…: set KUBECONFIG to a file that names it, or run inside it`,
    );
  }
  if (cluster.proxyUrl) throw new Error('a proxy-url in the kubeconfig is not supported: connect directly');

  const login: LoginOptions = {};
  await kubeConfig.applyToHTTPSOptions(login);
  const { ca, cert, key, rejectUnauthorized, servername } = login;
  const tls = definedOnly({ ca, cert, key, rejectUnauthorized, servername, timeout: CONNECT_TIMEOUT_MS });

  function dispatcher(options: Agent.Options): Dispatcher {
    // HTTP/1.1, so that a connection that is lost takes one request or one watch with it.
    return new Agent({ ...options, allowH2: false, connect: tls });
  }

  const pool = dispatcher({
    connections: REQUEST_CONNECTIONS,
    headersTimeout: REQUEST_TIMEOUT_MS,
    bodyTimeout: REQUEST_TIMEOUT_MS,
  });
  const watches = dispatcher({ headersTimeout: REQUEST_TIMEOUT_MS, bodyTimeout: WATCH_SILENCE_MS });
  let headers = loginHeaders(login);
  let readAt = now();

  return {
    server: cluster.server.replace(/\/+$/, ''),
    // A connection that the server closed while it was idle is no failure: read again, on another one.
    requests: pool.compose(
      interceptors.retry({
        methods: ['GET'],
        statusCodes: [429, 502, 503, 504],
        maxRetries: 2,
        minTimeout: 50,
        maxTimeout: 200,
        throwOnError: false,
      }),
    ),
    watches,
    async authorization() {
      if (now() - readAt > CREDENTIALS_MS) {
        const fresh: LoginOptions = {};
        await kubeConfig.applyToHTTPSOptions(fresh);
        headers = loginHeaders(fresh);
        readAt = now();
      }
      return headers;
    },
    async close() {
      await Promise.all([pool.destroy(), watches.destroy()]);
    },
  };
}

type LoginOptions = Parameters<KubeConfig['applyToHTTPSOptions']>[0];

function loginHeaders({ headers, auth }: LoginOptions): Record<string, string> {
  const entries = Object.entries((headers ?? {}) as Record<string, unknown>);
  const texts = entries.map(([name, value]) => [name.toLowerCase(), String(value)]);
  const basic = auth ? { authorization: `Basic ${Buffer.from(auth).toString('base64')}` } : {};
  return { ...basic, ...Object.fromEntries(texts) };
}

function definedOnly<T extends object>(options: T): { [K in keyof T]: NonNullable<T[K]> } {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined && value !== null);
  return Object.fromEntries(entries) as { [K in keyof T]: NonNullable<T[K]> };
}
