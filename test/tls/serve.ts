/** A real HTTPS server, and a client that trusts one authority only. */
import { createServer, get } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';
import type { KeyPair } from '../../src/tls/issue.ts';

/** What a client asks for; without a name it calls the server by its IP address. */
export interface Client {
  readonly ca: string;
  readonly servername?: string;
}

/** Serves on 127.0.0.1 until the test ends. The returned function resolves to the body, or to an error's code. */
export async function serve(t: Test, pair: KeyPair): Promise<(client: Client) => Promise<string>> {
  const server = createServer({ cert: pair.certificate, key: pair.privateKey }, (_request, response) => {
    response.end('served');
  });
  t.teardown(() => server.close());
  const listening = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', listening.resolve);
  await listening.promise;
  const { port } = server.address() as AddressInfo;

  return (client) => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const request = get({ host: '127.0.0.1', port, agent: false, ...client }, (response) => {
      response.setEncoding('utf8').on('data', resolve);
    });
    request.on('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)));
    return promise;
  };
}
