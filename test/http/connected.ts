/** The REST endpoints over real HTTPS: for what is about connections, and for paths that must arrive as they are. */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import type { Test } from 'tap';
import { issueAuthority, issueServingCertificate } from '../../src/tls/issue.ts';
import { type RestApp, type RestAppOptions, restApp } from '../support/app.ts';
import type { Json, RestAnswer } from '../support/rest.ts';

const now = new Date();
const authority = await issueAuthority({ commonName: 'test', validDays: 1, now });
const tls = await issueServingCertificate(authority, { hosts: ['127.0.0.1'], validDays: 1, now });

type Method = 'GET' | 'HEAD' | 'DELETE';

/** A request whose answer has begun. */
export interface OpenCall {
  readonly response: IncomingMessage;
  /** The next line, read as JSON; undefined at the end. */
  line(): Promise<Json>;
  hangUp(): void;
}

export interface ConnectedApp extends RestApp {
  /** Sends it as Alice, and reads the whole answer. */
  call(method: Method, path: string, headers?: Readonly<Record<string, string>>): Promise<RestAnswer>;
  /** Sends it as Alice, and reads as it is told. */
  open(path: string, headers?: Readonly<Record<string, string>>): Promise<OpenCall>;
  /** Sends it as Alice; hangs up when it is told, before there was an answer. */
  begin(path: string, headers?: Readonly<Record<string, string>>): { hangUp(): void };
}

export async function connectedApp(t: Test, options: RestAppOptions = {}): Promise<ConnectedApp> {
  const rest = await restApp(t, { ...options, tls });
  await rest.app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = rest.app.server.address() as AddressInfo;

  function start(method: Method, path: string, headers: Readonly<Record<string, string>> = {}) {
    const request = httpsRequest({
      host: '127.0.0.1',
      port,
      ca: authority.certificate,
      agent: false,
      method,
      path,
      headers: { authorization: 'Bearer alice', ...headers },
    });
    request.on('error', () => {}); // who hangs up need not hear of it
    request.end();
    return request;
  }

  async function answerTo(request: ReturnType<typeof start>): Promise<IncomingMessage> {
    const [response] = await once(request, 'response');
    return response;
  }

  return {
    ...rest,
    async call(method, path, headers) {
      const response = await answerTo(start(method, path, headers));
      const chunks = await response.toArray();
      const text = Buffer.concat(chunks).toString();
      const isJson = /json(;|$)/.test(String(response.headers['content-type']));
      return {
        status: response.statusCode ?? 0,
        headers: response.headers,
        body: isJson && text !== '' && !text.includes('\n') ? JSON.parse(text) : text,
      };
    },
    async open(path, headers) {
      const request = start('GET', path, headers);
      const response = await answerTo(request);
      const lines = createInterface(response)[Symbol.asyncIterator]();
      return {
        response,
        line: async () => {
          const { value, done } = await lines.next();
          return done ? undefined : JSON.parse(value);
        },
        hangUp: () => request.destroy(),
      };
    },
    begin(path, headers) {
      const request = start('GET', path, headers);
      return { hangUp: () => request.destroy() };
    },
  };
}
