/** Who may send reviews: whoever knows the path, and has the client certificate where one is demanded. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { type AppOptions, buildApp } from '../../src/http/app.ts';
import { serveWith } from '../../src/http/tls.ts';
import { issueServingCertificate } from '../../src/tls/issue.ts';
import { deployReview } from '../fixtures/reviews.ts';
import { bystanders } from '../support/app.ts';
import { testLog } from '../support/log.ts';
import { serving } from '../support/serving.ts';
import { clientCertificate, foreignAuthority } from '../tls/foreign.ts';

/** A second ago: a certificate begins at a whole one. */
const today = { validDays: 1, now: new Date(Date.now() - 1_000) };
const [ours, theirs] = [foreignAuthority(named('clients')), foreignAuthority(named('others'))];
const vouched = clientCertificate(ours, today);
const stranger = clientCertificate(theirs, today);
const server = await issueServingCertificate(ours, { hosts: ['server'], ...today });

function named(value: string) {
  return { ...today, subject: [{ name: 'commonName', value }] };
}

const PATH = '/admission/0123456789abcdef0123456789abcdef';
const REVIEW = JSON.stringify(deployReview());

async function serve(t: Test, options: Partial<AppOptions> = {}) {
  const logs = testLog();
  let reviews = 0;
  const app = buildApp({
    ...bystanders,
    tls: serving.pair,
    admissionPaths: { isRight: async (path) => path === PATH },
    admission: {
      review: async () => {
        reviews += 1;
        return { allowed: true, warnings: [] };
      },
    },
    readiness: { reasons: () => [], notes: () => [] },
    metrics: {
      admission: () => {},
      held: () => {},
      cleared: () => {},
      ended: () => {},
      text: async () => '',
      contentType: '',
    },
    log: logs.log,
    ...options,
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  t.teardown(() => app.close());
  const { port } = app.server.address() as AddressInfo;

  async function connected(more: ConnectionOptions = {}): Promise<TLSSocket> {
    const socket = connect({ port, host: '127.0.0.1', ca: serving.caCertificate, ...more });
    socket.on('error', () => {});
    t.teardown(() => socket.destroy());
    await once(socket, 'secureConnect');
    return socket;
  }
  return { app, logs, connected, reviews: () => reviews };
}

interface Asked {
  readonly method?: string;
  readonly path?: string;
  readonly body?: string;
  readonly length?: number;
}

const head = ({ method = 'POST', path = PATH, body = REVIEW, length = Buffer.byteLength(body) }: Asked) =>
  `${method} ${path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`;

/** The whole next answer. */
async function answerOf(socket: TLSSocket): Promise<string> {
  let answer = '';
  const done = () => {
    const [start = '', body] = answer.split('\r\n\r\n');
    const length = Number(/content-length: (\d+)/i.exec(start)?.[1]);
    return body !== undefined && Buffer.byteLength(body) >= length;
  };
  while (!done()) answer += String((await once(socket, 'data'))[0]);
  return answer;
}

async function ask(socket: TLSSocket, asked: Asked = {}): Promise<string> {
  socket.write(head(asked) + (asked.body ?? REVIEW));
  return answerOf(socket);
}

t.test('by the right path a review is read, whatever its query', async (t) => {
  const { connected, reviews } = await serve(t);
  const socket = await connected();
  for (const path of [PATH, `${PATH}?timeout=10s`, `${PATH}?`]) {
    t.match(await ask(socket, { path }), /^HTTP\/1\.1 200 .*"allowed":true/s, path);
  }
  t.equal(reviews(), 3);
});

t.test(
  'by any other path nothing is read: the answer comes before the body, and ends the connection',
  async (t) => {
    const { connected, reviews, logs } = await serve(t, { limits: { maxMemory: 0, maxMemoryOfOne: 0 } });
    for (const [method, path] of [
      ['POST', '/admission'],
      ['POST', '/'],
      ['POST', `${PATH}0`],
      ['POST', `${PATH}/`],
      ['POST', `${PATH}%30`],
      ['POST', `/.${PATH}`],
      ['POST', `https://elsewhere.example${PATH}`],
      ['POST', PATH.toUpperCase()],
      ['POST', `/admission?${PATH}`],
      ['POST', '/api/v1/locks'],
      ['PUT', PATH],
      ['PATCH', '/elsewhere'],
    ] as const) {
      const socket = await connected();
      const closed = once(socket, 'close');
      // No byte of the body is sent.
      socket.write(head({ method, path, length: 7_000_000 }));
      const answer = await answerOf(socket);
      t.match(answer, /^HTTP\/1\.1 404 .*connection: close/is, `${method} ${path}`);
      t.match(answer, `"detail":"there is no ${method} ${path.split('?')[0]}"`);
      await closed;
    }
    t.equal(reviews(), 0);
    t.strictSame(logs.messages().slice(1), [], 'nothing was counted as in hand');
  },
);

t.test('a request without a body that leads nowhere keeps its connection', async (t) => {
  const { connected } = await serve(t);
  const socket = await connected();
  for (const path of ['/elsewhere', PATH]) {
    t.match(await ask(socket, { method: 'GET', path, body: '' }), /^HTTP\/1\.1 404 .*keep-alive/is);
  }
  t.match(await ask(socket, { path: '/elsewhere', body: '' }), /^HTTP\/1\.1 404 .*keep-alive/is);
});

const DEMANDING = {
  demandsClientCertificate: true,
  tls: { ...serving.pair, clientCa: ours.certificate },
};
const OURS = { cert: vouched.certificate, key: vouched.privateKey };
const THEIRS = { cert: stranger.certificate, key: stranger.privateKey };

t.test('where a client certificate is demanded, reviews come with it, and all else without', async (t) => {
  const { connected, reviews, logs } = await serve(t, DEMANDING);
  t.match(await ask(await connected(OURS)), /^HTTP\/1\.1 200 /);
  for (const [given, options] of [
    ['none', {}],
    ['one of somebody else', THEIRS],
    ['one that is for servers', { cert: server.certificate, key: server.privateKey }],
  ] as const) {
    const socket = await connected(options);
    t.match(await ask(socket, { method: 'GET', path: '/livez', body: '' }), /^HTTP\/1\.1 200 /, given);
    const answer = await ask(socket, { length: 7_000_000 });
    t.match(answer, /^HTTP\/1\.1 403 .*connection: close.*must come with a client certificate/is, given);
    const other = await connected(options);
    t.match(await ask(other, { path: '/admission' }), /^HTTP\/1\.1 404 /, `${given}: the path comes first`);
  }
  t.equal(reviews(), 1);
  t.match(logs.lines.at(-1), { msg: 'a review without the client certificate was refused', ip: '127.0.0.1' });
});

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  t.test(`a session that is resumed is worth what it was at its beginning, ${version}`, async (t) => {
    const { app, connected } = await serve(t, DEMANDING);
    const versions = { minVersion: version, maxVersion: version, servername: 'localhost' };

    async function begin(options: ConnectionOptions): Promise<Buffer | undefined> {
      const socket = await connected({ ...versions, ...options, checkServerIdentity: () => undefined });
      let session: Buffer | undefined;
      socket.on('session', (given) => {
        session = given;
      });
      await ask(socket, { method: 'GET', path: '/livez', body: '' });
      return session ?? socket.getSession();
    }
    async function resume(session: Buffer | undefined) {
      const options = { ...versions, ...(session && { session }), checkServerIdentity: () => undefined };
      const socket = await connected(options);
      return { isReused: socket.isSessionReused(), answer: await ask(socket) };
    }
    const withOurs = await begin(OURS);
    t.match(await resume(await begin({})), { isReused: true, answer: /^HTTP\/1\.1 403 / }, 'no certificate');
    t.match(await resume(withOurs), { isReused: true, answer: /^HTTP\/1\.1 200 / }, 'one of ours');
    serveWith(app, { ...serving.pair, clientCa: theirs.certificate });
    t.match(await resume(withOurs), { isReused: false, answer: /^HTTP\/1\.1 403 / }, 'of an old authority');
  });
}

t.test('another client CA: those who were let in by the old one are asked to come anew', async (t) => {
  const { app, connected } = await serve(t, DEMANDING);
  const old = await connected(OURS);
  t.match(await ask(old), /^HTTP\/1\.1 200 .*connection: keep-alive/is);
  serveWith(app, { ...serving.pair, clientCa: ours.certificate });
  t.match(await ask(old), /^HTTP\/1\.1 200 .*connection: keep-alive/is, 'the same one is no news');
  serveWith(app, { ...serving.pair, clientCa: theirs.certificate });
  t.match(await ask(await connected(OURS)), /^HTTP\/1\.1 403 /);
  t.match(await ask(await connected(THEIRS)), /^HTTP\/1\.1 200 .*connection: keep-alive/is);
  const closed = once(old, 'close');
  t.match(await ask(old), /^HTTP\/1\.1 200 .*connection: close/is, 'without a deploy that fails for it');
  await closed;
  serveWith(app, { ...serving.pair, clientCa: ours.certificate + theirs.certificate });
  for (const options of [OURS, THEIRS]) t.match(await ask(await connected(options)), /^HTTP\/1\.1 200 /);
});

t.test('where none is demanded, nobody is asked for one', async (t) => {
  const { app, connected } = await serve(t);
  t.match(await ask(await connected(THEIRS)), /^HTTP\/1\.1 200 /);
  const [secure] = (await Promise.all([once(app.server, 'secureConnection'), connected(THEIRS)]))[0] as [
    TLSSocket,
  ];
  t.equal(secure.getPeerX509Certificate(), undefined);
  serveWith(app, serving.pair);
  t.match(await ask(await connected()), /^HTTP\/1\.1 200 /);
});
