/** Webhooks are called as the real API server calls them. */
import t, { type Test } from 'tap';
import { issueAuthority } from '../../../src/tls/issue.ts';
import type { ApiClient } from '../client.ts';
import type { JsonObject } from '../kubernetes-object.ts';
import type { AdmissionAnswer } from './admission.ts';
import type { EmbeddedCluster } from './cluster.ts';
import {
  CONFIGURATIONS,
  configurationOf,
  type Decide,
  type FakeWebhook,
  startFakeWebhook,
} from './fake-webhook.ts';
import { ALICE, CHART, fails, SECRETS, secret, startCluster, toolsFor } from './fixture.ts';

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

const DENIED = { allowed: false, status: { code: 403, message: 'not today', reason: 'Forbidden' } };

t.test('a review has the shape of the real one', async (t) => {
  const { cluster, webhook } = await world(t);
  const runner = {
    username: 'system:serviceaccount:ci:runner',
    uid: 'u-1',
    groups: ['system:serviceaccounts'],
    extra: { 'authentication.kubernetes.io/pod-name': ['runner-7f9c'] },
  };
  const client = await cluster.client(runner);
  await client.create(SECRETS, secret('one', { stringData: { key: 'value' } }));
  const [body] = webhook.bodies;
  const request = body?.request as JsonObject;
  t.same(Object.keys(request), [
    'uid',
    'kind',
    'resource',
    'requestKind',
    'requestResource',
    'name',
    'namespace',
    'operation',
    'userInfo',
    'object',
    'oldObject',
    'dryRun',
    'options',
  ]);
  t.match(request, {
    kind: { group: '', version: 'v1', kind: 'Secret' },
    requestResource: { group: '', version: 'v1', resource: 'secrets' },
    name: 'one',
    namespace: 'prod',
    operation: 'CREATE',
    userInfo: { ...runner, groups: ['system:serviceaccounts', 'system:authenticated'] },
    oldObject: null,
    dryRun: false,
    options: { kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1' },
  });
  const object = request.object as JsonObject;
  t.same(Object.keys(object).slice(0, 3), ['kind', 'apiVersion', 'metadata']);
  t.match(object, {
    metadata: {
      name: 'one',
      uid: /^[-0-9a-f]{36}$/,
      creationTimestamp: /Z$/,
      managedFields: [{ manager: 'lockkeeper-test' }],
    },
    data: { key: 'dmFsdWU=' },
    type: 'Opaque',
  });
  t.notOk('resourceVersion' in (object.metadata as JsonObject), 'what is not stored has no version');

  await client.patch(`${SECRETS}/one`, { metadata: { labels: { a: 'b' } } });
  const update = webhook.reviews[1];
  t.match(update, { operation: 'UPDATE', options: { kind: 'UpdateOptions' } });
  t.match(update?.object?.metadata, { labels: { a: 'b' }, resourceVersion: /\d/ });
  t.notOk(
    'managedFields' in (update?.oldObject?.metadata ?? {}),
    'as the real server: not in the old object of an update',
  );

  await client.remove(`${SECRETS}/one`, { propagationPolicy: 'Background' });
  t.match(webhook.reviews[2], {
    operation: 'DELETE',
    object: null,
    oldObject: { metadata: { name: 'one', managedFields: [{}] } },
    options: { kind: 'DeleteOptions', propagationPolicy: 'Background' },
  });
  t.match(webhook.paths[0], '/admission?timeout=10s');
});

t.test('a denial reaches the client with its code, its words and Retry-After', async (t) => {
  const { admin, webhook } = await world(t);
  webhook.decide(() => ({
    allowed: false,
    status: { code: 429, message: 'locked', reason: 'TooManyRequests', details: { retryAfterSeconds: 7 } },
    warnings: ['look "here"'],
  }));
  const { code, headers, body } = await admin.request('POST', SECRETS, secret('one'));
  t.equal(code, 429);
  t.equal(headers['retry-after'], '7');
  t.equal(headers.warning, '299 - "look \\"here\\""');
  t.match(body, {
    message: 'admission webhook "gate.test" denied the request: locked',
    reason: 'TooManyRequests',
  });
  t.same(await admin.list(SECRETS), []);

  webhook.decide(() => ({ allowed: false, status: { reason: 'Forbidden' } }));
  await fails(t, admin.request('POST', SECRETS, secret('one')), {
    code: 400,
    reason: 'Forbidden',
    message: /denied the request: Forbidden$/,
  });
  webhook.decide(() => ({ allowed: false }));
  const { body: bare } = await admin.request('POST', SECRETS, secret('one'));
  t.match(bare, {
    code: 400,
    message: 'admission webhook "gate.test" denied the request without explanation',
  });
});

t.test('warnings of an allowed write reach the client', async (t) => {
  const { admin, webhook } = await world(t);
  webhook.decide(() => ({ allowed: true, warnings: ['first', 'naïve…', 'first', '', 'two\nlines'] }));
  const { code, headers } = await admin.request('POST', SECRETS, secret('one'));
  t.equal(code, 201);
  const warning = Buffer.from(String(headers.warning), 'latin1').toString();
  t.equal(
    warning,
    '299 - "first", 299 - "naïve…"',
    'once, and none with control characters: as the real server',
  );
});

t.test('a held call delays the write, and listeners see when it started and ended', async (t) => {
  const { cluster, admin, webhook } = await world(t);
  const { promise: released, resolve: release } = Promise.withResolvers<JsonObject>();
  webhook.decide(() => released);
  const called = cluster.waitForAdmission(({ phase }) => phase === 'called');
  const answered = cluster.waitForAdmission(({ phase }) => phase === 'answered');
  const write = admin.create(SECRETS, secret('one'));
  const call = await called;
  t.match(call, {
    webhook: 'gate.test',
    configuration: 'gate.test',
    name: 'one',
    operation: 'CREATE',
    user: 'admin',
  });
  t.same(await admin.list(SECRETS), [], 'nothing is stored while the webhook thinks');
  const stored = cluster.waitForWrite(({ object }) => object.metadata.name === 'one');
  release({ allowed: true });
  await write;
  const answer = (await answered) as AdmissionAnswer;
  t.match(answer, { uid: call.uid, allowed: true, warnings: [] });
  t.ok(call.at <= answer.answeredAt && answer.answeredAt <= (await stored).at);
});

const hangUp: Decide = (_, { socket }) => {
  socket.destroy();
  return {};
};

t.test('a webhook that cannot be called', async (t) => {
  const authority = await issueAuthority({ commonName: 'other', validDays: 1, now: new Date() });
  const cases = [
    {
      what: 'answers HTTP 500',
      decide: () => ({ httpStatus: 500, raw: 'oops' }),
      message: /failed to call webhook: .*HTTP 500: oops/,
    },
    {
      what: 'answers something else',
      decide: () => ({ raw: 'hello' }),
      message: /received invalid webhook response: expected webhook response of admission.k8s.io\/v1/,
    },
    {
      what: 'answers another uid',
      decide: () => ({ uid: 'x', allowed: true }),
      message: /expected response.uid=".*", got "x"/,
    },
    {
      what: 'answers nothing',
      decide: () => ({ raw: '{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}' }),
      message: /webhook response was absent/,
    },
    {
      what: 'never answers',
      decide: () => new Promise<JsonObject>(() => {}),
      timeoutSeconds: 1,
      message: /context deadline exceeded/,
    },
    {
      what: 'hangs up',
      decide: hangUp,
      message: /EOF/,
    },
    {
      what: 'is not trusted',
      caBundle: Buffer.from(authority.certificate).toString('base64'),
      message: /certificate/,
    },
    { what: 'does not listen', url: 'https://127.0.0.1:1/admission', message: /connection refused/ },
  ];
  const { admin, webhook } = await world(t, { failurePolicy: 'Ignore' });
  for (const { what, decide = () => ({ allowed: true }), message, timeoutSeconds = 10, ...client } of cases) {
    await t.test(`it ${what}`, async (t) => {
      webhook.decide(decide as never);
      const clientConfig = { url: webhook.url, caBundle: webhook.caBundle, ...client };
      const install = (failurePolicy: string) =>
        admin.patch(`${CONFIGURATIONS}/gate.test`, {
          webhooks: (
            configurationOf(webhook, { failurePolicy, clientConfig, timeoutSeconds }) as {
              webhooks: object[];
            }
          ).webhooks,
        });
      await install('Fail');
      const status = await fails(t, admin.request('POST', SECRETS, secret('one')), {
        code: 500,
        reason: 'InternalError',
        message,
      });
      t.match(status.message, /^Internal error occurred: failed calling webhook "gate.test": /);
      await install('Ignore');
      await admin.create(SECRETS, secret('one'));
      await admin.patch(`${CONFIGURATIONS}/gate.test`, { webhooks: [] });
      await admin.remove(`${SECRETS}/one`);
    });
  }
});

t.test('a client that hangs up ends the call', async (t) => {
  const { cluster, admin, webhook } = await world(t);
  webhook.decide(() => new Promise(() => {}));
  const called = cluster.waitForAdmission(({ phase }) => phase === 'called');
  const answered = cluster.waitForAdmission(({ phase }) => phase === 'answered');
  const client = new AbortController();
  const write = admin.request('POST', SECRETS, secret('one'), { signal: client.signal });
  await called;
  client.abort();
  await t.rejects(write);
  t.match(await answered, { allowed: false, failed: /context canceled/ });
});

t.test('many calls share few connections', async (t) => {
  const { admin, webhook } = await world(t);
  for (let number = 0; number < 50; number += 1) await admin.create(SECRETS, secret(`s-${number}`));
  t.equal(webhook.connections(), 1);
});

t.test('which webhooks are called', async (t) => {
  const rule = { operations: ['*'], apiGroups: [''], apiVersions: ['v1'], resources: ['secrets'] };
  const cases: { when: string; more: JsonObject; called: boolean }[] = [
    { when: 'its operation is named', more: { rules: [{ ...rule, operations: ['CREATE'] }] }, called: true },
    {
      when: 'another operation is named',
      more: { rules: [{ ...rule, operations: ['DELETE'] }] },
      called: false,
    },
    { when: 'another group is named', more: { rules: [{ ...rule, apiGroups: ['apps'] }] }, called: false },
    { when: 'another version is named', more: { rules: [{ ...rule, apiVersions: ['v2'] }] }, called: false },
    {
      when: 'everything is named',
      more: { rules: [{ ...rule, apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'] }] },
      called: true,
    },
    {
      when: 'only a subresource is named',
      more: { rules: [{ ...rule, resources: ['secrets/status'] }] },
      called: false,
    },
    { when: 'the scope is Namespaced', more: { rules: [{ ...rule, scope: 'Namespaced' }] }, called: true },
    { when: 'the scope is Cluster', more: { rules: [{ ...rule, scope: 'Cluster' }] }, called: false },
    {
      when: 'the namespace is selected',
      more: { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'prod' } } },
      called: true,
    },
    {
      when: 'the namespace is excluded',
      more: {
        namespaceSelector: {
          matchExpressions: [{ key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: ['prod'] }],
        },
      },
      called: false,
    },
    {
      when: 'the object is selected',
      more: { objectSelector: { matchExpressions: [{ key: 'owner', operator: 'Exists' }] } },
      called: true,
    },
    {
      when: 'the object is not selected',
      more: { objectSelector: { matchExpressions: [{ key: 'owner', operator: 'DoesNotExist' }] } },
      called: false,
    },
    {
      when: 'it has conditions in CEL, which count as true',
      more: { matchConditions: [{ name: 'x', expression: 'false' }] },
      called: true,
    },
  ];
  const { admin, webhook, logged } = await world(t);
  for (const { when, more, called } of cases) {
    const { webhooks } = configurationOf(webhook, more);
    await admin.patch(`${CONFIGURATIONS}/gate.test`, { webhooks });
    const before = webhook.reviews.length;
    await admin.create(SECRETS, {
      ...secret(''),
      metadata: { generateName: 'x-', labels: { owner: 'helm' } },
    });
    t.equal(webhook.reviews.length > before, called, `${called ? 'called' : 'not called'} when ${when}`);
  }
  t.match(logged, [/match conditions of webhook gate.test are taken as true/]);
});

t.test('an object that stops matching the object selector is still reviewed by its old labels', async (t) => {
  const { admin, webhook } = await world(t, { objectSelector: { matchLabels: { status: 'pending' } } });
  await admin.create(SECRETS, { ...secret('one'), metadata: { name: 'one', labels: { status: 'pending' } } });
  await admin.patch(`${SECRETS}/one`, { metadata: { labels: { status: 'done' } } });
  await admin.patch(`${SECRETS}/one`, { metadata: { labels: { more: 'x' } } });
  t.same(
    webhook.reviews.map(({ operation }) => operation),
    ['CREATE', 'UPDATE'],
  );
});

t.test('a namespace is selected by its own labels, a cluster-scoped object always', async (t) => {
  const { admin, webhook } = await world(t, {
    rules: [{ operations: ['CREATE', 'UPDATE'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*'] }],
    namespaceSelector: { matchLabels: { team: 'a' } },
  });
  await admin.createNamespace('other', { team: 'b' });
  await admin.createNamespace('mine', { team: 'a' });
  await admin.create('/apis/rbac.authorization.k8s.io/v1/clusterroles', { metadata: { name: 'role' } });
  await admin.patch(`${CONFIGURATIONS}/gate.test`, { metadata: { labels: { team: 'a' } } });
  t.same(
    webhook.reviews.map(({ name, namespace }) => [name, namespace]),
    [
      ['mine', 'mine'],
      ['role', undefined],
    ],
    'and configurations of webhooks are never reviewed',
  );
});

t.test('a status is reviewed as a subresource', async (t) => {
  const { admin, webhook } = await world(t, {
    rules: [{ operations: ['*'], apiGroups: ['batch'], apiVersions: ['v1'], resources: ['jobs/status'] }],
  });
  await admin.create('/apis/batch/v1/namespaces/prod/jobs', { metadata: { name: 'job' } });
  await admin.completeJob('prod', 'job', 'Complete');
  t.match(webhook.reviews, [
    { subResource: 'status', operation: 'UPDATE', object: { status: { succeeded: 1 } } },
  ]);
});

t.test('all webhooks are asked at once, and one denial is enough', async (t) => {
  const { admin, webhook } = await world(t);
  const second = await startFakeWebhook(t);
  await admin.create(CONFIGURATIONS, configurationOf(second, {}, 'second.test'));
  const both = Promise.withResolvers<JsonObject>();
  webhook.decide(() => both.promise);
  second.decide(() => {
    both.resolve({ allowed: true, warnings: ['from the first'] });
    return DENIED;
  });
  const { code, headers, body } = await admin.request('POST', SECRETS, secret('one'));
  t.match(
    [code, headers.warning, body.message],
    [403, '299 - "from the first"', /webhook "second.test" denied/],
  );
});

t.test('a dry run is reviewed as one and stores nothing', async (t) => {
  const { cluster, admin, webhook } = await world(t, { sideEffects: 'NoneOnDryRun' });
  const { code, body } = await admin.request('POST', `${SECRETS}?dryRun=All`, secret('one'));
  t.match([code, body], [201, { metadata: { name: 'one' } }]);
  t.match(webhook.reviews, [{ dryRun: true, options: { dryRun: ['All'] } }]);
  t.same(await admin.list(SECRETS), []);

  await admin.create(SECRETS, secret('one'));
  await admin.request('DELETE', `${SECRETS}/one`, { kind: 'DeleteOptions', dryRun: ['All'] });
  await admin.request('PUT', `${SECRETS}/one?dryRun=All`, secret('one', { data: { a: 'YQ==' } }));
  t.notOk('data' in (await admin.get(`${SECRETS}/one`)));

  cluster.seed([
    {
      ...configurationOf(
        webhook,
        { timeoutSeconds: 1, namespaceSelector: {}, objectSelector: {}, sideEffects: 'Some' },
        'old.test',
      ),
    } as never,
  ]);
  await fails(t, admin.request('POST', `${SECRETS}?dryRun=All`, secret('two')), {
    code: 400,
    reason: 'BadRequest',
    message: /webhook "old.test" does not support dry run/,
  });
});

t.test('configurations that the real server refuses are refused', async (t) => {
  const { admin, webhook } = await world(t);
  const cases: [JsonObject, RegExp][] = [
    [{ sideEffects: 'Some' }, /webhooks\[0\].sideEffects/],
    [{ admissionReviewVersions: [] }, /admissionReviewVersions/],
    [{ clientConfig: {} }, /exactly one of url or service/],
    [{ clientConfig: undefined }, /exactly one of url or service/],
    [{ clientConfig: { url: 'http://x' } }, /'https' is the only allowed URL scheme/],
  ];
  for (const [more, message] of cases) {
    const refused = admin.request('POST', CONFIGURATIONS, configurationOf(webhook, more, 'other.test'));
    await fails(t, refused, { code: 422, reason: 'Invalid', message });
  }
  await admin.create(CONFIGURATIONS, { metadata: { name: 'empty' } });
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

t.test('two racing creates both pass admission, and one meets AlreadyExists', async (t) => {
  const { admin, webhook } = await world(t);
  const both = Promise.withResolvers<JsonObject>();
  webhook.decide(() => {
    if (webhook.reviews.length === 2) both.resolve({ allowed: true });
    return both.promise;
  });
  const answers = await Promise.all([1, 2].map(() => admin.request('POST', SECRETS, secret('one'))));
  t.same(answers.map(({ code }) => code).sort(), [201, 409]);
});

t.test('an update without a version is reviewed again when the object changed meanwhile', async (t) => {
  const { admin, webhook } = await world(t);
  await admin.create(SECRETS, secret('one'));
  let intervened = false;
  webhook.decide(async () => {
    if (!intervened) {
      intervened = true;
      await admin.patch(`${SECRETS}/one`, {
        metadata: { labels: { by: `other ${webhook.reviews.length}` } },
      });
    }
    return { allowed: true };
  });
  await admin.patch(`${SECRETS}/one`, { metadata: { annotations: { by: 'me' } } });
  t.match((await admin.get(`${SECRETS}/one`)).metadata, {
    labels: { by: 'other' },
    annotations: { by: 'me' },
  });
  t.equal(webhook.reviews.length, 4);

  await t.test('and so is a delete', async (t) => {
    intervened = false;
    await admin.remove(`${SECRETS}/one`);
    t.match(
      webhook.reviews.slice(-3).map(({ operation }) => operation),
      ['DELETE', 'UPDATE', 'DELETE'],
    );
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

t.test('Helm', async (t) => {
  const { cluster, webhook } = await world(t);
  const { helm } = await toolsFor(cluster, '4.1.4');

  await t.test('prints a denial', async (t) => {
    webhook.decide(() => ({
      allowed: false,
      status: { code: 409, reason: 'Conflict', message: 'locked by bob' },
    }));
    t.match(await helm('install', 'api', CHART), {
      code: 1,
      stderr:
        /INSTALLATION FAILED: create: failed to create: admission webhook "gate.test" denied the request: locked by bob/,
    });
    t.equal(webhook.reviews.length, 1);
  });

  await t.test(
    'comes back by itself after 429 with Retry-After, and prints the warnings of the end',
    async (t) => {
      const uids = new Set<string | undefined>();
      webhook.decide(({ operation, object }) => {
        if (operation !== 'CREATE') return { allowed: true };
        uids.add(object?.metadata.uid);
        if (uids.size === 2) return { allowed: true, warnings: ['waited for bob'] };
        return { allowed: false, status: { code: 429, message: 'wait', details: { retryAfterSeconds: 1 } } };
      });
      const { code, stderr } = await helm('install', 'api', CHART);
      t.match([code, stderr], [0, /waited for bob/]);
      t.equal(uids.size, 2, 'each attempt is a new object');
    },
  );
});
