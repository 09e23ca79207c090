/**
 * How an API server calls a webhook whose replicas come and go: what a replica that ends relies on, as it was read in
 * net/http and client-go.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { emptyControlPlane } from '../clusters/start.ts';
import { GATE_WEBHOOKS_PATH, gateWebhook } from '../support/gate-webhook.ts';
import { record } from '../support/records.ts';
import { serving } from '../support/serving.ts';

interface Call {
  /** Of the API server, by which a connection is known. */
  readonly port: number | undefined;
  readonly uid: string;
  readonly request: IncomingMessage;
  allow(headers?: Readonly<Record<string, string>>): void;
  readonly response: ServerResponse;
}

/** A webhook that answers its next calls one after the other as it is told, and then all as the last one. */
async function webhook(t: Test) {
  const cluster = await emptyControlPlane(t);
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  const calls: Call[] = [];
  let answers: ((call: Call) => void)[] = [({ allow }) => allow()];

  const server = createServer(
    { cert: serving.pair.certificate, key: serving.pair.privateKey },
    async (request, response) => {
      const { request: asked, ...review } = JSON.parse(await text(request));
      const { uid } = asked;
      const allowed = JSON.stringify({ ...review, response: { uid, allowed: true } });
      const call = {
        port: request.socket.remotePort,
        uid,
        request,
        response,
        allow: (headers = {}) =>
          response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(allowed),
      };
      calls.push(call);
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      answer?.(call);
    },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  const url = `https://127.0.0.1:${port}`;
  await admin.create(GATE_WEBHOOKS_PATH, gateWebhook({ url, caCertificate: serving.caCertificate }));
  const deploy = () =>
    admin.request<{ message?: string }>(
      'POST',
      '/api/v1/namespaces/prod/secrets?dryRun=All',
      record('api', 1, 'pending-install'),
    );
  // It takes some milliseconds to hear of a configuration.
  while (calls.length === 0) await deploy();
  return {
    server,
    /** Makes one deploy, and returns what it came to and the calls that it took. */
    async deploy(...next: ((call: Call) => void)[]) {
      answers = next.length > 0 ? next : [({ allow }) => allow()];
      const before = calls.length;
      const answer = await deploy();
      return { code: answer.code, message: answer.body.message, calls: calls.slice(before) };
    },
  };
}

t.test('trap 18: a connection is taken again, unless the answer says that it ends', async (t) => {
  const { deploy } = await webhook(t);
  const [first, second, third] = [
    await deploy(),
    await deploy(({ allow }) => allow({ connection: 'close' })),
    await deploy(),
  ];
  t.same([first.code, second.code, third.code], [201, 201, 201]);
  t.equal(second.calls[0]?.port, first.calls[0]?.port);
  t.not(third.calls[0]?.port, second.calls[0]?.port);
});

t.test('trap 18: an idle connection that was ended is not missed', async (t) => {
  const { deploy, server } = await webhook(t);
  const { calls } = await deploy();
  const ended = new Promise((resolve) => calls[0]?.request.socket.once('close', resolve));
  server.closeIdleConnections();
  await ended;
  const { code, calls: next } = await deploy();
  t.equal(code, 201);
  t.not(next[0]?.port, calls[0]?.port, 'it connects anew');
});

t.test('a call whose connection is lost is not made again', async (t) => {
  const { deploy } = await webhook(t);
  const { code, message, calls } = await deploy(({ response }) => void response.destroy());
  t.equal(code, 500);
  t.match(message, /failed calling webhook "gate\.lockkeeper\.dev": failed to call webhook: Post .*: EOF$/);
  t.equal(calls.length, 1);
});

t.test('a call that is answered 429 or 5xx is made again if the answer says when', async (t) => {
  const { deploy } = await webhook(t);
  const later = (status: number) => (call: Call) =>
    void call.response.writeHead(status, { 'retry-after': '1', connection: 'close' }).end();
  for (const status of [429, 500, 503]) {
    const { code, calls } = await deploy(later(status), ({ allow }) => allow());
    t.equal(code, 201, `${status}: whoever deploys does not notice`);
    t.equal(new Set(calls.map(({ uid }) => uid)).size, 1, 'it is the same review');
    t.equal(new Set(calls.map(({ port }) => port)).size, 2, 'over another connection');
  }
  const { code, calls } = await deploy(({ response }) => void response.writeHead(503).end());
  t.equal(code, 500, 'if it does not say when, it has failed');
  t.equal(calls.length, 1);
});
