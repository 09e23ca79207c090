/** Two replicas behind one address whose certificates, and the authority that signs them, are replaced while people deploy. */
import t from 'tap';
import { readConfig } from '../../src/config.ts';
import { startCluster } from '../clusters/start.ts';
import { startBalancer } from '../support/balancer.ts';
import { GATE_WEBHOOKS_PATH, gateWebhook } from '../support/gate-webhook.ts';
import { startServiceOn } from '../support/lockkeeper.ts';
import { startTraffic } from './traffic.ts';
import { untilAsked } from './webhook.ts';
import { CHART, history, peopleOn, succeeds, upgradeInFlight } from './world.ts';

const LIVES = { certificateSeconds: 6, authoritySeconds: 12 };

t.test('certificates and their authority are replaced while people deploy: nobody notices', async (t) => {
  const cluster = await startCluster(t);
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  await admin.createNamespace('lockkeeper');
  await admin.create('/api/v1/namespaces/lockkeeper/secrets', { metadata: { name: 'lockkeeper-ca' } });
  const balancer = await startBalancer(t);
  const { webhooks, ...configuration } = gateWebhook({ url: balancer.url, caCertificate: '' });
  const { url } = webhooks[0]?.clientConfig ?? {};
  await admin.create(GATE_WEBHOOKS_PATH, {
    ...configuration,
    webhooks: webhooks.map((webhook) => ({
      ...webhook,
      rules: [],
      clientConfig: { url },
    })),
  });
  const authority = { ...readConfig({}).authority, ...LIVES };
  const start = () =>
    startServiceOn(t, cluster, { webhookConfiguration: 'lockkeeper', authority, retryAfterSeconds: 2 });
  const replicas = await Promise.all([start(), start()]);
  await Promise.all(replicas.map(({ service }) => balancer.add(service.port)));
  await untilAsked(admin);

  const people = await peopleOn(t, cluster, '4.1.4');
  await succeeds(t, people.helm(['install', 'api', CHART]), 'a first install');
  const { upgrade, finish } = await upgradeInFlight(people);
  const held = Promise.race(replicas.map(({ logs }) => logs.nextLine('held')));
  const rollback = people.helm(['rollback', 'api', '1'], 'bob');
  await held;
  // People deploy from before the next authority is known until it signs, and both replicas serve what it signed.
  const told = (msg: string) => Promise.race(replicas.map(({ logs }) => logs.line(msg)));
  await told('made the next authority, which signs when it is known');
  const traffic = startTraffic(people, ['one']);
  await told('the next authority signs from now on');
  await Promise.all(replicas.map(({ logs }) => logs.nextLine('serves a new certificate')));
  await traffic.more(2);
  const deploys = await traffic.end();
  t.same(
    deploys.filter(({ code }) => code !== 0),
    [],
    `none of ${deploys.length} deploys failed`,
  );
  await finish();
  await succeeds(t, upgrade, 'the upgrade ends as if nobody had been there');
  await succeeds(t, rollback, 'the rollback that waited goes through');
  t.same(await history(people), ['1 superseded', '2 superseded', '3 deployed']);
});
