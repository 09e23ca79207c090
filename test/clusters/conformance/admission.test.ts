/** How an API server asks webhooks, and what becomes of their answers. */
import t from 'tap';
import { issueAuthority } from '../../../src/tls/issue.ts';
import { CONFIGURATIONS, configurationOf, type Decide, startFakeWebhook } from '../fake-webhook.ts';
import type { JsonObject } from '../kubernetes-object.ts';
import { ALICE, CHART, fails, installer, job, SECRETS, secret, toolsFor, world } from './fixture.ts';

const DENIED = { allowed: false, status: { code: 403, message: 'not today', reason: 'Forbidden' } };

const RULE = { operations: ['*'], apiGroups: [''], apiVersions: ['v1'], resources: ['secrets'] };

t.test('a review says what, who and how', async (t) => {
  const { admin, webhook } = await world(t);
  await admin.create(SECRETS, secret('one', { stringData: { key: 'value' } }));
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
    uid: /^[-0-9a-f]{36}$/,
    kind: { group: '', version: 'v1', kind: 'Secret' },
    requestResource: { group: '', version: 'v1', resource: 'secrets' },
    name: 'one',
    namespace: 'prod',
    operation: 'CREATE',
    oldObject: null,
    dryRun: false,
    options: { kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1' },
  });
  t.same(request.userInfo, { ...ALICE, groups: ['administrators', 'system:authenticated'] });
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
  t.match(webhook.paths, ['/admission?timeout=10s']);

  await t.test('of a change', async (t) => {
    const managedFields = [{ manager: 'lockkeeper-test' }];
    await admin.patch(`${SECRETS}/one`, { metadata: { labels: { a: 'b' } } });
    const patch = webhook.reviews.at(-1);
    t.match(patch, { operation: 'UPDATE', options: { kind: 'UpdateOptions' } }, 'a patch is an update, too');
    t.match(patch?.object?.metadata, { labels: { a: 'b' }, resourceVersion: /\d/, managedFields });
    t.match(patch?.oldObject?.metadata, { managedFields });

    await admin.replace(`${SECRETS}/one`, secret('one'));
    const update = webhook.reviews.at(-1);
    t.match(update, { operation: 'UPDATE', options: { kind: 'UpdateOptions' } });
    t.match(update?.object?.metadata, { resourceVersion: /\d/, managedFields });
    t.match(update?.oldObject?.metadata, { labels: { a: 'b' }, managedFields });
  });

  await t.test('of a change that changes nothing', async (t) => {
    const before = webhook.reviews.length;
    await admin.patch(`${SECRETS}/one`, { metadata: { annotations: null } });
    t.equal(webhook.reviews.length, before + 1);
  });

  await t.test('of a deletion', async (t) => {
    await admin.remove(`${SECRETS}/one`, { propagationPolicy: 'Background' });
    t.match(webhook.reviews.at(-1), {
      operation: 'DELETE',
      object: null,
      oldObject: { metadata: { name: 'one', managedFields: [{}] } },
      options: { kind: 'DeleteOptions', propagationPolicy: 'Background' },
    });
  });
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
  t.same(body, {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: 'admission webhook "webhook.gate.test" denied the request: locked',
    reason: 'TooManyRequests',
    details: { retryAfterSeconds: 7 },
    code: 429,
  });
  t.same(await admin.list(SECRETS), []);

  const deniedBy = 'admission webhook "webhook.gate.test" denied the request';
  const cases: [status: JsonObject | undefined, expected: JsonObject][] = [
    [{ reason: 'Forbidden' }, { code: 400, reason: 'Forbidden', message: `${deniedBy}: Forbidden` }],
    [undefined, { code: 400, message: `${deniedBy} without explanation` }],
    [
      { code: 200, message: 'x' },
      { code: 400, message: `${deniedBy}: x` },
    ],
    [
      { code: 503, message: 'x' },
      { code: 503, message: `${deniedBy}: x` },
    ],
    [
      { code: 409, message: 'two\nlines “naïve”', reason: 'Conflict', details: { name: 'q' } },
      { code: 409, message: `${deniedBy}: two\nlines “naïve”`, reason: 'Conflict', details: { name: 'q' } },
    ],
  ];
  for (const [status, expected] of cases) {
    webhook.decide(() => ({ allowed: false, ...(status && { status }) }));
    const { code, body } = await admin.request('POST', SECRETS, secret('one'));
    const { kind: _kind, apiVersion: _apiVersion, metadata: _metadata, status: _status, ...rest } = body;
    t.same([code, rest], [expected.code, expected]);
  }
});

