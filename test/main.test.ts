/** The process: what it prints, when it is ready, how it ends. Wrong configuration is in config.test.ts. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import t, { type Test } from 'tap';
import { Agent } from 'undici';
import { startEmbeddedCluster } from './clusters/embedded/cluster.ts';
import { freePort } from './support/free-port.ts';
import { GATE_WEBHOOKS_PATH, gateWebhook } from './support/gate-webhook.ts';
import { createLogReader } from './support/log.ts';
import { record } from './support/records.ts';
import { issueTlsFiles } from './support/tls.ts';
import { foreignAuthority } from './tls/foreign.ts';

const MAIN = new URL('../src/main.ts', import.meta.url).pathname;

/** Throws where nobody catches, once SIGUSR2 arrives. */
const SABOTAGE = `data:text/javascript,${encodeURIComponent("process.on('SIGUSR2', () => { throw new Error('sabotage'); });")}`;

/** Starts the process on a cluster of its own. An empty variable is an unset one. */
async function startMain(t: Test, environment: Record<string, string> = {}) {
  const cluster = await startEmbeddedCluster();
  t.teardown(() => cluster.stop());
  const { certFile, keyFile, caCertificate } = await issueTlsFiles(join(cluster.folder, 'tls'));
  const child = spawn(process.execPath, [MAIN], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      KUBECONFIG: await cluster.kubeconfig({ user: { username: 'lockkeeper' } }),
      LOCKKEEPER_HOST: '127.0.0.1',
      LOCKKEEPER_PORT: '0',
      LOCKKEEPER_METRICS_PORT: '0',
      LOCKKEEPER_DRAIN_SECONDS: '0',
      LOCKKEEPER_TLS_CERT_FILE: certFile,
      LOCKKEEPER_TLS_KEY_FILE: keyFile,
      ...environment,
    },
  });
  t.teardown(() => child.kill('SIGKILL'));
  const ended = once(child, 'exit');
  const logs = createLogReader();
  child.stdout.setEncoding('utf8').on('data', logs.write);
  return { cluster, child, ended, caCertificate, certFile, keyFile, logs };
}

/** The certificate that is served, as somebody sees it who trusts this authority only. */
async function servedOn(port: unknown, ca: string): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port: Number(port), ca });
  await once(socket, 'secureConnect');
  const certificate = socket.getPeerX509Certificate();
  socket.destroy();
  return certificate?.fingerprint256 ?? '';
}

const OWN = { LOCKKEEPER_TLS_CERT_FILE: '', LOCKKEEPER_TLS_KEY_FILE: '' };

t.test('without files, it serves with an authority of its own, which is in the Secret', async (t) => {
  const { cluster, child, ended, logs } = await startMain(t, { ...OWN, LOCKKEEPER_TLS_CERT_SECONDS: '10' });
  const { port } = await logs.line('listening');
  await (await cluster.client()).createNamespace('lockkeeper');
  await logs.line('serves a new certificate');
  const secret = await (await cluster.client()).get('/api/v1/namespaces/lockkeeper/secrets/lockkeeper-ca');
  const { data } = secret as unknown as { data: Record<string, string> };
  const bundle = Buffer.from(data['ca.crt'] ?? '', 'base64').toString();
  const agent = new Agent({ connect: { ca: bundle }, connections: 1 });
  t.teardown(() => agent.close());
  const livez = () => agent.request({ origin: `https://127.0.0.1:${port}`, path: '/livez', method: 'GET' });
  let connections = 0;
  agent.on('connect', () => {
    connections += 1;
  });
  t.equal(await (await livez()).body.text(), 'ok\n');
  const first = await servedOn(port, bundle);
  await logs.nextLine('serves a new certificate');
  t.not(await servedOn(port, bundle), first, 'renewed');
  t.equal(await (await livez()).body.text(), 'ok\n');
  t.equal(connections, 1, 'and open connections stay open');
  t.notMatch(
    logs.text(),
    Buffer.from(data['tls.key'] ?? '', 'base64')
      .toString()
      .slice(200, 240),
  );
  child.kill('SIGTERM');
  t.same(await ended, [0, null]);
});

t.test('files that are renewed are served without a restart; bad ones never', async (t) => {
  const { cluster, child, ended, logs, caCertificate, certFile, keyFile } = await startMain(t);
  const { port } = await logs.line('listening');
  const first = await servedOn(port, caCertificate);
  const renewed = await issueTlsFiles(join(cluster.folder, 'renewed'));
  await copyFile(renewed.certFile, certFile);
  t.match(await logs.line('the certificate files cannot be used'), {
    reason: `${keyFile} is not the key of the first certificate in ${certFile}`,
  });
  t.equal(await servedOn(port, caCertificate), first, 'the last good pair');
  await copyFile(renewed.keyFile, keyFile);
  const deadline = Date.now() + 60_000;
  const isRenewed = () =>
    servedOn(port, renewed.caCertificate).then(
      (fingerprint) => fingerprint !== first,
      () => false,
    );
  while (!(await isRenewed())) if (Date.now() > deadline) throw new Error('it is not served');
  child.kill('SIGTERM');
  t.same(await ended, [0, null]);
});

