/** What is built of the Kubernetes client logs in as the whole of it does. */
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type RequestOptions } from 'node:https';
import { stripTypeScriptTypes } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import t from 'tap';
import { systemClock } from '../../src/clock.ts';
import type * as connection from '../../src/kubernetes/connection.ts';
import type { Pool } from '../../src/kubernetes/connection.ts';
import * as whole from '../../src/kubernetes/kubeconfig.ts';
import { serving } from '../support/serving.ts';
import { run } from '../tools/run.ts';

const REPOSITORY = resolve(import.meta.dirname, '../..');

const folder = await mkdtemp(join(tmpdir(), 'trim-client-'));
t.teardown(() => rm(folder, { recursive: true }));
const file = join(folder, 'kubernetes/kubeconfig.js');
await mkdir(join(folder, 'kubernetes'));
await symlink(join(REPOSITORY, 'node_modules'), join(folder, 'node_modules'));
for (const name of ['kubeconfig', 'connection']) {
  const source = await readFile(join(REPOSITORY, `src/kubernetes/${name}.ts`), 'utf8');
  await writeFile(join(folder, `kubernetes/${name}.js`), stripTypeScriptTypes(source));
}
await writeFile(join(folder, 'token'), 'of a file');
const { code, stderr } = await run(process.execPath, [join(REPOSITORY, 'deploy/trim-client.ts'), folder]);
if (code !== 0) throw new Error(stderr);
const trimmed = (await import(file)) as typeof whole;
const { connect } = (await import(join(folder, 'kubernetes/connection.js'))) as typeof connection;

const CREDENTIAL = {
  apiVersion: 'client.authentication.k8s.io/v1',
  kind: 'ExecCredential',
  status: { token: 'of a program' },
};

const EXEC = {
  apiVersion: CREDENTIAL.apiVersion,
  command: process.execPath,
  args: ['-e', `console.log(${JSON.stringify(JSON.stringify(CREDENTIAL))})`],
  interactiveMode: 'Never',
};

const [cert, key] = [serving.pair.certificate, serving.pair.privateKey].map((pem) =>
  Buffer.from(pem).toString('base64'),
);

/** How kubectl can be told to log in, and what it then sends. */
const USERS = {
  'a token': [{ token: 'of the kubeconfig' }, 'Bearer of the kubeconfig'],
  'a token in a file, as in a pod': [
    { 'auth-provider': { name: 'tokenFile', config: { tokenFile: join(folder, 'token') } } },
    'Bearer of a file',
  ],
  'a program': [{ exec: EXEC }, 'Bearer of a program'],
  'a certificate': [{ 'client-certificate-data': cert, 'client-key-data': key }, undefined],
  'a password': [{ username: 'alice', password: 'secret' }, undefined],
} as const;

function kubeconfig(user: object, cluster: object = {}): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'one', cluster: { server: 'https://127.0.0.1:6443', ...cluster } }],
    users: [{ name: 'one', user }],
    contexts: [{ name: 'one', context: { cluster: 'one', user: 'one' } }],
    'current-context': 'one',
  });
}

/** Without the agent, which is another one each time. */
async function loginBy({ newKubeConfig }: typeof whole, config: string): Promise<RequestOptions> {
  const kubeConfig = newKubeConfig();
  kubeConfig.loadFromString(config);
  const login: RequestOptions = {};
  await kubeConfig.applyToHTTPSOptions(login);
  const { agent: _, ...rest } = login;
  return rest;
}

for (const [name, [user, authorization]] of Object.entries(USERS)) {
  t.test(`${name} is what it was`, async (t) => {
    const config = kubeconfig(user);
    const login = await loginBy(trimmed, config);
    t.same(login, await loginBy(whole, config));
    if (authorization) t.same(login.headers, { Authorization: authorization });
    else t.ok(login.auth ?? login.cert);
  });
}

t.test('so is a proxy', async (t) => {
  for (const proxy of ['socks5://127.0.0.1:1', 'http://127.0.0.1:1', 'https://127.0.0.1:1']) {
    const [one, other] = [trimmed, whole].map(({ newKubeConfig }) => {
      const kubeConfig = newKubeConfig();
      kubeConfig.loadFromString(kubeconfig({ token: 'x' }, { 'proxy-url': proxy }));
      return kubeConfig;
    });
    const logins: RequestOptions[] = [{}, {}];
    await one?.applyToHTTPSOptions(logins[0] as RequestOptions);
    await other?.applyToHTTPSOptions(logins[1] as RequestOptions);
    const [name, expected] = logins.map(({ agent }) => (agent as object).constructor.name);
    t.equal(name, expected, `${proxy}: ${expected}`);
  }
});

t.test('a connection of what is built asks, watches, gives up and closes', async (t) => {
  const server = createServer(
    { cert: serving.pair.certificate, key: serving.pair.privateKey },
    (asked, reply) => {
      if (asked.url === '/never') return;
      reply.write(asked.url);
      if (asked.url !== '/watch') reply.end();
    },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close().closeAllConnections());
  const origin = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const kubeConfig = trimmed.newKubeConfig();
  const ca = Buffer.from(serving.caCertificate).toString('base64');
  kubeConfig.loadFromString(kubeconfig({ token: 'x' }, { server: origin, 'certificate-authority-data': ca }));
  const open = connect(kubeConfig, { clock: systemClock, watchSilenceMs: 10 });
  const never = new AbortController().signal;
  const access = await open.access(never);
  const ask = (pool: Pool, path: string, more: object = {}) =>
    access[pool].request({ origin, path, method: 'GET', ...more });
  for (const pool of ['requests', 'errands', 'passage'] as const) {
    const { statusCode, body } = await ask(pool, `/${pool}`);
    t.same([statusCode, await body.text()], [200, `/${pool}`]);
  }
  const { body } = await ask('watches', '/watch');
  await t.rejects(body.text(), { code: 'UND_ERR_BODY_TIMEOUT' });
  await t.rejects(ask('requests', '/never', { signal: AbortSignal.timeout(10) }), { name: 'TimeoutError' });
  await t.rejects(ask('requests', '/never', { headersTimeout: 10 }), { code: 'UND_ERR_HEADERS_TIMEOUT' });
  await open.close();
});

t.test('and no model of Kubernetes is in it, nor any fetch', async (t) => {
  let all = '';
  for (const name of await readdir(join(folder, 'kubernetes'))) {
    all += await readFile(join(folder, 'kubernetes', name), 'utf8');
  }
  t.ok(all.includes('MAX_ANSWER_BYTES'), 'what is ours is there');
  t.notOk(all.includes('V1PodSpec'));
  t.notOk(all.includes('MockAgent'));
});