t.test('warnings of an allowed write reach the client', async (t) => {
  const { admin, webhook } = await world(t);
  const long = 'x'.repeat(300);
  webhook.decide(() => ({ allowed: true, warnings: ['first', 'naïve…', 'first', '', 'two\nlines', long] }));
  const { code, headers } = await admin.request('POST', SECRETS, secret('one'));
  t.equal(code, 201);
  const warning = Buffer.from(String(headers.warning), 'latin1').toString();
  const expected = `299 - "first", 299 - "naïve…", 299 - "${long}"`;
  t.equal(warning, expected, 'once, and none with control characters');
});

t.test('a held call delays the write', async (t) => {
  const { admin, webhook } = await world(t);
  const { promise: released, resolve: release } = Promise.withResolvers<JsonObject>();
  const called = Promise.withResolvers<void>();
  webhook.decide(() => {
    called.resolve();
    return released;
  });
  const write = admin.create(SECRETS, secret('one'));
  await called.promise;
  t.same(await admin.list(SECRETS), [], 'nothing is stored while the webhook thinks');
  release({ allowed: true });
  await write;
  t.match(await admin.list(SECRETS), [{ metadata: { name: 'one' } }]);
});

t.test('a client that hangs up ends the call', async (t) => {
  const { admin, webhook } = await world(t);
  const called = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  webhook.decide((_, { socket }) => {
    socket.once('close', () => ended.resolve());
    called.resolve();
    return new Promise(() => {});
  });
  const client = new AbortController();
  const write = admin.request('POST', SECRETS, secret('one'), { signal: client.signal });
  await called.promise;
  client.abort();
  await t.rejects(write);
  await ended.promise;
  t.same(await admin.list(SECRETS), []);
});

const hangUp: Decide = (_, { socket }) => {
  socket.destroy();
  return {};
};

t.test('a webhook that cannot be called', async (t) => {
  const authority = await issueAuthority({ commonName: 'other', validDays: 1, now: new Date() });
  const cases: {
    what: string;
    decide?: Decide;
    timeoutSeconds?: number;
    client?: JsonObject;
    message: RegExp;
  }[] = [
    {
      what: 'answers HTTP 500',
      decide: () => ({ httpStatus: 500, raw: 'oops' }),
      message:
        /: failed to call webhook: an error on the server \("oops"\) has prevented the request from succ/,
    },
    {
      what: 'answers HTTP 302',
      decide: () => ({ httpStatus: 302, raw: 'x' }),
      message:
        /: failed to call webhook: the server responded with the status code 302 but did not return more/,
    },
    {
      what: 'answers no JSON',
      decide: () => ({ raw: 'hello' }),
      message: /: failed to call webhook: couldn't get version\/kind; json parse error: /,
    },
    {
      what: 'answers with nothing',
      decide: () => ({ raw: '' }),
      message: /: failed to call webhook: 0-length response with status code: 200/,
    },
    {
      what: 'answers something else',
      decide: () => ({ raw: '{"kind":"Something","apiVersion":"v1"}' }),
      message: /: failed to call webhook: no kind "Something" is registered for version "v1"/,
    },
    {
      what: 'answers another uid',
      decide: () => ({ uid: 'x', allowed: true }),
      message: /: received invalid webhook response: expected response.uid="[-0-9a-f]{36}", got "x"$/,
    },
    {
      what: 'answers without a response',
      decide: () => ({ raw: '{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}' }),
      message: /: received invalid webhook response: webhook response was absent$/,
    },
    {
      what: 'answers with a patch, though it only validates',
      decide: () => ({ allowed: true, patchType: 'JSONPatch', patch: 'W10=' }),
      message: /: received invalid webhook response: validating webhook may not return response.patch$/,
    },
    {
      what: 'never answers',
      decide: () => new Promise<JsonObject>(() => {}),
      timeoutSeconds: 1,
      message: /: failed to call webhook: Post ".*\?timeout=1s": context deadline exceeded$/,
    },
    { what: 'hangs up', decide: hangUp, message: /: failed to call webhook: Post ".*\?timeout=10s": EOF$/ },
    {
      what: 'is not trusted',
      client: { caBundle: Buffer.from(authority.certificate).toString('base64') },
      message: /: tls: failed to verify certificate: x509: certificate signed by unknown authority$/,
    },
    {
      what: 'does not listen',
      client: { url: 'https://127.0.0.1:1/admission' },
      message:
        /: Post "https:\/\/127.0.0.1:1\/admission\?timeout=10s": dial tcp 127.0.0.1:1: connect: connection refused$/,
    },
  ];
  const { admin, webhook, install } = await world(t);
  for (const { what, decide = () => ({ allowed: true }), message, timeoutSeconds = 10, client } of cases) {
    await t.test(`it ${what}`, async (t) => {
      webhook.decide(decide);
      const clientConfig = { url: webhook.url, caBundle: webhook.caBundle, ...client };
      await install({ failurePolicy: 'Fail', clientConfig, timeoutSeconds });
      const status = await fails(t, admin.request('POST', SECRETS, secret('one')), {
        code: 500,
        reason: 'InternalError',
        message,
      });
      t.match(status.message, /^Internal error occurred: failed calling webhook "webhook.gate.test": /);
      await install({ failurePolicy: 'Ignore', clientConfig, timeoutSeconds });
      await admin.create(`${SECRETS}?dryRun=All`, secret('one'));
    });
  }

  await t.test('any HTTP status from 200 on will do', async (t) => {
    webhook.decide(() => ({ httpStatus: 201, allowed: true }));
    await install();
    t.equal((await admin.request('POST', SECRETS, secret('one'))).code, 201);
  });
});

