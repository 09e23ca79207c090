/** One call of a webhook over HTTPS, as the API server makes it: HTTP/1.1, kept alive, with a deadline. */
import { Agent, request } from 'node:https';
import { text } from 'node:stream/consumers';
import type { Webhook } from './webhook-matching.ts';

/** Where a Service can be reached from here. */
export type ResolveService = (service: {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
}) => { readonly host: string; readonly port: number };

/** client-go's transport closes idle connections after this long. */
const IDLE_MS = 90_000;

export interface WebhookCaller {
  /** The body of the answer. @throws Error in the words that follow "failed to call webhook: " */
  call(webhook: Webhook, body: string, signal: AbortSignal): Promise<string>;
  /** Closes the idle connections; calls under way end by their signals. */
  close(): void;
}

export function createWebhookCaller(resolveService: ResolveService): WebhookCaller {
  /** One per trust and destination, as a connection that was verified for one must not serve another. */
  const agents = new Map<string, Agent>();

  function agentFor(url: URL, caBundle: string | undefined): Agent {
    const key = `${url.host} ${caBundle}`;
    const existing = agents.get(key);
    if (existing) return existing;
    const agent = new Agent({
      keepAlive: true,
      timeout: IDLE_MS,
      ...(caBundle !== undefined && { ca: Buffer.from(caBundle, 'base64').toString() }),
    });
    agents.set(key, agent);
    return agent;
  }

  async function send(webhook: Webhook, body: string, signal: AbortSignal): Promise<string> {
    const url = urlOf(webhook);
    const target = targetOf(webhook, url);
    const outgoing = request({
      ...target,
      method: 'POST',
      path: `${url.pathname}${url.search}`,
      agent: agentFor(url, webhook.clientConfig.caBundle),
      signal,
      headers: {
        host: url.host,
        'user-agent': 'kube-apiserver-admission',
        accept: 'application/json, */*',
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
      },
    });
    outgoing.end(body);
    const response = await new Promise<import('node:http').IncomingMessage>((resolve, reject) => {
      outgoing.on('response', resolve).on('error', reject);
    });
    const answer = await text(response);
    const code = response.statusCode as number;
    if (code < 200 || code > 299) throw new NoAnswer(refusalOf(code, answer));
    if (answer === '') throw new NoAnswer(`0-length response with status code: ${code}`);
    return answer;
  }

  function targetOf({ clientConfig: { service } }: Webhook, url: URL) {
    if (!service) return { host: url.hostname, port: Number(url.port || 443) };
    const port = service.port ?? 443;
    return {
      ...resolveService({ namespace: service.namespace, name: service.name, port }),
      servername: url.hostname,
    };
  }

  return {
    async call(webhook, body, signal) {
      const deadline = AbortSignal.timeout(webhook.timeoutSeconds * 1_000);
      try {
        return await send(webhook, body, AbortSignal.any([signal, deadline]));
      } catch (error) {
        if (error instanceof NoAnswer) throw error;
        throw new Error(
          `Post "${urlOf(webhook)}": ${reasonOf(error as NodeJS.ErrnoException, deadline, signal)}`,
        );
      }
    },
    close() {
      for (const agent of agents.values()) agent.destroy();
    },
  };
}

/** The webhook was reached, and what it sent is no answer. */
class NoAnswer extends Error {}

/** As client-go tells it. */
function refusalOf(code: number, body: string): string {
  return code >= 500
    ? `an error on the server ("${body.slice(0, 2_048)}") has prevented the request from succeeding`
    : `the server responded with the status code ${code} but did not return more information`;
}

function urlOf({ clientConfig: { url, service }, timeoutSeconds }: Webhook): URL {
  const result = new URL(
    service
      ? `https://${service.name}.${service.namespace}.svc:${service.port ?? 443}${service.path ?? '/'}`
      : (url as string),
  );
  result.searchParams.set('timeout', `${timeoutSeconds}s`);
  return result;
}

const UNKNOWN_AUTHORITY =
  /^(?:UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT(?:_LOCALLY)?|CERT_SIGNATURE_FAILURE|(?:DEPTH_ZERO_)?SELF_SIGNED_CERT(?:_IN_CHAIN)?)$/;

/** Go's words for what went wrong, because users search for them. */
function reasonOf(error: NodeJS.ErrnoException, deadline: AbortSignal, client: AbortSignal): string {
  if (client.aborted) return 'context canceled';
  if (deadline.aborted) return 'context deadline exceeded';
  if (error.code === 'ECONNREFUSED') {
    const { address, port } = error as NodeJS.ErrnoException & { address?: string; port?: number };
    return `dial tcp ${address}:${port}: connect: connection refused`;
  }
  if (error.code === 'ECONNRESET') return 'EOF';
  const untrusted = 'tls: failed to verify certificate: x509:';
  if (UNKNOWN_AUTHORITY.test(error.code ?? '')) return `${untrusted} certificate signed by unknown authority`;
  return error.code === 'ERR_TLS_CERT_ALTNAME_INVALID' ? `${untrusted} ${error.message}` : error.message;
}
