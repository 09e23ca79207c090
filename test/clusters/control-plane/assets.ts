/**
 * Runs ready-made binaries of etcd and kube-apiserver, by the same protocol as main.go: the folder that
 * KUBEBUILDER_ASSETS names, as controller-runtime's envtest has it, for machines that have those and no Go.
 *
 *   node assets.ts /path/to/bin -user alice -user bob=devs,ops
 *
 * Whatever ends it, but SIGKILL, ends both and removes the folder: SIGINT, SIGTERM and, with -while-stdin, the end of its
 * standard input, which is also what the death of its parent does. Until the API server is back after a SIGHUP, it refuses
 * connections.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { access, constants, copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { freePort } from '../../support/free-port.ts';
import { type Connection, connect } from '../client.ts';
import { writeKubeconfig } from '../kubeconfig.ts';
import { startControllers } from './controllers.ts';
import { type Daemon, startDaemon } from './daemon.ts';

interface StaticUser {
  readonly name: string;
  readonly groups: readonly string[];
}

/** What is running, and how it is reached. */
interface Servers {
  readonly etcd: string;
  readonly url: string;
  readonly caCertificate: string;
  readonly version: string;
  /** Those that run now. */
  readonly daemons: readonly Daemon[];
  /** Resolves when another API server is ready in its place. */
  restartApiServer(): Promise<void>;
}

const ADMIN: StaticUser = { name: 'admin', groups: ['system:masters'] };

/** Another process may take a port between the moment it was free and the moment it is listened on. */
const ATTEMPTS = 5;

/** Longest time until a server answers. It takes 5 s on two idle cores. */
const PATIENCE_MS = 120_000;

const PAUSE_MS = 50;

