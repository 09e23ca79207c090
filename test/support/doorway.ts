/**
 * A way to the API server on which a test can stop people: it passes on what it is sent as it is, once it is told to.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Agent, createServer, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';
import { serving } from './serving.ts';

export interface Doorway {
  readonly url: string;
  /** PEM. */
  readonly caCertificate: string;
  /** Whoever asks this waits until the promise resolves. Returns the function that ends it. */
  stop(whom: (request: IncomingMessage) => Promise<void> | undefined): () => void;
  /** Whoever asks this is answered as by an API server in trouble. Returns the function that ends it. */
  refuse(whom: (request: IncomingMessage) => boolean): () => void;
}

const TROUBLE = {
  apiVersion: 'v1',
  kind: 'Status',
  status: 'Failure',
  reason: 'InternalError',
  message: 'the doorway refused this',
  code: 500,
};

/** Ends with the test. @param to of the API server */
export async function startDoorway(t: Test, to: { url: string; caCertificate: string }): Promise<Doorway> {
  const agent = new Agent({ keepAlive: true, ca: to.caCertificate });
  const rules = new Set<(request: IncomingMessage) => Promise<void> | undefined>();
  const refusals = new Set<(request: IncomingMessage) => boolean>();

  async function pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const rule of rules) await rule(request);
    if ([...refusals].some((isRefused) => isRefused(request))) {
      response.writeHead(500, { 'content-type': 'application/json' }).end(JSON.stringify(TROUBLE));
      return;
    }
    const onward = httpsRequest(`${to.url}${request.url}`, {
      agent,
      method: request.method,
      headers: request.headers,
    });
    request.pipe(onward);
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    onward.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 0, answer.headers);
      // A watch may have nothing to tell for long, and its caller waits for the headers.
      response.flushHeaders();
      answer.pipe(response);
    });
  }

  const server = createServer({ cert: serving.pair.certificate, key: serving.pair.privateKey }, pass);
  // As an API server does: Node would end an idle connection after 5 s, maybe while Helm comes back over it.
  server.keepAliveTimeout = 120_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
    agent.destroy();
  });
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    caCertificate: serving.caCertificate,
    stop(rule) {
      rules.add(rule);
      return () => void rules.delete(rule);
    },
    refuse(whom) {
      refusals.add(whom);
      return () => void refusals.delete(whom);
    },
  };
}
