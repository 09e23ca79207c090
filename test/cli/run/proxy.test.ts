/** The proxy, asked as Helm would, and by others. */
import { readFileSync, statSync } from 'node:fs';
import { KubeConfig } from '@kubernetes/client-node';
import t, { type Test } from 'tap';
import { writeKubeconfig } from '../../../src/cli/run/kubeconfig.ts';
import { headersFor, readAnswer } from '../../../src/cli/run/passing.ts';
import { startProxy } from '../../../src/cli/run/proxy.ts';
import { systemClock } from '../../../src/clock.ts';
import { connect as connectTo } from '../../../src/kubernetes/connection.ts';
import { connect } from '../../clusters/client.ts';
import { startEmbeddedCluster } from '../../clusters/embedded/cluster.ts';
import { record } from '../../support/records.ts';

const SECRETS = '/api/v1/namespaces/prod/secrets';

async function world(t: Test) {
  const cluster = await startEmbeddedCluster();
  t.teardown(() => cluster.stop());
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromFile(await cluster.kubeconfig({ user: { username: 'alice' } }));
  const connection = connectTo(kubeConfig, { clock: systemClock });
  t.teardown(() => connection.close());
  const held: string[] = [];
  const proxy = await startProxy({ connection, onHeld: (words) => held.push(words), writesMs: 200 });
  t.teardown(() => proxy.close());
  const helm = connect(proxy);
  t.teardown(() => helm.close());
  return { cluster, admin, proxy, held, helm };
}

t.test('whoever has not the token is nobody', async (t) => {
  const { proxy, admin } = await world(t);
  for (const token of ['', 'x', `${proxy.token.slice(1)}x`]) {
    const stranger = connect({ ...proxy, token });
    t.teardown(() => stranger.close());
    t.equal((await stranger.request('POST', SECRETS, record('api', 1, 'pending-install'))).code, 401, token);
  }
  t.same(await admin.list(SECRETS), []);
});

t.test('it notes the records that are made, and who was first', async (t) => {
  const { proxy, helm } = await world(t);
  t.equal(proxy.hasWritten(), false);
  const made = await helm.create(SECRETS, record('api', 1, 'pending-install'));
  t.same(proxy.made, [
    { uid: made.metadata.uid, release: { driver: 'secrets', namespace: 'prod', name: 'api' } },
  ]);
  t.equal(proxy.hasWritten(), true);
  t.equal(proxy.hasLost(), false);
  t.equal((await helm.request('POST', SECRETS, record('api', 1, 'pending-install'))).code, 409);
  t.equal(proxy.hasLost(), true);
  await helm.create(SECRETS, { metadata: { name: 'other' } });
  const configMap = record('web', 1, 'pending-install', { driver: 'configmaps' });
  await helm.create('/api/v1/namespaces/prod/configmaps', configMap);
  t.match(proxy.made[1], { release: { driver: 'configmaps', name: 'web' } });
  await helm.request('POST', `${SECRETS}?dryRun=All`, record('api', 2, 'pending-install'));
  t.equal(proxy.made.length, 2, 'no other object, and no dry run');
  t.match(await helm.list(SECRETS), [{}, {}]);
});

t.test('words of a refusal that passes are told', async (t) => {
  const { cluster, helm, held } = await world(t);
  const stop = cluster.faults.failRequests(({ method }) => (method === 'POST' ? { status: 429 } : undefined));
  t.equal((await helm.request('POST', SECRETS, record('api', 1, 'pending-install'))).code, 429);
  stop();
  t.match(held, [/./]);
});

t.test('a watch is passed on as it comes, and ends with who reads it', async (t) => {
  const { cluster, admin, helm } = await world(t);
  const abort = new AbortController();
  const events = helm.watch(`${SECRETS}?watch=true`, { signal: abort.signal });
  const first = events.next();
  while (cluster.openWatches() === 0) await admin.list(SECRETS);
  await admin.create(SECRETS, { metadata: { name: 'one' } });
  t.match(await first, { value: { type: 'ADDED', object: { metadata: { name: 'one' } } } });
  abort.abort();
  await t.rejects(events.next());
  while (cluster.openWatches() > 0) await admin.list(SECRETS);
  t.pass('the API server need not go on');
});

t.test('an API server that is gone: the connection ends, as it would without us', async (t) => {
  const { cluster, helm } = await world(t);
  await cluster.faults.goAway();
  await t.rejects(helm.request('GET', SECRETS));
});

t.test('a close waits for what is being written, and knows what became of it', async (t) => {
  const { cluster, admin, proxy, helm } = await world(t);
  const asked = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const stop = cluster.faults.failRequests(({ method }) => {
    if (method !== 'POST') return undefined;
    asked.resolve();
    return { until: goOn.promise };
  });
  const writing = helm.request('POST', SECRETS, record('api', 1, 'pending-install')).catch((error) => error);
  await asked.promise;
  const closed = proxy.close();
  goOn.resolve();
  await closed;
  stop();
  t.ok((await writing) instanceof Error, 'Helm hears nothing any more');
  const [stored] = await admin.list(SECRETS);
  t.match(proxy.made, [{ uid: stored?.metadata.uid }]);
});

t.test('a write that is never answered is given up', async (t) => {
  const { cluster, proxy, helm } = await world(t);
  const asked = Promise.withResolvers<void>();
  cluster.faults.failRequests(({ method }) => {
    if (method !== 'POST') return undefined;
    asked.resolve();
    return { hang: true };
  });
  helm.request('POST', SECRETS, record('api', 1, 'pending-install')).catch(() => {});
  await asked.promise;
  await proxy.close();
  t.same(proxy.made, []);
});

t.test('headers: ours to log in, and Helm’s for the rest', async (t) => {
  const headers = {
    authorization: 'Bearer ours',
    host: 'us',
    accept: 'protobuf',
    'accept-encoding': 'gzip',
    'impersonate-user': 'bob',
    te: 'x',
  };
  const login = { authorization: 'Bearer real' };
  t.same(headersFor({ method: 'GET', url: SECRETS, headers }, login), {
    authorization: 'Bearer real',
    accept: 'protobuf',
    'accept-encoding': 'gzip',
    'impersonate-user': 'bob',
  });
  t.same(headersFor({ method: 'POST', url: `${SECRETS}?x=y`, headers }, login), {
    authorization: 'Bearer real',
    accept: 'application/json',
    'impersonate-user': 'bob',
  });
  t.same(readAnswer(SECRETS, Buffer.from('<html>')), {}, 'of no API server');
});

t.test('the kubeconfig is for its owner only, and called as the real one', async (t) => {
  const { proxy } = await world(t);
  const file = await writeKubeconfig(proxy, { name: 'production', namespace: 'prod' });
  t.equal(statSync(file.path).mode & 0o777, 0o600);
  const content = JSON.parse(readFileSync(file.path, 'utf8'));
  t.match(content, {
    'current-context': 'production',
    contexts: [{ name: 'production', context: { namespace: 'prod' } }],
  });
  await file.remove();
  t.throws(() => statSync(file.path));
});
