/** A replica whose watches are silent: it has not heard who holds a lock, nor of the newest deploys, and asks. */
import t from 'tap';
import { startCluster } from '../clusters/start.ts';
import { GATE_WEBHOOKS_PATH, gateWebhook } from '../support/gate-webhook.ts';
import { startServiceOn } from '../support/lockkeeper.ts';
import { record } from '../support/records.ts';
import { serving } from '../support/serving.ts';
import { until } from '../support/until.ts';
import { behindProxy } from './behind-proxy.ts';
import { untilAsked } from './webhook.ts';

const SECRETS = '/api/v1/namespaces/prod/secrets';
const RECORD = `${SECRETS}/sh.helm.release.v1.api.v1`;
const ENTRIES = '/apis/lockkeeper.dev/v1alpha1/namespaces/prod/releaselocks';

const UPDATES = 'updates.lockkeeper.dev';

type Configuration = ReturnType<typeof gateWebhook>;

t.test('another client does not end a lock at a replica that has not heard of its holder', async (t) => {
  const cluster = await startCluster(t);
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  const proxy = await behindProxy(t, cluster);
  const hearing = await startServiceOn(t, cluster);
  const deaf = await startServiceOn(t, proxy.cluster);
  await Promise.all([hearing.ready(), deaf.ready()]);
  t.teardown(proxy.silenceWatches());
  proxy.cutWatches();

  // Deploys are reviewed by the one, ends by the other.
  const [gate, ends] = [hearing, deaf].map(({ service }) =>
    gateWebhook({ url: `https://127.0.0.1:${service.port}`, caCertificate: serving.caCertificate }),
  ) as [Configuration, Configuration];
  const others = gate.webhooks.filter(({ name }) => name !== UPDATES);
  const updates = ends.webhooks.filter(({ name }) => name === UPDATES);
  await admin.create(GATE_WEBHOOKS_PATH, { ...gate, webhooks: [...others, ...updates] });
  await untilAsked(admin);
  const bob = await cluster.client({ username: 'bob' });
  const alice = await cluster.client({ username: 'alice' });
  await bob.create(SECRETS, record('api', 1, 'pending-install'));
  await until(
    () => admin.list(ENTRIES),
    (entries) => entries.length === 1,
  );
  const end = (client: typeof bob) =>
    client.request(
      'PATCH',
      RECORD,
      { metadata: { labels: { status: 'failed' } } },
      { headers: { 'content-type': 'application/merge-patch+json' } },
    );
  t.match(await end(alice), { code: 409, body: { message: /bob/ } });
  t.match(await end(bob), { code: 200 });
});

t.test('a number that is free again is not given out below a deploy that is not known yet', async (t) => {
  const cluster = await startCluster(t);
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  const proxy = await behindProxy(t, cluster);
  const deaf = await startServiceOn(t, proxy.cluster);
  await deaf.ready();
  t.teardown(proxy.silenceWatches());
  proxy.cutWatches();

  // Revision 3 came and went, and Helm removed it from the history on the way to revision 4.
  await admin.create(SECRETS, record('api', 2, 'deployed'));
  await admin.create(SECRETS, record('api', 4, 'pending-upgrade'));
  await admin.create(SECRETS, record('web', 2, 'pending-upgrade'));
  const url = `https://127.0.0.1:${deaf.service.port}`;
  await admin.create(GATE_WEBHOOKS_PATH, gateWebhook({ url, caCertificate: serving.caCertificate }));
  await untilAsked(admin);
  const bob = await cluster.client({ username: 'bob' });
  const late = (name: string, number: number) =>
    bob.request('POST', SECRETS, record(name, number, number === 1 ? 'pending-install' : 'pending-rollback'));
  t.match(await late('api', 3), { code: 409, body: { message: /there is revision 4 \(pending-upgrade/ } });
  t.match(await late('web', 1), { code: 409, body: { message: /there is revision 2 \(pending-upgrade/ } });
});
