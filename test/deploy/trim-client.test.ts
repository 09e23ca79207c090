/** What is built of the Kubernetes client logs in as the whole of it does. */
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import type { RequestOptions } from 'node:https';
import { stripTypeScriptTypes } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import t from 'tap';
import * as whole from '../../src/kubernetes/kubeconfig.ts';
import { serving } from '../support/serving.ts';
import { run } from '../tools/run.ts';

const REPOSITORY = resolve(import.meta.dirname, '../..');

const folder = await mkdtemp(join(tmpdir(), 'trim-client-'));
t.teardown(() => rm(folder, { recursive: true }));
const file = join(folder, 'kubernetes/kubeconfig.js');
await mkdir(join(folder, 'kubernetes'));
await symlink(join(REPOSITORY, 'node_modules'), join(folder, 'node_modules'));
const source = await readFile(join(REPOSITORY, 'src/kubernetes/kubeconfig.ts'), 'utf8');
await writeFile(file, stripTypeScriptTypes(source));
await writeFile(join(folder, 'token'), 'of a file');
const { code, stderr } = await run(process.execPath, [join(REPOSITORY, 'deploy/trim-client.ts'), folder]);
if (code !== 0) throw new Error(stderr);
const trimmed = (await import(file)) as typeof whole;

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

t.test('and no model of Kubernetes is in it', async (t) => {
  t.notMatch(await readFile(file, 'utf8'), 'V1PodSpec');
});
