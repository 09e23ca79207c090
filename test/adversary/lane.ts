/** The way of one replica to the API server, on which its watches can be cut or stalled, and everything be blocked. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Agent, createServer, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';
import { serving } from '../support/serving.ts';

export interface Lane {
  readonly url: string;
  /** PEM. */
  readonly caCertificate: string;
  cutWatches(): void;
  /** Watches stay open, and tell nothing, until this is taken back. */
  stall(isStalled: boolean): void;
  /** Nothing passes, and nobody is answered, until this is taken back. */
  block(isBlocked: boolean): void;
}

/** Ends with the test. @param to of the API server */
export async function startLane(t: Test, to: { url: string; caCertificate: string }): Promise<Lane> {
  const agent = new Agent({ keepAlive: true, ca: to.caCertificate });
  const watches = new Map<ServerResponse, IncomingMessage>();
  const underWay = new Set<ServerResponse>();
  let isStalled = false;
  let isBlocked = false;

  function pass(request: IncomingMessage, response: ServerResponse): void {
    if (isBlocked) return void response.destroy();
    underWay.add(response);
    const { method, headers, url = '' } = request;
    const onward = httpsRequest(`${to.url}${url}`, { agent, method, headers });
    request.pipe(onward);
    onward.on('error', () => response.destroy());
    response.on('error', () => {});
    response.on('close', () => {
      underWay.delete(response);
      watches.delete(response);
      onward.destroy();
    });
    onward.on('response', (answer) => {
      answer.on('error', () => response.destroy());
      response.writeHead(answer.statusCode ?? 0, answer.headers);
      // A watch may have nothing to tell for long, and its caller waits for the headers.
      response.flushHeaders();
      answer.on('data', (piece) => response.write(piece)).on('end', () => response.end());
      if (!/[?&]watch=(true|1)/.test(url)) return;
      watches.set(response, answer);
      if (isStalled) answer.pause();
    });
  }

  const server = createServer({ cert: serving.pair.certificate, key: serving.pair.privateKey }, pass);
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
    cutWatches() {
      for (const response of watches.keys()) response.destroy();
    },
    stall(stalled) {
      isStalled = stalled;
      for (const answer of watches.values()) {
        if (stalled) answer.pause();
        else answer.resume();
      }
    },
    block(blocked) {
      isBlocked = blocked;
      if (blocked) for (const response of underWay) response.destroy();
    },
  };
}