t.test('many calls share few connections', async (t) => {
  const { admin, webhook } = await world(t);
  for (let number = 0; number < 20; number += 1) await admin.create(SECRETS, secret(`s-${number}`));
  t.equal(webhook.connections(), 1);
});

t.test('which webhooks are called', async (t) => {
  const byName = (operator: string) => ({
    matchExpressions: [{ key: 'kubernetes.io/metadata.name', operator, values: ['prod'] }],
  });
  const byOwner = (operator: string) => ({ matchExpressions: [{ key: 'owner', operator }] });
  const cases: { when: string; more: JsonObject; called: boolean }[] = [
    { when: 'its operation is named', more: { rules: [{ ...RULE, operations: ['CREATE'] }] }, called: true },
    {
      when: 'another operation is named',
      more: { rules: [{ ...RULE, operations: ['DELETE'] }] },
      called: false,
    },
    { when: 'another group is named', more: { rules: [{ ...RULE, apiGroups: ['apps'] }] }, called: false },
    {
      when: 'everything is named',
      more: { rules: [{ ...RULE, apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'] }] },
      called: true,
    },
    {
      when: 'only a subresource is named',
      more: { rules: [{ ...RULE, resources: ['secrets/status'] }] },
      called: false,
    },
    { when: 'the scope is Namespaced', more: { rules: [{ ...RULE, scope: 'Namespaced' }] }, called: true },
    { when: 'the scope is Cluster', more: { rules: [{ ...RULE, scope: 'Cluster' }] }, called: false },
    { when: 'the namespace is selected', more: { namespaceSelector: byName('In') }, called: true },
    { when: 'the namespace is excluded', more: { namespaceSelector: byName('NotIn') }, called: false },
    { when: 'the object is selected', more: { objectSelector: byOwner('Exists') }, called: true },
    { when: 'the object is not selected', more: { objectSelector: byOwner('DoesNotExist') }, called: false },
  ];
  const { admin, webhook, install } = await world(t);
  for (const { when, more, called } of cases) {
    await install(more);
    const before = webhook.reviews.length;
    await admin.create(`${SECRETS}?dryRun=All`, { metadata: { name: 'one', labels: { owner: 'helm' } } });
    t.equal(webhook.reviews.length > before, called, `${called ? 'called' : 'not called'} when ${when}`);
  }
});

t.test('an object that stops matching the object selector is still reviewed by its old labels', async (t) => {
  const { admin, webhook } = await world(t, { objectSelector: { matchLabels: { status: 'pending' } } });
  await admin.create(SECRETS, { metadata: { name: 'one', labels: { status: 'pending' } } });
  const done = await admin.patch(`${SECRETS}/one`, { metadata: { labels: { status: 'done' } } });
  // With its resourceVersion: a busy API server would ask about a patch of the object as it was, and then try again.
  await admin.replace(`${SECRETS}/one`, { ...done, metadata: { ...done.metadata, labels: { more: 'x' } } });
  t.same(
    webhook.reviews.map(({ operation }) => operation),
    ['CREATE', 'UPDATE'],
  );
});

t.test('a namespace is selected by its own labels, a cluster-scoped object always', async (t) => {
  const { admin, webhook } = await world(t, {
    rules: [
      { operations: ['CREATE', 'UPDATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['namespaces'] },
      {
        operations: ['CREATE', 'UPDATE'],
        apiGroups: ['rbac.authorization.k8s.io', 'admissionregistration.k8s.io'],
        apiVersions: ['v1'],
        resources: ['clusterroles', 'validatingwebhookconfigurations'],
      },
    ],
    namespaceSelector: { matchLabels: { team: 'a' } },
  });
  await admin.create('/api/v1/namespaces', { metadata: { name: 'other', labels: { team: 'b' } } });
  await admin.create('/api/v1/namespaces', { metadata: { name: 'mine', labels: { team: 'a' } } });
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
  await admin.create('/apis/batch/v1/namespaces/prod/jobs', job('job'));
  await admin.completeJob('prod', 'job', 'Complete');
  t.match(webhook.reviews, [
    { subResource: 'status', operation: 'UPDATE', object: { status: { succeeded: 1 } } },
  ]);
});

t.test('all webhooks are asked at once, and one denial is enough', async (t) => {
  const { admin, webhook } = await world(t);
  const second = await startFakeWebhook(t);
  await (await installer(t, admin, second, 'second.test'))();
  const both = Promise.withResolvers<JsonObject>();
  webhook.decide(() => both.promise);
  second.decide(() => {
    both.resolve({ allowed: true, warnings: ['from the first'] });
    return DENIED;
  });
  const { code, headers, body } = await admin.request('POST', SECRETS, secret('one'));
  t.match(
    [code, headers.warning, body.message],
    [403, '299 - "from the first"', /webhook "webhook.second.test" denied/],
  );
});

t.test('a dry run is reviewed as one and stores nothing', async (t) => {
  const { admin, webhook } = await world(t, { sideEffects: 'NoneOnDryRun' });
  const { code, body } = await admin.request('POST', `${SECRETS}?dryRun=All`, secret('one'));
  t.match([code, body], [201, { metadata: { name: 'one' } }]);
  t.match(webhook.reviews, [{ dryRun: true, options: { dryRun: ['All'] } }]);
  t.same(await admin.list(SECRETS), []);

  await admin.create(SECRETS, secret('one'));
  await admin.request('DELETE', `${SECRETS}/one`, { kind: 'DeleteOptions', dryRun: ['All'] });
  const { body: changed } = await admin.request(
    'PUT',
    `${SECRETS}/one?dryRun=All`,
    secret('one', { data: { a: 'YQ==' } }),
  );
  t.match(changed.data, { a: 'YQ==' });
  t.notOk('data' in (await admin.get(`${SECRETS}/one`)));
  for (const [method, path, kind] of [
    ['POST', `${SECRETS}?dryRun=some`, 'CreateOptions'],
    ['PUT', `${SECRETS}/one?dryRun=some`, 'UpdateOptions'],
    ['DELETE', `${SECRETS}/one?dryRun=some`, 'DeleteOptions'],
  ] as const) {
    await fails(t, admin.request(method, path, method === 'DELETE' ? undefined : secret('one')), {
      code: 422,
      reason: 'Invalid',
      message: `${kind}.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["some"]: supported values: "All"`,
    });
  }
});

t.test('configurations that make no sense are refused', async (t) => {
  const { admin, webhook } = await world(t);
  const cases: [more: JsonObject, message: string][] = [
    [
      { sideEffects: 'Some' },
      'sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"',
    ],
    [{ sideEffects: undefined }, 'sideEffects: Required value: must specify one of None, NoneOnDryRun'],
    [
      { admissionReviewVersions: [] },
      'admissionReviewVersions: Required value: must specify one of v1, v1beta1',
    ],
    [
      { admissionReviewVersions: ['v9'] },
      'admissionReviewVersions: Invalid value: ["v9"]: must include at least one of v1, v1beta1',
    ],
    [{ clientConfig: {} }, 'clientConfig: Required value: exactly one of url or service is required'],
    [{ clientConfig: undefined }, 'clientConfig: Required value: exactly one of url or service is required'],
    [
      { clientConfig: { url: 'http://x' } },
      'clientConfig.url: Invalid value: "http": \'https\' is the only allowed URL scheme; desired format: https://host[/path]',
    ],
    [
      { timeoutSeconds: 31 },
      'timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds',
    ],
    [{ failurePolicy: 'X' }, 'failurePolicy: Unsupported value: "X": supported values: "Fail", "Ignore"'],
    [
      { name: 'gate.test' },
      'name: Invalid value: "gate.test": should be a domain with at least three segments separated by dots',
    ],
    [{ rules: [{ ...RULE, operations: [] }] }, 'rules[0].operations: Required value'],
    [
      { rules: [{ ...RULE, operations: ['WATCH'] }] },
      'rules[0].operations[0]: Unsupported value: "WATCH": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"',
    ],
  ];
  for (const [more, problem] of cases) {
    const refused = admin.request('POST', CONFIGURATIONS, configurationOf(webhook, more, 'other.test'));
    const about = 'ValidatingWebhookConfiguration.admissionregistration.k8s.io "other.test"';
    const message = `${about} is invalid: webhooks[0].${problem}`;
    await fails(t, refused, { code: 422, reason: 'Invalid', message });
  }
  await admin.create(CONFIGURATIONS, { metadata: { name: 'empty' } });
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

t.test('a change without a version is reviewed again when the object changed meanwhile', async (t) => {
  const { cluster, admin, webhook } = await world(t);
  const bob = await cluster.client({ username: 'bob' });
  await admin.create(SECRETS, secret('one'));
  const interveneOnce = () => {
    let intervened = false;
    webhook.decide(async () => {
      if (!intervened) {
        intervened = true;
        await bob.patch(`${SECRETS}/one`, { metadata: { labels: { by: `bob-${webhook.reviews.length}` } } });
      }
      return { allowed: true };
    });
  };
  const asked = (from: number) =>
    webhook.reviews.slice(from).map(({ operation, userInfo }) => `${operation} ${userInfo.username}`);

  await t.test('a patch', async (t) => {
    interveneOnce();
    const before = webhook.reviews.length;
    await admin.patch(`${SECRETS}/one`, { metadata: { annotations: { by: 'me' } } });
    const { labels, annotations } = (await admin.get(`${SECRETS}/one`)).metadata;
    t.match([labels, annotations], [{ by: /^bob/ }, { by: 'me' }], 'both changes are there');
    t.same(asked(before), ['UPDATE alice', 'UPDATE bob', 'UPDATE alice']);
  });

  await t.test('a PUT', async (t) => {
    interveneOnce();
    const before = webhook.reviews.length;
    await admin.replace(`${SECRETS}/one`, secret('one'));
    t.notOk('labels' in (await admin.get(`${SECRETS}/one`)).metadata, 'the last one wins');
    t.same(asked(before), ['UPDATE alice', 'UPDATE bob', 'UPDATE alice']);
  });

  await t.test('a deletion', async (t) => {
    interveneOnce();
    const before = webhook.reviews.length;
    await admin.remove(`${SECRETS}/one`);
    t.same(asked(before), ['DELETE alice', 'UPDATE bob', 'DELETE alice']);
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
        /INSTALLATION FAILED: create: failed to create: admission webhook "webhook.gate.test" denied the request: locked by bob/,
    });
    t.equal(webhook.reviews.length, 1);
  });

  await t.test('comes back by itself after 429 with Retry-After, and prints warnings', async (t) => {
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
  });
});