async function main(args: readonly string[]): Promise<void> {
  const { binaries, users, whileStdin } = optionsOf(args);
  await Promise.all(['etcd', 'kube-apiserver'].map((name) => requireBinary(binaries, name)));
  const ending = new AbortController();
  const end = () => ending.abort();
  process.on('SIGINT', end).on('SIGTERM', end);
  if (whileStdin) process.stdin.once('close', end).on('error', end).resume();
  const folder = await mkdtemp(join(tmpdir(), 'control-plane-'));
  // Of last resort: an exception that nobody catches.
  process.once('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  try {
    await run(binaries, folder, users, ending.signal);
  } catch (error) {
    if (!ending.signal.aborted) throw error;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Serves until the signal aborts. @throws Error when something does not start, or ends */
async function run(binaries: string, folder: string, users: readonly StaticUser[], signal: AbortSignal) {
  const tokens = Object.fromEntries(users.map(({ name }) => [name, randomBytes(16).toString('hex')]));
  await prepare(folder, users, tokens);
  const { daemons, restartApiServer, ...servers } = await startServers(
    binaries,
    folder,
    tokens[ADMIN.name] as string,
    signal,
  );
  const controllers = new AbortController();
  try {
    const connection = (name: string) => ({ ...servers, token: tokens[name] as string });
    startControllers(connection(ADMIN.name), controllers.signal);
    const kubeconfigs: Record<string, string> = {};
    for (const { name } of users) {
      const content = { ...connection(name), user: { username: name }, namespace: undefined };
      kubeconfigs[name] = await writeKubeconfig(folder, content);
    }
    const line = `${JSON.stringify({ ...servers, folder, tokens, kubeconfigs })}\n`;
    for (;;) {
      await print(line);
      await Promise.race([aborted(signal), hungUp(), ...daemons.map(({ failed }) => failed)]);
      if (signal.aborted) return;
      await restartApiServer();
    }
  } finally {
    controllers.abort();
    await stopAll(daemons);
  }
}

function optionsOf(args: readonly string[]) {
  const { positionals, values } = parseArgs({
    // Go's flags have one dash.
    args: args.map((arg) => arg.replace(/^-(?=\w)/, '--')),
    options: { user: { type: 'string', multiple: true }, 'while-stdin': { type: 'boolean' } },
    allowPositionals: true,
  });
  const [binaries, ...others] = positionals;
  if (binaries === undefined || others.length > 0) {
    throw new Error('usage: node assets.ts <folder> [-user name[=group,group]]... [-while-stdin]');
  }
  const users = [ADMIN, ...(values.user ?? []).map(userOf)];
  return { binaries, users, whileStdin: values['while-stdin'] === true };
}

function userOf(value: string): StaticUser {
  const [, name, groups = ''] = /^([^="\n]+)(?:=([^"\n]*))?$/.exec(value) ?? [];
  if (name === undefined) throw new Error(`-user ${value}: a name, and groups after an equals sign`);
  return { name, groups: groups.split(',').filter((group) => group !== '') };
}

async function requireBinary(folder: string, name: string): Promise<void> {
  await access(join(folder, name), constants.X_OK).catch(() => {
    throw new Error(`there is no program ${join(folder, name)}: \`setup-envtest use -p path\` fetches one`);
  });
}

/** Writes the files that kube-apiserver.args names. */
async function prepare(folder: string, users: readonly StaticUser[], tokens: Record<string, string>) {
  const lines = users.map(
    ({ name, groups }) => `${tokens[name]},"${name}","${name}","${groups.join(',')}"\n`,
  );
  const { privateKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'sec1', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  const secret = { mode: 0o600 };
  await writeFile(join(folder, 'tokens.csv'), lines.join(''), secret);
  await writeFile(join(folder, 'service-accounts.key'), privateKey, secret);
  await copyFile(join(import.meta.dirname, 'audit-policy.json'), join(folder, 'audit-policy.json'));
}

/** Again, with other ports, when one was taken in between. */
async function startServers(binaries: string, folder: string, token: string, signal: AbortSignal) {
  for (let attempt = 1; ; attempt += 1) {
    const daemons: Daemon[] = [];
    try {
      return await startOnFreePorts(binaries, folder, token, signal, daemons);
    } catch (error) {
      await stopAll(daemons);
      const { message } = error as Error;
      if (signal.aborted || attempt === ATTEMPTS || !message.includes('address already in use')) throw error;
    }
  }
}

async function startOnFreePorts(
  binaries: string,
  folder: string,
  token: string,
  signal: AbortSignal,
  daemons: Daemon[],
): Promise<Servers> {
  const log = join(folder, 'log');
  const etcd = `http://127.0.0.1:${await freePort()}`;
  const etcdServer = startDaemon(join(binaries, 'etcd'), etcdArguments(folder, etcd), log);
  daemons.push(etcdServer);
  await ready(etcdServer, signal, () => isOwnEtcd(etcd, basename(folder)));

  const port = await freePort();
  const url = `https://127.0.0.1:${port}`;
  const args = [...(await apiServerArguments(folder, etcd)), `--secure-port=${port}`];
  const certificate = () => readFile(join(folder, 'apiserver.crt'), 'utf8');
  const startApiServer = async () => {
    const apiServer = startDaemon(join(binaries, 'kube-apiserver'), args, log);
    daemons.push(apiServer);
    await ready(apiServer, signal, async () => {
      const { code } = await call({ url, caCertificate: await certificate(), token }, '/readyz');
      return code === 200;
    });
  };
  await startApiServer();
  const caCertificate = await certificate();
  const { body } = await call<{ gitVersion: string }>({ url, caCertificate, token }, '/version');
  const restartApiServer = async () => {
    // It answers what it was asked, and tells its audit log so.
    await daemons.pop()?.stop(PATIENCE_MS);
    await startApiServer();
  };
  return { etcd, url, caCertificate, version: body.gitVersion, daemons, restartApiServer };
}

function etcdArguments(folder: string, url: string): string[] {
  // The port of a peer that never comes may be any; that of clients may not: etcd's gateway for JSON calls it.
  const peer = 'http://127.0.0.1:0';
  const name = basename(folder);
  return [
    `--name=${name}`,
    `--data-dir=${join(folder, 'etcd')}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=${name}=${peer}`,
    '--log-level=warn',
    // What is lost in a power cut would have been thrown away anyway.
    '--unsafe-no-fsync',
  ];
}

/** Whether it serves, and is not somebody else's on a port that was taken in between. */
async function isOwnEtcd(url: string, name: string): Promise<boolean> {
  const response = await fetch(`${url}/v3/cluster/member/list`, { method: 'POST', body: '{}' });
  const { members = [] } = (await response.json()) as { members?: { name?: string }[] };
  return members.some((member) => member.name === name);
}

async function apiServerArguments(folder: string, etcd: string): Promise<string[]> {
  const content = await readFile(join(import.meta.dirname, 'kube-apiserver.args'), 'utf8');
  return content
    .split('\n')
    .map((line) => line.trim().replaceAll('{folder}', folder).replaceAll('{etcd}', etcd))
    .filter((line) => line !== '' && !line.startsWith('#'));
}

async function call<Body>(connection: Connection, path: string) {
  const client = connect(connection);
  try {
    return await client.request<Body>('GET', path, undefined, { signal: AbortSignal.timeout(PATIENCE_MS) });
  } finally {
    client.close();
  }
}

/** Waits until it is so. @throws Error when it never is, the program ends before, or the signal aborts */
async function ready(daemon: Daemon, signal: AbortSignal, isReady: () => Promise<boolean>): Promise<void> {
  const deadline = AbortSignal.timeout(PATIENCE_MS);
  const over = new AbortController();
  const either = AbortSignal.any([signal, deadline, over.signal]);
  const answers = async () => {
    // Until it listens, connections are refused.
    while (!either.aborted && !(await isReady().catch(() => false))) await delay(PAUSE_MS);
    signal.throwIfAborted();
    if (deadline.aborted) throw new Error(await daemon.complaint('does not become ready'));
  };
  await Promise.race([answers(), daemon.failed]).finally(() => over.abort());
}

async function stopAll(daemons: readonly Daemon[]): Promise<void> {
  // The API server before the etcd that it writes to.
  for (const daemon of daemons.toReversed()) await daemon.stop();
}

/** Whoever started this may be gone, and must not take the cleaning up with it. */
function print(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.once('error', reject).write(text, () => resolve());
  });
}

function hungUp(): Promise<void> {
  return new Promise((resolve) => process.once('SIGHUP', () => resolve()));
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

await main(process.argv.slice(2)).catch((error: Error) => {
  process.stderr.write(`control-plane: ${error.message}\n`);
  process.exitCode = 1;
});
// Else an input that stays open would keep this process, too.
process.stdin.destroy();