t.test('SIGTERM in mid-hold: the held call is answered 429, and the process ends with 0', async (t) => {
  const { cluster, child, ended, logs, caCertificate } = await startMain(t);
  const { port } = await logs.line('listening');
  await logs.line('listed');
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  await admin.create(GATE_WEBHOOKS_PATH, gateWebhook({ url: `https://127.0.0.1:${port}`, caCertificate }));
  cluster.seed([record('api', 1, 'pending-upgrade')]);
  const held = admin.request('POST', '/api/v1/namespaces/prod/secrets', record('api', 2, 'pending-upgrade'));
  await logs.line('held');
  child.kill('SIGTERM');
  t.match(await held, { code: 429, headers: { 'retry-after': '1' } });
  t.same(await ended, [0, null]);
  t.match(await logs.line('stopping'), { signal: 'SIGTERM' });
  await logs.line('stopped');
});

t.test('SIGTERM: it goes on answering, and ends by itself', async (t) => {
  const { child, ended, logs } = await startMain(t, {
    LOCKKEEPER_DRAIN_SECONDS: '1',
    LOCKKEEPER_METRICS_PORT: String(await freePort()),
  });
  const { metricsPort } = await logs.line('listening');
  child.kill('SIGTERM');
  t.match(await logs.line('not ready any more, still answering'), { seconds: 1 });
  t.equal((await fetch(`http://127.0.0.1:${metricsPort}/readyz`)).status, 503);
  t.same(await ended, [0, null]);
});

t.test('a second signal ends the drain, and it is no failure', async (t) => {
  const { child, ended, logs } = await startMain(t, { LOCKKEEPER_DRAIN_SECONDS: '300' });
  await logs.line('listening');
  child.kill('SIGTERM');
  await logs.line('not ready any more, still answering');
  child.kill('SIGTERM');
  t.same(await ended, [0, null]);
  const complaints = logs.lines.filter(({ level }) => level > 30);
  t.same(complaints, []);
});

t.test('a client CA in a file: reviews come with a certificate, and all else without', async (t) => {
  const folder = t.testdir({ 'ca.crt': foreignAuthority({ now: new Date(), validDays: 1 }).certificate });
  const { child, ended, logs, caCertificate } = await startMain(t, {
    LOCKKEEPER_CLIENT_CA_FILE: join(folder, 'ca.crt'),
    LOCKKEEPER_WEBHOOK_CONFIGURATION: '',
    LOCKKEEPER_ADMISSION_PATH: '/admission/mine',
  });
  const { port } = await logs.line('listening');
  const agent = new Agent({ connect: { ca: caCertificate } });
  t.teardown(() => agent.close());
  const origin = `https://127.0.0.1:${port}`;
  const post = async (path: string) => (await agent.request({ origin, path, method: 'POST' })).statusCode;
  t.equal(await post('/admission/mine'), 403);
  t.equal(await post('/admission'), 404);
  t.equal((await agent.request({ origin, path: '/livez', method: 'GET' })).statusCode, 200);
  child.kill('SIGTERM');
  t.same(await ended, [0, null]);
});

t.test('the plain port, and the level of the log', async (t) => {
  const { child, ended, logs } = await startMain(t, {
    LOCKKEEPER_METRICS_PORT: String(await freePort()),
    LOCKKEEPER_DRIVERS: 'configmaps',
    // There is no namespace for the Secret of the path.
    LOCKKEEPER_WEBHOOK_CONFIGURATION: '',
    // SIGINT comes from a terminal, where somebody waits for the end: it does not drain.
    LOCKKEEPER_DRAIN_SECONDS: '300',
  });
  const { metricsPort } = await logs.line('listening');
  t.match(await logs.line('listed'), { resource: 'configmaps' });
  const response = await fetch(`http://127.0.0.1:${metricsPort}/readyz`);
  t.equal(response.status, 200);
  child.kill('SIGINT');
  t.same(await ended, [0, null]);
  t.notOk(
    logs.lines.some(({ level }) => level === 20),
    'nothing below info',
  );
});

t.test('nobody reads the log any more: it serves on, and ends as it should', async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const { child, ended, logs } = await startMain(t);
    await logs.line('listed');
    child.stdout.destroy();
    child.stderr.destroy();
    await Promise.all([once(child.stdout, 'close'), once(child.stderr, 'close')]);
    child.kill(signal);
    t.same(await ended, [0, null], signal);
  }
});

t.test('a port that is taken ends it with 1, and the reason: it may be free the next time', async (t) => {
  const first = await startMain(t);
  const { port } = await first.logs.line('listening');
  const second = await startMain(t, { LOCKKEEPER_PORT: String(port) });
  t.match(await second.logs.line('could not start'), { level: 60, err: { code: 'EADDRINUSE' } });
  t.same(await second.ended, [1, null]);
});

t.test('an error that nobody caught is logged, and ends it with 1, without a drain', async (t) => {
  const { child, ended, logs } = await startMain(t, {
    LOCKKEEPER_DRAIN_SECONDS: '300',
    NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --import ${SABOTAGE}`,
  });
  await logs.line('listed');
  child.kill('SIGUSR2');
  t.match(await logs.line('stopping because of an error'), { level: 60, err: { message: 'sabotage' } });
  t.same(await ended, [1, null]);
});
