/** A webhook for the traps: it notes what an API server asks about Helm's records, and answers as a test tells it. */
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { TLSSocket } from 'node:tls';
import type { Test } from 'tap';
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
  /** Of the body. */
  readonly bytes: number;
  readonly query: string;
  /** As it was negotiated: `h2` or `http/1.1`. */
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
  /** What the server offers, best first. */
  readonly protocols: readonly ('h2' | 'http/1.1')[];
  readonly timeoutSeconds?: number;
}

/** Ends with the test. Resolves when the API server asks it. */
export async function startWebhook(t: Test, admin: ApiClient, options: WebhookOptions): Promise<Webhook> {
  const { name, protocols, timeoutSeconds = 15 } = options;
  const asks: Ask[] = [];
  const rules = new Map<string, Rule>();
  const events = createEvents<Ask>();

  async function answer(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
    const body = await text(request);
    const review = JSON.parse(body);
    const ask = askOf(request, body, review);
    asks.push(ask);
    events.publish(ask);
    const verdict = (await rules.get(ask.namespace)?.(ask)) ?? { allowed: true };
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify({ ...review, request: undefined, response: { uid: review.request.uid, ...verdict } }),
    );
  }

  const server = createSecureServer(
    {
      cert: serving.pair.certificate,
      key: serving.pair.privateKey,
      allowHTTP1: true,
      ALPNProtocols: [...protocols],
    },
    answer,
  );
  const sockets = new Set<TLSSocket>();
  server.on('secureConnection', (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(async () => {
    await admin.remove(`${GATE_WEBHOOKS_PATH}/${name}`);
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const { port } = server.address() as AddressInfo;
  await admin.create(GATE_WEBHOOKS_PATH, configuration(name, port, timeoutSeconds));
  await admin.createNamespace('probes');
  // It takes some milliseconds to hear of a configuration.
  while (asks.length === 0) await probe(admin);
  return {
    asks: (namespace) => asks.filter((ask) => ask.namespace === namespace),
    next: events.next,
    rule: (namespace, rule) => void rules.set(namespace, rule),
  };
}

/** Has the webhook asked, and changes nothing. @param query more of it, such as `&timeout=3s` */
export async function probe(admin: ApiClient, query = ''): Promise<void> {
  await admin.request('POST', `/api/v1/namespaces/probes/secrets?dryRun=All${query}`, {
    metadata: { name: 'probe', labels: { owner: 'helm' } },
  });
}

function askOf(
  { url, socket }: Http2ServerRequest,
  body: string,
  { request }: { request: Ask & { userInfo: { extra?: Ask['extra'] } } },
): Ask {
  const { uid, operation, namespace, name, dryRun, object, userInfo } = request;
  return {
    operation,
    namespace,
    name,
    dryRun,
    uid,
    extra: userInfo.extra ?? {},
    object,
    bytes: Buffer.byteLength(body),
    query: url.split('?')[1] ?? '',
    protocol: String((socket as TLSSocket).alpnProtocol),
    connection: socket.remotePort as number,
    at: performance.now(),
  };
}

function configuration(name: string, port: number, timeoutSeconds: number) {
  return {
    metadata: { name },
    webhooks: [
      {
        name: `${name}.lockkeeper.dev`,
        clientConfig: {
          url: `https://127.0.0.1:${port}/admission`,
          caBundle: Buffer.from(serving.caCertificate).toString('base64'),
        },
        rules: [
          {
            operations: ['CREATE', 'UPDATE', 'DELETE'],
            apiGroups: [''],
            apiVersions: ['v1'],
            resources: ['secrets', 'configmaps'],
          },
        ],
        objectSelector: { matchLabels: { owner: 'helm' } },
        admissionReviewVersions: ['v1'],
        failurePolicy: 'Fail',
        sideEffects: 'None',
        timeoutSeconds,
      },
    ],
  };
}
