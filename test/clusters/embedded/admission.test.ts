/** What of webhooks only the embedded cluster can show: its events, how Services are found, and what it cannot do. */
import t, { type Test } from 'tap';
import type { ApiClient } from '../client.ts';
import { CONFIGURATIONS, configurationOf, type FakeWebhook, startFakeWebhook } from '../fake-webhook.ts';
import type { JsonObject } from '../kubernetes-object.ts';
import type { AdmissionAnswer } from './admission.ts';
import type { EmbeddedCluster } from './cluster.ts';
import { ALICE, fails, SECRETS, secret, startCluster } from './fixture.ts';

interface World {
  readonly cluster: EmbeddedCluster;
  readonly admin: ApiClient;
  readonly webhook: FakeWebhook;
  readonly logged: string[];
}

/** A cluster that asks one webhook; `more` changes how. */
async function world(t: Test, more?: JsonObject): Promise<World> {
  const webhook = await startFakeWebhook(t);
  const logged: string[] = [];
  const { cluster, admin } = await startCluster(t, { log: (message) => logged.push(message) });
  await admin.create(CONFIGURATIONS, configurationOf(webhook, more));
  return { cluster, admin, webhook, logged };
}

t.test('listeners see when a call started and ended', async (t) => {
  const { cluster, admin, webhook } = await world(t);
  const { promise: released, resolve: release } = Promise.withResolvers<JsonObject>();
  webhook.decide(() => released);
  const called = cluster.waitForAdmission(({ phase }) => phase === 'called');
  const answered = cluster.waitForAdmission(({ phase }) => phase === 'answered');
  const stored = cluster.waitForWrite(({ object }) => object.metadata.name === 'one');
  const write = admin.create(SECRETS, secret('one'));
  const call = await called;
  t.match(call, {
    webhook: 'webhook.gate.test',
    configuration: 'gate.test',
    name: 'one',
    operation: 'CREATE',
    user: 'admin',
  });
  release({ allowed: true });
  await write;
  const answer = (await answered) as AdmissionAnswer;
  t.match(answer, { uid: call.uid, allowed: true, warnings: [] });
  t.ok(call.at <= answer.answeredAt && answer.answeredAt <= (await stored).at);

  await t.test('of a denial', async (t) => {
    const details = { retryAfterSeconds: 7 };
    webhook.decide(() => ({ allowed: false, status: { code: 429, message: 'locked', details } }));
    const denied = cluster.waitForAdmission(({ phase }) => phase === 'answered');
    await admin.request('POST', SECRETS, secret('two'));
    t.match(await denied, { allowed: false, code: 429, message: 'locked', retryAfterSeconds: 7 });
  });

  await t.test('of a client that hangs up', async (t) => {
    webhook.decide(() => new Promise(() => {}));
    const calledAgain = cluster.waitForAdmission(({ phase }) => phase === 'called');
    const canceled = cluster.waitForAdmission(({ phase }) => phase === 'answered');
    const client = new AbortController();
    const abandoned = admin.request('POST', SECRETS, secret('two'), { signal: client.signal });
    await calledAgain;
    client.abort();
    await t.rejects(abandoned);
    t.match(await canceled, { allowed: false, failed: /context canceled/ });
  });

  await t.test('of the objects of a collection, which the reviews do not name', async (t) => {
    webhook.decide(() => ({ allowed: true }));
    const events: string[] = [];
    const off = cluster.onAdmission(({ phase, name }) => phase === 'called' && events.push(name));
    await admin.remove(SECRETS);
    off();
    t.same(events, ['one']);
  });
});

t.test('conditions in CEL count as true, and that is said once', async (t) => {
  const matchConditions = [{ name: 'x', expression: 'false' }];
  const { admin, webhook, logged } = await world(t, { matchConditions });
  for (const name of ['one', 'two']) await admin.create(SECRETS, secret(name));
  t.equal(webhook.reviews.length, 2);
  t.match(logged, [/match conditions of webhook webhook.gate.test are taken as true/]);
  t.equal(logged.length, 1);
});

t.test('of conditions in CEL, it knows the one that leaves users out', async (t) => {
  for (const [user, calls] of [
    ['admin', 0],
    ['somebody', 1],
  ] as const) {
    const expression = `!(request.userInfo.username in [\n  'x',\n  '${user}'\n])`;
    const { admin, webhook, logged } = await world(t, { matchConditions: [{ name: 'x', expression }] });
    await admin.create(SECRETS, secret('one'));
    t.equal(webhook.reviews.length, calls, user);
    t.same(logged, []);
  }
});

t.test('a webhook of old with side effects does not support a dry run', async (t) => {
  const { cluster, admin } = await startCluster(t);
  const webhook = await startFakeWebhook(t);
  const more = { timeoutSeconds: 1, namespaceSelector: {}, objectSelector: {}, sideEffects: 'Some' };
  cluster.seed([configurationOf(webhook, more) as never]);
  await fails(t, admin.request('POST', `${SECRETS}?dryRun=All`, secret('two')), {
    code: 400,
    reason: 'BadRequest',
    message: /webhook "webhook.gate.test" does not support dry run/,
  });
});

t.test('a webhook behind a Service is found by resolveService and verified by its name', async (t) => {
  const webhook = await startFakeWebhook(t, ['gate.locks.svc']);
  const asked: object[] = [];
  const { admin } = await startCluster(t, {
    resolveService(service) {
      asked.push(service);
      return { host: '127.0.0.1', port: webhook.port };
    },
  });
  const service = { namespace: 'locks', name: 'gate', path: '/admission' };
  const clientConfig = { service, caBundle: webhook.caBundle };
  await admin.create(CONFIGURATIONS, configurationOf(webhook, { clientConfig }));
  await admin.create(SECRETS, secret('one'));
  t.same(asked, [{ namespace: 'locks', name: 'gate', port: 443 }]);
  t.equal(webhook.paths[0], '/admission?timeout=10s');

  const other = {
    service: { ...service, name: 'other', port: 8443, path: undefined },
    caBundle: webhook.caBundle,
  };
  await admin.patch(`${CONFIGURATIONS}/gate.test`, configurationOf(webhook, { clientConfig: other }));
  await fails(t, admin.request('POST', SECRETS, secret('two')), {
    code: 500,
    reason: 'InternalError',
    message: /other\.locks\.svc:8443\/\?timeout=10s.*altnames/i,
  });
});

t.test('without resolveService the call of a Service fails', async (t) => {
  const { admin } = await world(t, { clientConfig: { service: { namespace: 'locks', name: 'gate' } } });
  await fails(t, admin.request('POST', SECRETS, secret('one')), {
    code: 500,
    reason: 'InternalError',
    message: /service locks\/gate cannot be resolved/,
  });
});

t.test('an update that always loses gives up with a conflict', async (t) => {
  const { cluster, admin, webhook } = await world(t);
  await admin.create(SECRETS, secret('one'));
  webhook.decide(async ({ userInfo }) => {
    if (userInfo.username === ALICE.username) {
      await admin.patch(`${SECRETS}/one`, { metadata: { labels: { n: String(webhook.reviews.length) } } });
    }
    return { allowed: true };
  });
  const alice = await cluster.client(ALICE);
  await fails(t, alice.request('PUT', `${SECRETS}/one`, secret('one')), {
    code: 409,
    reason: 'Conflict',
    message: /the object has been modified/,
  });
});
