/** A webhook for the traps: it notes what an API server asks about Helm's records, and answers as a test tells it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { TLSSocket } from 'node:tls';
import type { Test } from 'tap';
import { issueAuthority, issueServingCertificate } from '../../src/tls/issue.ts';
import type { ApiClient } from '../clusters/client.ts';
import { createEvents } from '../clusters/embedded/events.ts';
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import { GATE_WEBHOOKS_PATH } from '../support/gate-webhook.ts';
import { serving } from '../support/serving.ts';

/** What the API server asked, and how. */
export interface Ask {
  readonly operation: string;
  readonly namespace: string;
  readonly name: string;
  readonly dryRun: boolean;
  /** Of the review. */
  readonly uid: string;
  readonly extra: Readonly<Record<string, readonly string[]>>;
  /** Null when it is to be deleted. */
  readonly object: StoredObject | null;
  /** Null when it is to be created. */
  readonly oldObject: StoredObject | null;
  /** Of the body. */
  readonly bytes: number;
  readonly query: string;
  /** `HTTP/1.1`, `HTTP/2.0` */
  readonly protocol: string;
  /** The same for all that came over one connection. */
  readonly connection: number;
  /** `performance.now()` when it came. */
  readonly at: number;
}

export interface Answer {
  readonly allowed: boolean;
  readonly warnings?: readonly string[];
  readonly status?: {
    readonly code: number;
    readonly message: string;
    readonly details?: { readonly retryAfterSeconds: number };
  };
}

/** Undefined allows it. */
export type Rule = (ask: Ask) => Answer | undefined | Promise<Answer | undefined>;

export interface Webhook {
  /** All that was asked about this namespace, oldest first. */
  asks(namespace: string): readonly Ask[];
  /** The first one from now on that fits. */
  next(matches: (ask: Ask) => boolean): Promise<Ask>;
  /** What is answered about this namespace from now on. */
  rule(namespace: string, rule: Rule): void;
}

export interface WebhookOptions {
  readonly name: string;
  /** Whether the server offers HTTP/2 beside HTTP/1.1. */
  readonly http2?: boolean;
  /** Whether it is asked about the namespace of its own name only, where `probe` is. Default: about all. */
  readonly alone?: boolean;
  readonly timeoutSeconds?: number;
  /** Whether it is named as a Service, as in a cluster. Default: by a URL on the loopback. */
  readonly service?: boolean;
}

/** The API server keeps an idle connection for 90 s; whoever closes it sooner may do so under a call (trap 18, seen). */
const KEPT_MS = 120_000;

/** Ends with the test. Resolves when the API server asks it. */
export async function startWebhook(t: Test, admin: ApiClient, options: WebhookOptions): Promise<Webhook> {
  const { name, http2 = false } = options;
  const asks: Ask[] = [];
  const rules = new Map<string, Rule>();
  const events = createEvents<Ask>();

  async function answer(
    request: IncomingMessage | Http2ServerRequest,
    response: ServerResponse | Http2ServerResponse,
  ): Promise<void> {
    const body = await text(request);
    const review = JSON.parse(body);
    const ask = askOf(request, body, review);
    asks.push(ask);
    events.publish(ask);
    const verdict = (await rules.get(ask.namespace)?.(ask)) ?? { allowed: true };
    response.setHeader('content-type', 'application/json');
    response.end(
      JSON.stringify({ ...review, request: undefined, response: { uid: review.request.uid, ...verdict } }),
    );
  }

  const { caCertificate, pair } = options.service ? await servingFor(`webhook.${name}.svc`) : serving;
  const { certificate: cert, privateKey: key } = pair;
  const server = http2
    ? createSecureServer({ cert, key, allowHTTP1: true }, answer)
    : createServer({ cert, key, keepAliveTimeout: KEPT_MS }, answer);
  const sockets = new Set<TLSSocket>();
  server.on('secureConnection', (socket: TLSSocket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(async () => {
    await admin.remove(`${GATE_WEBHOOKS_PATH}/${name}`);
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const { port } = server.address() as AddressInfo;
  await admin.createNamespace(name);
  if (options.service) await admin.create(`/api/v1/namespaces/${name}/services`, SERVICE);
  await admin.create(GATE_WEBHOOKS_PATH, configuration(port, caCertificate, options));
  // It takes some milliseconds to hear of a configuration.
  while (asks.length === 0) await probe(admin, name);
  return {
    asks: (namespace) => asks.filter((ask) => ask.namespace === namespace),
    next: events.next,
    rule: (namespace, rule) => void rules.set(namespace, rule),
  };
}

/** Has the webhook asked, and changes nothing. @param query more of it, such as `&timeout=3s` */
export async function probe(admin: ApiClient, namespace: string, query = ''): Promise<void> {
  await admin.request('POST', `/api/v1/namespaces/${namespace}/secrets?dryRun=All${query}`, {
    metadata: { name: 'probe', labels: { owner: 'helm' } },
  });
}

function askOf(
  { url = '', httpVersion, socket }: IncomingMessage | Http2ServerRequest,
  body: string,
  { request }: { request: Ask & { userInfo: { extra?: Ask['extra'] } } },
): Ask {
  const { uid, operation, namespace, name, dryRun, object, oldObject, userInfo } = request;
  return {
    operation,
    namespace,
    name,
    dryRun,
    uid,
    extra: userInfo.extra ?? {},
    object,
    oldObject,
    bytes: Buffer.byteLength(body),
    query: url.split('?')[1] ?? '',
    protocol: `HTTP/${httpVersion}`,
    connection: socket.remotePort as number,
    at: performance.now(),
  };
}

/** Leads to this machine, without anybody who runs Services. */
const SERVICE = { metadata: { name: 'webhook' }, spec: { type: 'ExternalName', externalName: 'localhost' } };

async function servingFor(host: string): Promise<typeof serving> {
  const now = new Date();
  const authority = await issueAuthority({ commonName: host, validDays: 1, now });
  const pair = await issueServingCertificate(authority, { hosts: [host], validDays: 1, now });
  return { caCertificate: authority.certificate, pair };
}

function configuration(port: number, caCertificate: string, options: WebhookOptions) {
  const { name, alone = false, timeoutSeconds = 15, service = false } = options;
  const path = '/admission';
  return {
    metadata: { name },
    webhooks: [
      {
        name: `${name}.lockkeeper.dev`,
        clientConfig: {
          ...(service
            ? { service: { namespace: name, name: 'webhook', port, path } }
            : { url: `https://127.0.0.1:${port}${path}` }),
          caBundle: Buffer.from(caCertificate).toString('base64'),
        },
        rules: [
          {
            operations: ['CREATE', 'UPDATE', 'DELETE'],
            apiGroups: [''],
            apiVersions: ['v1'],
            resources: ['secrets', 'configmaps'],
          },
        ],
        ...(alone && { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': name } } }),
        objectSelector: { matchLabels: { owner: 'helm' } },
        admissionReviewVersions: ['v1'],
        failurePolicy: 'Fail',
        sideEffects: 'None',
        timeoutSeconds,
      },
    ],
  };
}
