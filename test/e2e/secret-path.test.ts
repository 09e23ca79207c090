/**
 * The secret path of the webhook changes while people deploy, at two replicas: no deploy notices, and by the old path nobody is let
 * in any more.
 */
import t, { type Test } from 'tap';
import { Agent } from 'undici';
import type { Config } from '../../src/config.ts';
import type { ApiClient } from '../clusters/client.ts';
import { startCluster } from '../clusters/start.ts';
import { startBalancer } from '../support/balancer.ts';
import { GATE_WEBHOOKS_PATH, gateWebhook } from '../support/gate-webhook.ts';
import { startServiceOn } from '../support/lockkeeper.ts';
import { record } from '../support/records.ts';
import { serving } from '../support/serving.ts';
import { until } from '../support/until.ts';

const SECRETS = '/api/v1/namespaces/prod/secrets';
const CONFIGURATION = `${GATE_WEBHOOKS_PATH}/lockkeeper`;
const OBSERVER = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
const TOKENS = '/api/v1/namespaces/lockkeeper/secrets/lockkeeper-ca';

/** So that the old path is taken for three seconds more: an API server hears of a change within one. */
const TOKEN_SECONDS = 72;

const MODES: Readonly<Record<string, Partial<Config>>> = {
  'an authority of its own': {},
  files: { tlsFiles: { certFile: 'tls.crt', keyFile: 'tls.key' } },
};

/** Without rules, as the chart installs it: Lockkeeper arms it. */
async function install(admin: ApiClient, url: string): Promise<void> {
  const { webhooks, ...rest } = gateWebhook({ url, caCertificate: serving.caCertificate });
  await admin.create(GATE_WEBHOOKS_PATH, {
    ...rest,
    webhooks: webhooks.map(({ rules: _, clientConfig: { caBundle }, ...webhook }) => ({
      ...webhook,
      clientConfig: { url, caBundle },
    })),
  });
  const clientConfig = { url };
  const fence = { name: 'fence.lockkeeper.dev', admissionReviewVersions: ['v1'], sideEffects: 'None' };
  const webhook = { ...fence, clientConfig, failurePolicy: 'Ignore' };
  await admin.create(OBSERVER, { metadata: { name: 'lockkeeper' }, webhooks: [webhook] });
}

interface Told {
  readonly rules?: readonly object[];
  readonly clientConfig: { readonly url: string };
}

/** Where API servers send reviews, once that is a secret path, and they do. */
async function pathNow(admin: ApiClient, url: string, isNew: (path: string) => boolean): Promise<string> {
  const read = async () => (await admin.get(CONFIGURATION)).webhooks as readonly Told[];
  const found = await until(read, (webhooks) =>
    webhooks.every(({ rules, clientConfig }) => {
      const path = clientConfig.url.slice(url.length);
      return rules !== undefined && /^\/admission\/[0-9a-f]{32}$/.test(path) && isNew(path);
    }),
  );
  return (found[0]?.clientConfig.url ?? '').slice(url.length);
}

async function replicas(t: Test, mode: Partial<Config>) {
  const cluster = await startCluster(t);
  const admin = await cluster.client();
  for (const namespace of ['prod', 'lockkeeper']) {
    await admin.request('POST', '/api/v1/namespaces', { metadata: { name: namespace } });
  }
  const balancer = await startBalancer(t, { dead: 'next' });
  await install(admin, balancer.url);
  const config = {
    webhookConfiguration: 'lockkeeper',
    admission: { path: undefined, tokenSeconds: TOKEN_SECONDS },
  };
  const services = [];
  for (let count = 0; count < 2; count += 1)
    services.push(await startServiceOn(t, cluster, { ...config, ...mode }));
  await Promise.all(services.map(({ service }) => balancer.add(service.port)));
  return { admin, balancer, services };
}

/** The answers to deploys of other releases, one after the other, until `end` is called. */
function traffic(admin: ApiClient) {
  const codes = new Map<number, number>();
  let isOver = false;
  const run = async () => {
    for (let count = 1; !isOver; count += 1) {
      const deploy = record(`free-${count}`, 1, 'pending-install');
      const { code } = await admin.request('POST', `${SECRETS}?dryRun=All`, deploy);
      codes.set(code, (codes.get(code) ?? 0) + 1);
    }
  };
  const running = run();
  return {
    async end(): Promise<number[]> {
      isOver = true;
      await running;
      return [...codes.keys()];
    },
  };
}

/** What somebody is told who sends an empty review there. */
async function codeAt(agent: Agent, port: number, path: string): Promise<number> {
  const origin = `https://127.0.0.1:${port}`;
  const headers = { 'content-type': 'application/json' };
  const { statusCode, body } = await agent.request({ origin, path, method: 'POST', headers, body: '{}' });
  await body.dump();
  return statusCode;
}

for (const [mode, config] of Object.entries(MODES)) {
  t.test(`with ${mode}, the path changes under traffic, and no deploy notices`, async (t) => {
    const { admin, balancer, services } = await replicas(t, config);
    const agent = new Agent({ connect: { rejectUnauthorized: false } });
    t.teardown(() => agent.destroy());
    const old = await pathNow(admin, balancer.url, () => true);
    await until(
      () => admin.request('POST', `${SECRETS}?dryRun=All`, record('probe', 1, 'pending-install')),
      ({ code }) => code === 201,
    );

    const deploys = traffic(admin);
    const closed = Promise.any(
      services.map(({ logs }) => logs.nextLine('the previous path of the webhook is closed')),
    );
    await admin.patch(TOKENS, { data: { 'path.token': '' } });
    const path = await pathNow(admin, balancer.url, (found) => found !== old);
    await closed;
    t.same(await deploys.end(), [201], 'each deploy went through');

    for (const { service } of services) {
      await until(
        () => codeAt(agent, service.port, old),
        (code) => code === 404,
      );
      t.equal(await codeAt(agent, service.port, '/admission'), 404);
      t.equal(await codeAt(agent, service.port, path), 400, 'an empty review is read there');
    }
    await admin.create(SECRETS, record('api', 1, 'pending-install'));
    const beside = await admin.request('POST', `${SECRETS}?dryRun=All`, record('api', 2, 'pending-upgrade'));
    t.match(beside, { code: 409, body: { message: /release prod\/api is locked/ } }, 'and the gate is asked');
  });
}
