/**
 * Credentials and connections. The Kubernetes client knows every way to log in; its requests open a new
 * connection pool each (30 lists are 30 TLS handshakes), so it is asked for the credentials only, and the
 * connections are ours.
 */
import type { Cluster, KubeConfig } from '@kubernetes/client-node';
import { Agent, type Dispatcher } from 'undici';
import type { Clock } from '../clock.ts';

export interface Connection {
  /** Such as `https://10.96.0.1:443`, without a slash at the end. */
  readonly server: string;
  /** Takes the `Date` header of an answer. */
  sawDate(header: string): void;
  /** Milliseconds since 1970 by the API server's clock, as far as it was heard; else by this machine's. For people. */
  date(): number;
  /**
   * Milliseconds since 1970 by the clock that is furthest behind: of this machine, and of all answers of the last five to ten
   * minutes. One answer from a server whose clock is ahead does not move it.
   */
  earliestDate(): number;
  /**
   * What is needed to send a request now. Credentials are at most {@link CREDENTIALS_MS} old.
   * Rejects when they cannot be had in {@link CREDENTIALS_TIMEOUT_MS}, or when the signal is aborted.
   */
  access(signal: AbortSignal): Promise<Access>;
  close(): Promise<void>;
}

/** Connections that do not wait for each other. */
interface Pools {
  /** For the reads that deploys wait for, over at most {@link REQUEST_CONNECTIONS} connections. */
  readonly requests: Dispatcher;
  /** For what people and pipelines ask for, over as many. */
  readonly errands: Dispatcher;
  /** For watches, each of which keeps a connection to itself. */
  readonly watches: Dispatcher;
  /** For whatever somebody else sends, and waits for as long as they like. */
  readonly passage: Dispatcher;
}

export type Pool = keyof Pools;

export interface Access extends Pools {
  /** The headers that log in. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface ConnectOptions {
  readonly clock: Pick<Clock, 'now' | 'date'>;
  /** A watch that is silent for this long is taken for dead. */
  readonly watchSilenceMs?: number;
  readonly credentialsTimeoutMs?: number;
}

/** With five watches, two of them for drivers, a replica has at most 9 connections to the API server. */
const REQUEST_CONNECTIONS = 2;

/** A token file changes once an hour or so, and the old token stays good for as long again. */
const CREDENTIALS_MS = 10_000;

/** A kubeconfig may start a program to log in; whoever waits for it has a deadline of their own. */
const CREDENTIALS_TIMEOUT_MS = 10_000;

const CONNECT_TIMEOUT_MS = 2_000;

/** The longest answer is a page of 500 objects, by metadata only: half a megabyte of Helm's, with what others add. */
const MAX_ANSWER_BYTES = 64 * 2 ** 20;

/** An API server answers a watch at once, and sends a bookmark about every minute. */
const WATCH_ANSWER_MS = 10_000;
const WATCH_SILENCE_MS = 150_000;

/** @throws Error in words when a configuration names no cluster, or one that is out of reach */
export function clusterOf(kubeConfig: KubeConfig): Cluster {
  const cluster = kubeConfig.getCurrentCluster();
  if (cluster === null) throw new Error('the kubeconfig has no current context that names a cluster');
  if (!cluster.server.startsWith('https://')) {
    throw new Error(
      `the cluster is at ${cluster.server}, but must be at https://…: set KUBECONFIG to a file that names it, or run inside it`,
    );
  }
  if (cluster.proxyUrl) throw new Error('a proxy-url in the kubeconfig is not supported: connect directly');
  return cluster;
}

/** Connects nowhere until it is asked to. @throws as {@link clusterOf} */
export function connect(kubeConfig: KubeConfig, options: ConnectOptions): Connection {
  const { clock, watchSilenceMs = WATCH_SILENCE_MS, credentialsTimeoutMs = CREDENTIALS_TIMEOUT_MS } = options;
  const { server } = clusterOf(kubeConfig);
  let current: { access: Access; identity: string; at: number } | undefined;
  let refreshing: Promise<Access> | undefined;
  const localOffset = () => clock.date() - clock.now();
  let dateOffset = localOffset();
  const offsets = createMinimum(clock.now);

  function open(login: LoginOptions): Pools {
    const { ca, cert, key, rejectUnauthorized, servername } = login;
    const tls = definedOnly({ ca, cert, key, rejectUnauthorized, servername, timeout: CONNECT_TIMEOUT_MS });
    // HTTP/1.1, so that a connection that is lost takes one request or one watch with it.
    const shared = { allowH2: false, connect: tls };
    const few = { ...shared, connections: REQUEST_CONNECTIONS, maxResponseSize: MAX_ANSWER_BYTES };
    return {
      requests: new Agent(few),
      errands: new Agent(few),
      watches: new Agent({ ...shared, headersTimeout: WATCH_ANSWER_MS, bodyTimeout: watchSilenceMs }),
      passage: new Agent({ ...shared, headersTimeout: 0, bodyTimeout: 0 }),
    };
  }

  /** Certificates may be renewed as well: then there are new connections, and the old ones end by themselves. */
  async function refresh(): Promise<Access> {
    const login: LoginOptions = {};
    await kubeConfig.applyToHTTPSOptions(login);
    const { ca, cert, key } = login;
    const identity = JSON.stringify([ca, cert, key].map(String));
    const renewed = current === undefined || current.identity !== identity;
    if (renewed) for (const pool of ['requests', 'errands'] as const) void current?.access[pool].close();
    const dispatchers = current === undefined || renewed ? open(login) : current.access;
    const access = { ...dispatchers, headers: loginHeaders(login) };
    current = { access, identity, at: clock.now() };
    return access;
  }

  return {
    server: server.replace(/\/+$/, ''),
    async access(signal) {
      if (current !== undefined && clock.now() - current.at <= CREDENTIALS_MS) return current.access;
      // One log-in for everybody who waits, and nobody waits longer than they want.
      refreshing ??= refresh().finally(() => {
        refreshing = undefined;
      });
      const timeout = AbortSignal.timeout(credentialsTimeoutMs);
      return Promise.race([refreshing, aborted(AbortSignal.any([signal, timeout]))]);
    },
    sawDate(header) {
      const date = Date.parse(header);
      if (Number.isNaN(date)) return;
      dateOffset = date - clock.now();
      offsets.add(dateOffset);
    },
    date: () => clock.now() + dateOffset,
    earliestDate: () => clock.now() + Math.min(localOffset(), offsets.least()),
    async close() {
      if (current === undefined) return;
      const { requests, errands, watches, passage } = current.access;
      await Promise.all([requests, errands, watches, passage].map((pool) => pool.destroy()));
    },
  };
}

/** For so long an offset counts, and for as long again at most. */
const OFFSETS_MS = 300_000;

/** The least of the numbers that were added in the last five to ten minutes; infinite if there are none. */
function createMinimum(now: () => number) {
  let current = { from: now(), least: Number.POSITIVE_INFINITY };
  let before = Number.POSITIVE_INFINITY;
  function rotate(): void {
    const age = now() - current.from;
    if (age < OFFSETS_MS) return;
    before = age < 2 * OFFSETS_MS ? current.least : Number.POSITIVE_INFINITY;
    current = { from: now(), least: Number.POSITIVE_INFINITY };
  }
  return {
    add(value: number): void {
      rotate();
      current.least = Math.min(current.least, value);
    },
    least(): number {
      rotate();
      return Math.min(current.least, before);
    },
  };
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
  });
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
