/** Lockkeeper's REST endpoints, as somebody with curl and a token uses them. */
import type { ApiClient } from '../test/clusters/client.ts';

export interface RestAnswer {
  readonly code: number;
  /** What JSON.parse returns: a chapter looks into it as it likes. */
  readonly body: ReturnType<typeof JSON.parse>;
}

/** `path` goes on after `/api/v1/namespaces/shop/locks`. */
export interface Rest {
  /** For the commands that `curl` returns: they read it from `$TOKEN`. */
  readonly token: string;
  /** The command that sends the same request, on two lines; it works as long as Lockkeeper runs. */
  curl(method: 'GET' | 'DELETE', path: string, option?: string): string;
  request(method: 'GET' | 'DELETE', path: string): Promise<RestAnswer>;
}

export interface RestOptions {
  readonly client: ApiClient;
  readonly url: string;
  /** The path of the authority's PEM. */
  readonly caFile: string;
  readonly token: string;
  readonly namespace: string;
}

export function createRest({ client, url, caFile, token, namespace }: RestOptions): Rest {
  const locks = `/api/v1/namespaces/${namespace}/locks`;
  return {
    token,
    curl(method, path, option = '') {
      const verb = method === 'GET' ? '' : `-X ${method}`;
      const rest = [option, verb, `'${url}${locks}${path}'`].filter((word) => word !== '').join(' ');
      return `curl --cacert ${caFile} -H "Authorization: Bearer $TOKEN" \\\n  ${rest}`;
    },
    async request(method, path) {
      const { code, body } = await client.request<string>(method, `${locks}${path}`);
      return { code, body: JSON.parse(body) };
    },
  };
}
