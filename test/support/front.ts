/**
 * A door before Lockkeeper's webhook, where a test stands and notes who comes and what is answered. The API server
 * calls it in place of Lockkeeper, and what it is sent it passes on as it is.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Test } from 'tap';
import { Agent } from 'undici';
import { createEvents } from '../clusters/embedded/events.ts';
import type { Json } from './rest.ts';
import { serving } from './serving.ts';

/** One call of the webhook. */
export interface Admission {
  readonly user: string;
  readonly operation: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly allowed: boolean;
  /** Of a denial. */
  readonly code: number | undefined;
  readonly retryAfterSeconds: number | undefined;
  readonly message: string | undefined;
  readonly warnings: readonly string[];
  /** `performance.now()`, when it came and when it was answered. */
  readonly calledAt: number;
  readonly answeredAt: number;
  /** As the API server sent it. */
  readonly review: Json;
}

export interface Front {
  readonly url: string;
  /** PEM. */
  readonly caCertificate: string;
  /** All that were answered, in the order of the answers. */
  readonly admissions: readonly Admission[];
  /** The first one that is answered from now on and fits. */
  next(matches: (admission: Admission) => boolean): Promise<Admission>;
  /** A record that is refused here and nowhere else: whoever creates it knows that the API server calls this door. */
  readonly probe: { readonly name: string; readonly refusal: string };
}

/** Ends with the test. @param to of Lockkeeper */
export async function startFront(t: Test, to: { url: string; caCertificate: string }): Promise<Front> {
  // Hundreds of calls at once are hundreds of handshakes, which a busy machine may take long for.
  const connect = { ca: to.caCertificate, timeout: 60_000 };
  const agent = new Agent({ connect, allowH2: false, headersTimeout: 0 });
  const admissions: Admission[] = [];
  const events = createEvents<Admission>();
  const id = randomUUID();
  const probe = { name: `sh.helm.release.v1.probe-${id}.v1`, refusal: `this is door ${id}` };

  async function pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const calledAt = performance.now();
    const body = await text(request);
    const review = JSON.parse(body);
    if (review.request.name === probe.name) return refuse(review, response);
    const hangUp = new AbortController();
    response.on('close', () => hangUp.abort());
    const answer = await agent.request({
      origin: to.url,
      path: request.url ?? '/',
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
      signal: hangUp.signal,
    });
    const answered = await answer.body.text();
    const admission = admissionOf(review, answer.statusCode === 200 ? answered : '{}', calledAt);
    admissions.push(admission);
    events.publish(admission);
    const contentType = String(answer.headers['content-type']);
    response.writeHead(answer.statusCode, { 'content-type': contentType }).end(answered);
  }

  function refuse(review: Json, response: ServerResponse): void {
    const status = { code: 418, message: probe.refusal };
    const answer = {
      ...review,
      request: undefined,
      response: { uid: review.request.uid, allowed: false, status },
    };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  }

  const server = createServer(
    { cert: serving.pair.certificate, key: serving.pair.privateKey },
    (request, response) => {
      // Lockkeeper is down, or the caller hung up: the API server is to see no more than that.
      pass(request, response).catch(() => response.destroy());
    },
  );
  // As Lockkeeper does (trap 18).
  server.keepAliveTimeout = 120_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(async () => {
    server.close();
    server.closeAllConnections();
    await agent.destroy();
  });
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    caCertificate: serving.caCertificate,
    admissions,
    next: events.next,
    probe,
  };
}

function admissionOf(review: Json, answered: string, calledAt: number): Admission {
  const { userInfo, operation, kind, namespace, name } = review.request;
  const response = JSON.parse(answered).response ?? {};
  return {
    user: userInfo.username,
    operation,
    kind: kind.kind,
    namespace,
    name,
    allowed: response.allowed === true,
    code: response.status?.code,
    retryAfterSeconds: response.status?.details?.retryAfterSeconds,
    message: response.status?.message,
    warnings: response.warnings ?? [],
    calledAt,
    answeredAt: performance.now(),
    review,
  };
}
