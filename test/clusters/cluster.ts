/**
 * What a test may ask of any cluster, embedded or real. Whatever only the embedded one can do (faults,
 * counters, events) is in `embedded/cluster.ts`, so that a suite written against this file runs on both.
 */
import type { ApiClient } from './client.ts';

/** Who sends a request. The API server adds `system:authenticated` to the groups. */
export interface User {
  readonly username: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export interface KubeconfigOptions {
  /** Default: an administrator. */
  readonly user?: User;
  /** The namespace of the context. Default: none, which clients read as `default`. */
  readonly namespace?: string;
}

export interface Cluster {
  /** `https://127.0.0.1:<port>` */
  readonly url: string;
  /** PEM. */
  readonly caCertificate: string;
  /** Throw-away folder, gone after `stop`. Put what belongs to this cluster here. */
  readonly folder: string;
  /** A bearer token for this user. The same user always has the same token. */
  token(user: User): Promise<string>;
  /** The path of a kubeconfig file, readable by its owner only (Helm warns otherwise). */
  kubeconfig(options?: KubeconfigOptions): Promise<string>;
  /** A client over HTTPS. Default user: an administrator. */
  client(user?: User): Promise<ApiClient>;
  /** What is stored by now becomes this much older, as the API server tells it. */
  letTimePass(milliseconds: number): Promise<void>;
  /** Ends everything that was started, leaves nothing behind. May be called twice. */
  stop(): Promise<void>;
}
