/** The REST endpoints, called as curl would: every answer as it came, bodies read as JSON where they are. */
import type { Test } from 'tap';
import { Agent } from 'undici';
import type { Cluster, User } from '../clusters/cluster.ts';
import type { Lockkeeper } from './lockkeeper.ts';

/** What JSON.parse returns: a test looks into it as it likes. */
export type Json = ReturnType<typeof JSON.parse>;

export interface RestAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Parsed JSON, or the text as it is. */
  readonly body: Json;
}

export interface RestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal?: AbortSignal;
}

export interface RestClient {
  request(method: string, path: string, options?: RestOptions): Promise<RestAnswer>;
  /** `path` goes on after `/api/v1/namespaces/prod/locks`. */
  get(path: string, options?: RestOptions): Promise<RestAnswer>;
  remove(path: string, options?: RestOptions): Promise<RestAnswer>;
}

export const LOCKS = '/api/v1/namespaces/prod/locks';

/** A client for somebody; without a user, it sends no token. Ends with the test. */
export async function restClient(
  t: Test,
  { url, caCertificate, cluster }: Pick<Lockkeeper<Cluster>, 'url' | 'caCertificate' | 'cluster'>,
  user?: User,
): Promise<RestClient> {
  const agent = new Agent({ connect: { ca: caCertificate, timeout: 60_000 }, allowH2: false });
  t.teardown(() => agent.destroy());
  const authorization = user && { authorization: `Bearer ${await cluster.token(user)}` };

  async function request(method: string, path: string, options: RestOptions = {}): Promise<RestAnswer> {
    const response = await agent.request({
      origin: url,
      path,
      method: method as 'GET',
      headers: { ...authorization, ...options.headers },
      ...(options.body !== undefined && { body: options.body }),
      ...(options.signal && { signal: options.signal }),
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    const text = await response.body.text();
    const isJson = /json(;|$)/.test(String(response.headers['content-type']));
    return { status: response.statusCode, headers: response.headers, body: isJson ? JSON.parse(text) : text };
  }

  return {
    request,
    get: (path, options) => request('GET', `${LOCKS}${path}`, options),
    remove: (path, options) => request('DELETE', `${LOCKS}${path}`, options),
  };
}
