/** A server before the API server that hands on what it is sent, and what comes back, as it is: a test stands there. */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { Agent, createServer, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';
import { serving } from './serving.ts';

export interface Passage {
  readonly url: string;
  /** PEM. */
  readonly caCertificate: string;
}

export interface PassageRules {
  /** Whether a request is handed on; else it has been answered, or was cut off. */
  mayPass(request: IncomingMessage, response: ServerResponse): boolean | Promise<boolean>;
  /** The headers of an answer, as they are handed on. */
  headersOf?(answer: IncomingMessage): IncomingHttpHeaders;
  /** Told when an answer begins. Nothing of it is handed on while it is paused. */
  onAnswer?(request: IncomingMessage, response: ServerResponse, answer: IncomingMessage): void;
}

/** Ends with the test. @param to of the API server */
export async function startPassage(
  t: Test,
  to: { url: string; caCertificate: string },
  { mayPass, headersOf = ({ headers }) => headers, onAnswer = () => {} }: PassageRules,
): Promise<Passage> {
  const agent = new Agent({ keepAlive: true, ca: to.caCertificate });

  async function pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!(await mayPass(request, response)) || response.destroyed) return;
    const { method, headers, url = '' } = request;
    const onward = httpsRequest(`${to.url}${url}`, { agent, method, headers });
    request.pipe(onward);
    onward.on('error', () => response.destroy());
    response.on('error', () => {});
    response.on('close', () => onward.destroy());
    onward.on('response', (answer) => {
      answer.on('error', () => response.destroy());
      response.writeHead(answer.statusCode ?? 0, headersOf(answer));
      // A watch may have nothing to tell for long, and its caller waits for the headers.
      response.flushHeaders();
      answer.on('data', (piece) => response.write(piece)).on('end', () => response.end());
      onAnswer(request, response, answer);
    });
  }

  const server = createServer({ cert: serving.pair.certificate, key: serving.pair.privateKey }, pass);
  // As an API server does: Node would end an idle connection after 5 s, maybe while somebody comes back over it.
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
  };
}
