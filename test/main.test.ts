/** The process: what it prints, when it is ready, how it ends. Wrong configuration is in config.test.ts. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { issueAuthority, issueServingCertificate } from '../src/tls/issue.ts';
import { startEmbeddedCluster } from './clusters/embedded/cluster.ts';
import { GATE_WEBHOOKS_PATH, gateWebhook } from './support/gate-webhook.ts';
import { record } from './support/records.ts';

const MAIN = new URL('../src/main.ts', import.meta.url).pathname;

/** Throws where nobody catches, once SIGUSR2 arrives. */
const SABOTAGE = `data:text/javascript,${encodeURIComponent("process.on('SIGUSR2', () => { throw new Error('sabotage'); });")}`;

interface Line {
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** Starts the process; `line` resolves with its first log line, past or to come, that says so. */
async function startMain(t: Test, environment: Record<string, string> = {}) {
  const cluster = await startEmbeddedCluster();
  t.teardown(() => cluster.stop());
  const now = new Date();
  const authority = await issueAuthority({ commonName: 'test', validDays: 1, now });
  const pair = await issueServingCertificate(authority, { hosts: ['127.0.0.1'], validDays: 1, now });
  const [certFile, keyFile] = [join(cluster.folder, 'tls.crt'), join(cluster.folder, 'tls.key')];
  await writeFile(certFile, pair.certificate);
  await writeFile(keyFile, pair.privateKey);

  const child = spawn(process.execPath, [MAIN], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      KUBECONFIG: await cluster.kubeconfig({ user: { username: 'lockkeeper' } }),
      LOCKKEEPER_HOST: '127.0.0.1',
      LOCKKEEPER_PORT: '0',
      LOCKKEEPER_METRICS_PORT: '0',
      LOCKKEEPER_TLS_CERT_FILE: certFile,
      LOCKKEEPER_TLS_KEY_FILE: keyFile,
      ...environment,
    },
  });
  t.teardown(() => child.kill('SIGKILL'));
  const ended = once(child, 'exit');
  const lines: Line[] = [];
  const wanted = new Map<string, (line: Line) => void>();
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const parts = `${rest}${text}`.split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts) {
      const line = JSON.parse(part) as Line;
      lines.push(line);
      wanted.get(line.msg)?.(line);
    }
  });
  return {
    cluster,
    child,
    ended,
    lines,
    authority: authority.certificate,
    line: (msg: string) =>
      new Promise<Line>((resolve) => {
        wanted.set(msg, resolve);
        const past = lines.find((line) => line.msg === msg);
        if (past) resolve(past);
      }),
  };
}

t.test('SIGTERM in mid-hold: the held call is answered 429, and the process ends with 0', async (t) => {
  const { cluster, child, ended, line, authority } = await startMain(t);
  const { port } = await line('listening');
  await line('listed');
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  await admin.create(
    GATE_WEBHOOKS_PATH,
    gateWebhook({ url: `https://127.0.0.1:${port}`, caCertificate: authority }),
  );
  cluster.seed([record('api', 1, 'pending-upgrade')]);
  const held = admin.request('POST', '/api/v1/namespaces/prod/secrets', record('api', 2, 'pending-upgrade'));
  await line('held');
  child.kill('SIGTERM');
  t.match(await held, { code: 429, headers: { 'retry-after': '1' } });
  t.same(await ended, [0, null]);
  t.match(await line('stopping'), { signal: 'SIGTERM' });
  await line('stopped');
});

t.test('the plain port, and the level of the log', async (t) => {
  const { child, ended, line, lines } = await startMain(t, {
    LOCKKEEPER_METRICS_PORT: String(await freePort()),
    LOCKKEEPER_DRIVERS: 'configmaps',
  });
  const { metricsPort } = await line('listening');
  t.match(await line('listed'), { resource: 'configmaps' });
  const response = await fetch(`http://127.0.0.1:${metricsPort}/readyz`);
  t.equal(response.status, 200);
  child.kill('SIGINT');
  t.same(await ended, [0, null]);
  t.notOk(
    lines.some(({ level }) => level === 20),
    'nothing below info',
  );
});

t.test('a port that is taken ends it with 78 and the reason', async (t) => {
  const first = await startMain(t);
  const { port } = await first.line('listening');
  const second = await startMain(t, { LOCKKEEPER_PORT: String(port) });
  const [errors] = await Promise.all([text(second.child.stderr), second.ended]);
  t.equal(second.child.exitCode, 78);
  t.match(
    errors,
    new RegExp(`^lockkeeper cannot start:\\n  listen EADDRINUSE: .*127\\.0\\.0\\.1:${port}\\n$`),
  );
});

t.test('an error that nobody caught is logged, and ends it with 1', async (t) => {
  const { child, ended, line } = await startMain(t, {
    NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --import ${SABOTAGE}`,
  });
  await line('listed');
  child.kill('SIGUSR2');
  t.match(await line('stopping because of an error'), { level: 60, err: { message: 'sabotage' } });
  t.same(await ended, [1, null]);
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
