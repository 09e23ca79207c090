/** Where a webhook has API servers send their reviews: the path in its `clientConfig`, in both forms that there are. */
import type { ClientConfig } from '../kubernetes/webhook-configurations.ts';

/** Open to all who reach the port: of those who keep their configuration themselves, and of Lockkeeper 0.1. */
export const OPEN_PATH = '/admission';

/** @param token a secret, of small letters and digits: more is not allowed in the path of a Service */
export function pathOfToken(token: string): string {
  return `${OPEN_PATH}/${token}`;
}

/** The end of a URL that is ours: what stands before it may lead through a proxy, which takes it away. */
const OUR_END = /\/admission(\/[^/]*)?$/;

/** The path by which reviews arrive. */
export function pathIn({ url, service }: ClientConfig): string {
  if (url === undefined) return service?.path ?? '/';
  const { path } = split(url);
  return OUR_END.exec(path)?.[0] ?? (path === '' ? '/' : path);
}

/** What to apply, so that reviews arrive by this path. A Service has a field for it; in a URL it is the end of the only one. */
export function withPath({ url }: ClientConfig, wanted: string): Pick<ClientConfig, 'url' | 'service'> {
  if (url === undefined) return { service: { path: wanted } };
  const { origin, path } = split(url);
  return { url: `${origin}${path.replace(/\/$/, '').replace(OUR_END, '')}${wanted}` };
}

function split(url: string): { readonly origin: string; readonly path: string } {
  const origin = url.replace(/^([a-z]+:\/\/[^/]*)?.*$/is, '$1');
  return { origin, path: url.slice(origin.length) };
}
