/** Requests, answers and refusals, in the words of the real API server. */
import t from 'tap';
import type { ApiResponse } from '../client.ts';
import type { JsonObject } from '../kubernetes-object.ts';
import { ALICE, fails, SECRETS, secret, startCluster } from './fixture.ts';

const METADATA_ONLY = { accept: 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1' };
const METADATA_LIST = { accept: 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1' };
const TABLE = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' };

t.test('the life of an object', async (t) => {
  const { admin } = await startCluster(t);
  const created = await admin.create(
    SECRETS,
    secret('one', { stringData: { a: 'text' }, data: { b: 'Yg==' } }),
  );
  t.match(created, {
    kind: 'Secret',
    apiVersion: 'v1',
    metadata: { name: 'one', namespace: 'prod', uid: /^[-0-9a-f]{36}$/, resourceVersion: /^\d+$/ },
    data: { a: 'dGV4dA==', b: 'Yg==' },
    type: 'Opaque',
  });
  t.same(await admin.get(`${SECRETS}/one`), created);

  const replaced = await admin.replace(
    `${SECRETS}/one`,
    secret('one', { metadata: { name: 'one', labels: { x: 'y' } } }),
  );
  t.match(replaced.metadata, {
    uid: created.metadata.uid,
    creationTimestamp: created.metadata.creationTimestamp,
  });
  t.notOk('data' in replaced, 'a PUT replaces');
  t.notSame(replaced.metadata.resourceVersion, created.metadata.resourceVersion);

  const same = await admin.patch(`${SECRETS}/one`, { metadata: { labels: { x: 'y' } } });
  t.equal(same.metadata.resourceVersion, replaced.metadata.resourceVersion, 'no change, no new version');

  const { body } = await admin.request('DELETE', `${SECRETS}/one`);
  t.match(body, {
    kind: 'Status',
    status: 'Success',
    details: { name: 'one', kind: 'secrets', uid: created.metadata.uid },
  });
  await t.rejects(admin.get(`${SECRETS}/one`), { message: /404 secrets "one" not found/ });
});

t.test('names', async (t) => {
  const { admin } = await startCluster(t);
  const generated = await admin.create(SECRETS, { metadata: { generateName: 'job-' } });
  t.match(generated.metadata.name, /^job-[a-z0-9]{5}$/);
  for (const [path, name] of [
    [SECRETS, 'Upper'],
    [SECRETS, 'under_score'],
    [SECRETS, `${'a'.repeat(254)}`],
    ['/api/v1/namespaces', 'with.dot'],
    ['/apis/rbac.authorization.k8s.io/v1/clusterroles', 'a/b'],
  ] as const) {
    const refused = admin.request('POST', path, { metadata: { name } });
    await fails(t, refused, {
      code: 422,
      reason: 'Invalid',
      message: /is invalid: metadata.name: Invalid value/,
    });
  }
  await admin.create('/apis/rbac.authorization.k8s.io/v1/clusterroles', {
    metadata: { name: 'system:Reader' },
  });
  const nameless = admin.request('POST', '/apis/batch/v1/namespaces/prod/jobs', { metadata: {} });
  await fails(t, nameless, {
    code: 422,
    reason: 'Invalid',
    message: /^Job.batch "" is invalid: metadata.name: Required/,
  });
});

t.test('refusals', async (t) => {
  const { admin } = await startCluster(t);
  await admin.create(SECRETS, secret('one', { data: { a: 'YQ==' } }));
  const configMaps = '/api/v1/namespaces/prod/configmaps';
  const big = 'x'.repeat(1_048_577);
  const cases: [
    what: string,
    Promise<ApiResponse<unknown>>,
    code: number,
    reason: string,
    message: RegExp,
  ][] = [
    [
      'a name that is taken',
      admin.request('POST', SECRETS, secret('one')),
      409,
      'AlreadyExists',
      /^secrets "one" already exists$/,
    ],
    [
      'a namespace that is missing',
      admin.request('POST', '/api/v1/namespaces/nowhere/secrets', secret('one')),
      404,
      'NotFound',
      /^namespaces "nowhere" not found$/,
    ],
    [
      'an object that is missing',
      admin.request('PUT', `${SECRETS}/two`, secret('two')),
      404,
      'NotFound',
      /^secrets "two" not found$/,
    ],
    [
      'a new object with a version',
      admin.request('POST', SECRETS, { metadata: { name: 'two', resourceVersion: '1' } }),
      500,
      'InternalError',
      /resourceVersion should not be set/,
    ],
    [
      'another version',
      admin.request('PUT', `${SECRETS}/one`, { metadata: { name: 'one', resourceVersion: '1' } }),
      409,
      'Conflict',
      /^Operation cannot be fulfilled on secrets "one": the object has been modified; please/,
    ],
    [
      'another uid',
      admin.request('PUT', `${SECRETS}/one`, { metadata: { name: 'one', uid: 'x' } }),
      409,
      'Conflict',
      /UID in precondition: x/,
    ],
    [
      'another name',
      admin.request('PUT', `${SECRETS}/one`, secret('two')),
      400,
      'BadRequest',
      /does not match the name on the URL/,
    ],
    [
      'another namespace',
      admin.request('POST', SECRETS, { metadata: { name: 'two', namespace: 'x' } }),
      400,
      'BadRequest',
      /namespace of the provided object does not match/,
    ],
    [
      'another kind',
      admin.request('POST', SECRETS, { kind: 'Pod', metadata: {} }),
      400,
      'BadRequest',
      /does not match the expected API version/,
    ],
    [
      'another type of Secret',
      admin.request('PUT', `${SECRETS}/one`, secret('one', { type: 'other' })),
      422,
      'Invalid',
      /type: Invalid value: "other": field is immutable/,
    ],
    [
      'too much data in a Secret',
      admin.request('POST', SECRETS, secret('two', { stringData: { big } })),
      422,
      'Invalid',
      /data: Too long: may not be more than 1048576 bytes/,
    ],
    [
      'too much data in a ConfigMap',
      admin.request('POST', configMaps, { metadata: { name: 'x' }, data: { big } }),
      422,
      'Invalid',
      /\[\]: Too long/,
    ],
    [
      'data that is no text',
      admin.request('POST', configMaps, { metadata: { name: 'x' }, data: { a: 1 } }),
      400,
      'BadRequest',
      /cannot be handled as a ConfigMap/,
    ],
    [
      'a body that is too large',
      admin.request('POST', SECRETS, secret('two', { x: big.repeat(3) })),
      413,
      'RequestEntityTooLarge',
      /limit is 3145728/,
    ],
    ['a body that is no JSON', admin.request('POST', SECRETS, '{'), 400, 'BadRequest', /not valid JSON/],
    ['a body that is no object', admin.request('POST', SECRETS, '[]'), 400, 'BadRequest', /not an object/],
    [
      'metadata that is no object',
      admin.request('POST', SECRETS, { metadata: 'x' }),
      400,
      'BadRequest',
      /metadata is not an object/,
    ],
    [
      'a body in YAML',
      admin.request('POST', SECRETS, 'a: b', { headers: { 'content-type': 'application/yaml' } }),
      415,
      'UnsupportedMediaType',
      /unknown format/,
    ],
    [
      'an unknown kind of patch',
      admin.request('PATCH', `${SECRETS}/one`, {}),
      415,
      'UnsupportedMediaType',
      /unknown format/,
    ],
    [
      'only protobuf is accepted',
      admin.request('GET', SECRETS, undefined, {
        headers: { accept: 'application/vnd.kubernetes.protobuf' },
      }),
      406,
      'NotAcceptable',
      /only the following media types/,
    ],
    [
      'a list as a single object',
      admin.request('GET', SECRETS, undefined, { headers: METADATA_ONLY }),
      406,
      'NotAcceptable',
      /is a list/,
    ],
    [
      'an object as a list',
      admin.request('GET', `${SECRETS}/one`, undefined, { headers: METADATA_LIST }),
      406,
      'NotAcceptable',
      /is not a list/,
    ],
    [
      'a selector that makes no sense',
      admin.request('GET', `${SECRETS}?labelSelector=a+b`),
      400,
      'BadRequest',
      /unable to parse requirement/,
    ],
    [
      'a field that cannot be selected',
      admin.request('GET', `${SECRETS}?fieldSelector=data.a%3Db`),
      400,
      'BadRequest',
      /field label not supported: data.a/,
    ],
    [
      'a field selector that makes no sense',
      admin.request('GET', `${SECRETS}?fieldSelector=x`),
      400,
      'BadRequest',
      /invalid selector/,
    ],
    [
      'a future version',
      admin.request('GET', `${SECRETS}?resourceVersion=99999`),
      504,
      'Timeout',
      /Too large resource version/,
    ],
    [
      'a continuation that makes no sense',
      admin.request('GET', `${SECRETS}?continue=x`),
      400,
      'BadRequest',
      /continue key is not valid/,
    ],
  ];
  for (const [what, response, code, reason, message] of cases) {
    await t.test(what, (t) => fails(t, response, { code, reason, message }).then());
  }
});

t.test('what is not known is said so, and reported', async (t) => {
  const logged: string[] = [];
  const { admin } = await startCluster(t, { log: (message) => logged.push(message) });
  for (const [method, path, code] of [
    ['GET', '/api/v1/nodes', 404],
    ['GET', '/apis/apps/v2/deployments', 404],
    ['GET', '/apis/nothing/v1', 404],
    ['GET', '/apis/a/b/c/d/e/f/g', 404],
    ['GET', '/api/v2', 404],
    ['GET', '/nowhere', 404],
    ['GET', `${SECRETS}/one/status`, 404],
    ['GET', `${SECRETS}/one/two/three`, 404],
    ['POST', `${SECRETS}/one`, 405],
    ['PUT', SECRETS, 405],
    ['PATCH', SECRETS, 405],
    ['OPTIONS', SECRETS, 405],
  ] as const) {
    const reason = code === 404 ? 'NotFound' : 'MethodNotAllowed';
    await fails(t, admin.request(method, path), { code, reason, message: /the embedded cluster does not/ });
    t.match(logged.pop(), path);
  }
  const post = admin.request('POST', '/apis/nothing/v1/reviews', {});
  await fails(t, post, { code: 404, reason: 'NotFound', message: /does not know POST/ });
  await fails(t, admin.request('POST', '/apis/nothing/v1/reviews'), {
    code: 400,
    reason: 'BadRequest',
    message: /body/,
  });
});

t.test('preconditions of a delete', async (t) => {
  const { admin } = await startCluster(t);
  const { metadata } = await admin.create(SECRETS, secret('one'));
  const { uid, resourceVersion } = metadata;
  for (const preconditions of [{ uid: 'x' }, { resourceVersion: '1' }, { uid, resourceVersion: '1' }]) {
    const refused = admin.request('DELETE', `${SECRETS}/one`, { preconditions });
    await fails(t, refused, {
      code: 409,
      reason: 'Conflict',
      message: /in the precondition \(.*\) does not match/,
    });
  }
  await admin.remove(`${SECRETS}/one`, { preconditions: { uid, resourceVersion } });
});

t.test('lists', async (t) => {
  const { admin } = await startCluster(t);
  await admin.createNamespace('test');
  for (const [namespace, name, labels] of [
    ['test', 'a', { app: 'web' }],
    ['prod', 'a', { app: 'web', tier: 'front' }],
    ['prod', 'b', { app: 'db' }],
    ['prod', 'c', {}],
  ] as const) {
    await admin.create(`/api/v1/namespaces/${namespace}/secrets`, {
      metadata: { name, labels },
      type: `type-${name}`,
    });
  }
  const names = async (path: string) =>
    (await admin.list(path)).map(({ metadata: { namespace, name } }) => `${namespace}/${name}`);

  const cases: [query: string, expected: string[]][] = [
    ['', ['prod/a', 'prod/b', 'prod/c']],
    ['labelSelector=app', ['prod/a', 'prod/b']],
    ['labelSelector=!app', ['prod/c']],
    ['labelSelector=app%3Dweb', ['prod/a']],
    ['labelSelector=app%3D%3Dweb,tier%3Dfront', ['prod/a']],
    ['labelSelector=app!%3Dweb', ['prod/b', 'prod/c']],
    ['labelSelector=app+in+(web,+db)', ['prod/a', 'prod/b']],
    ['labelSelector=app+notin+(web),app', ['prod/b']],
    ['fieldSelector=metadata.name%3Db', ['prod/b']],
    ['fieldSelector=metadata.name!%3Db', ['prod/a', 'prod/c']],
    ['fieldSelector=type%3Dtype-c,metadata.namespace%3Dprod', ['prod/c']],
  ];
  for (const [query, expected] of cases) t.same(await names(`${SECRETS}?${query}`), expected, query || 'all');
  t.same(await names('/api/v1/secrets'), ['prod/a', 'prod/b', 'prod/c', 'test/a'], 'all namespaces');
  t.same(await names('/api/v1/namespaces/nowhere/secrets'), [], 'of a namespace that is missing');

  await t.test('in pages', async (t) => {
    const first = await admin.request<{ metadata: { continue: string }; items: object[] }>(
      'GET',
      '/api/v1/secrets?limit=3',
    );
    t.equal(first.body.items.length, 3);
    t.same(await names(`/api/v1/secrets?limit=3&continue=${first.body.metadata.continue}`), ['test/a']);
  });

  await t.test('metadata only, never with the payload', async (t) => {
    const { body } = await admin.request('GET', SECRETS, undefined, { headers: METADATA_LIST });
    t.match(body, {
      kind: 'PartialObjectMetadataList',
      items: [{ kind: 'PartialObjectMetadata', metadata: { name: 'a' } }],
    });
    t.notMatch(JSON.stringify(body), 'type-a');
    const one = await admin.request('GET', `${SECRETS}/a`, undefined, { headers: METADATA_ONLY });
    t.same(Object.keys(one.body), ['kind', 'apiVersion', 'metadata']);
  });

  await t.test('deleted as a collection', async (t) => {
    await admin.remove(`${SECRETS}?labelSelector=app`);
    t.same(await names(SECRETS), ['prod/c']);
  });
});

t.test('patches', async (t) => {
  const { admin } = await startCluster(t);
  const path = '/apis/apps/v1/namespaces/prod/deployments/web';
  const deployments = '/apis/apps/v1/namespaces/prod/deployments';
  const patch = async (type: string, body: unknown) => {
    const headers = { 'content-type': `application/${type}`, 'user-agent': 'patcher/1' };
    return admin.request('PATCH', path, body, { headers });
  };
  await admin.create(deployments, {
    metadata: { name: 'web' },
    spec: { replicas: 1, containers: [{ name: 'a', image: 'a:1' }, { name: 'b' }], args: ['x'] },
  });

  await t.test('a merge patch replaces lists and removes what is null', async (t) => {
    const { body } = await patch('merge-patch+json', {
      spec: { replicas: null, args: ['y'], new: { deep: 1 } },
    });
    t.match(body.spec, { args: ['y'], new: { deep: 1 } });
    t.notOk('replicas' in (body.spec as object));
  });

  await t.test('a strategic patch merges lists by their keys', async (t) => {
    const { body } = await patch('strategic-merge-patch+json', {
      spec: {
        '$setElementOrder/containers': [{ name: 'a' }, { name: 'c' }],
        containers: [
          { name: 'a', image: 'a:2' },
          { name: 'b', $patch: 'delete' },
          { name: 'c' },
          { name: 'x', $patch: 'delete' },
        ],
        args: ['z'],
        new: { $patch: 'replace', other: 1 },
        list: [{ name: 'q' }],
        nothing: null,
      },
    });
    t.same(body.spec, {
      containers: [{ name: 'a', image: 'a:2' }, { name: 'c' }],
      args: ['z'],
      new: { other: 1 },
      list: [{ name: 'q' }],
    });
  });

  await t.test('a JSON patch', async (t) => {
    const { body } = await patch('json-patch+json', [
      { op: 'test', path: '/spec/containers/0/name', value: 'a' },
      { op: 'add', path: '/spec/args/-', value: 'last' },
      { op: 'add', path: '/spec/args/0', value: 'first' },
      { op: 'replace', path: '/spec/containers/1/name', value: 'd' },
      { op: 'remove', path: '/spec/containers/0' },
      { op: 'remove', path: '/spec/list' },
      { op: 'add', path: '/metadata/annotations', value: {} },
      { op: 'add', path: '/metadata/annotations/a~1b', value: 'x' },
    ]);
    t.match(body.spec, { args: ['first', 'z', 'last'], containers: [{ name: 'd' }] });
    t.same(body.metadata.annotations, { 'a/b': 'x' });
    for (const [operation, code] of [
      [{ op: 'test', path: '/spec/args/0', value: 'q' }, 422],
      [{ op: 'remove', path: '/spec/nothing' }, 422],
      [{ op: 'add', path: '/no/way/there', value: 1 }, 422],
      [{ op: 'move', path: '/spec/args' }, 400],
    ] as const) {
      t.equal((await patch('json-patch+json', [operation])).code, code, operation.op);
    }
    t.equal((await patch('json-patch+json', {})).code, 400);
  });

  await t.test('a patch that names a version', async (t) => {
    const stale = { metadata: { resourceVersion: '1' } };
    await fails(t, patch('merge-patch+json', stale), { code: 409, reason: 'Conflict', message: /modified/ });
  });

  await t.test('who set what', async (t) => {
    const { metadata } = await admin.get(path);
    t.match(
      metadata.managedFields,
      [
        { manager: 'lockkeeper-test', operation: 'Update', apiVersion: 'apps/v1', fieldsType: 'FieldsV1' },
        { manager: 'patcher', fieldsV1: { 'f:metadata': { 'f:annotations': { '.': {}, 'f:a/b': {} } } } },
      ].slice(1),
    );
  });
});

t.test('server-side apply creates, then merges, and remembers its manager', async (t) => {
  const { admin } = await startCluster(t);
  const path = '/api/v1/namespaces/prod/configmaps/one?fieldManager=me&force=true';
  const headers = { 'content-type': 'application/apply-patch+yaml' };
  const apply = (data: JsonObject) =>
    admin.request(
      'PATCH',
      path,
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'one' }, data },
      { headers },
    );
  t.equal((await apply({ a: '1' })).code, 201);
  await admin.patch('/api/v1/namespaces/prod/configmaps/one', { data: { b: '2' } });
  const { code, body } = await apply({ a: '3' });
  t.match([code, body.data], [200, { a: '3', b: '2' }]);
  t.match(body.metadata.managedFields, [
    { manager: 'lockkeeper-test', operation: 'Update', fieldsV1: { 'f:data': { 'f:b': {} } } },
    { manager: 'me', operation: 'Apply', fieldsV1: { 'f:data': { '.': {}, 'f:a': {} } } },
  ]);
});

t.test('server-side apply removes what its manager leaves out, unless somebody else set it', async (t) => {
  const { admin } = await startCluster(t);
  const headers = { 'content-type': 'application/apply-patch+yaml' };
  const apply = (object: JsonObject) =>
    admin.request('PATCH', '/api/v1/namespaces/prod/configmaps/one?fieldManager=me', object, { headers });
  await apply({ metadata: { labels: { a: '1' } }, data: { a: '1', b: '1', c: '1' } });
  await admin.patch('/api/v1/namespaces/prod/configmaps/one', { data: { b: '2' } });
  const { body } = await apply({ metadata: {}, data: { a: '1' } });
  t.same([body.data, body.metadata.labels], [{ a: '1', b: '2' }, {}]);
});

t.test('fields belong to whoever changed them last', async (t) => {
  const { admin } = await startCluster(t);
  const as = (manager: string, data: JsonObject) =>
    admin.request(
      'PATCH',
      `${SECRETS}/one?fieldManager=${manager}`,
      { data },
      { headers: { 'content-type': 'application/merge-patch+json' } },
    );
  await admin.request(
    'POST',
    `${SECRETS}?fieldManager=first`,
    secret('one', { data: { a: 'YQ==', b: 'Yg==' } }),
  );
  const { body } = await as('second', { b: 'Yw==' });
  const owners = body.metadata.managedFields?.map(({ manager, fieldsV1 }) => [manager, fieldsV1['f:data']]);
  t.same(owners, [
    ['first', { '.': {}, 'f:a': {} }],
    ['second', { 'f:b': {} }],
  ]);
  const { body: removed } = await as('first', { a: null, b: null });
  t.same(
    removed.metadata.managedFields?.map(({ manager }) => manager),
    ['first'],
    'who owns nothing is forgotten',
  );
});

t.test('a status is written apart from the rest', async (t) => {
  const { admin } = await startCluster(t);
  const pods = '/api/v1/namespaces/prod/pods';
  const created = await admin.create(pods, { metadata: { name: 'one' }, spec: { x: 1 } });
  t.match(created.status, { phase: 'Pending' });
  const running = await admin.request('PUT', `${pods}/one/status`, {
    metadata: { name: 'one' },
    status: { phase: 'Running' },
  });
  t.match(running.body, { spec: { x: 1 }, status: { phase: 'Running' } });
  t.match(running.body.metadata.managedFields?.at(-1), { subresource: 'status' });
  const replaced = await admin.replace(`${pods}/one`, { metadata: { name: 'one' }, spec: { x: 2 } });
  t.match(replaced, { spec: { x: 2 }, status: { phase: 'Running' } });
  t.match((await admin.get(`${pods}/one/status`)).status, { phase: 'Running' });
});

t.test('a finalizer keeps an object until it is removed', async (t) => {
  const { admin } = await startCluster(t);
  await admin.create(SECRETS, { metadata: { name: 'one', finalizers: ['test/keep'] } });
  const { body } = await admin.request('DELETE', `${SECRETS}/one`);
  t.match(body.metadata, { name: 'one', deletionTimestamp: /Z$/ });
  await admin.remove(`${SECRETS}/one`);
  await admin.patch(`${SECRETS}/one`, { metadata: { finalizers: null } });
  await t.rejects(admin.get(`${SECRETS}/one`), /404/);
});

t.test('an immutable object keeps its data', async (t) => {
  const { admin } = await startCluster(t);
  await admin.create(SECRETS, secret('one', { immutable: true, data: { a: 'YQ==' } }));
  await admin.patch(`${SECRETS}/one`, { metadata: { labels: { x: 'y' } } });
  const changed = admin.request(
    'PUT',
    `${SECRETS}/one`,
    secret('one', { immutable: true, data: { a: 'Yg==' } }),
  );
  await fails(t, changed, { code: 422, reason: 'Invalid', message: /data: Forbidden: field is immutable/ });
});

t.test('namespaces', async (t) => {
  const logged: string[] = [];
  const { cluster, admin } = await startCluster(t, { log: (message) => logged.push(message) });
  t.same(
    (await admin.list('/api/v1/namespaces')).map(({ metadata: { name } }) => name),
    ['default', 'kube-public', 'kube-system', 'prod'],
  );
  t.match(await admin.get('/api/v1/namespaces/prod'), {
    metadata: { labels: { 'kubernetes.io/metadata.name': 'prod' } },
    status: { phase: 'Active' },
  });
  await fails(t, admin.request('DELETE', '/api/v1/namespaces/default'), {
    code: 403,
    reason: 'Forbidden',
    message: /may not be deleted/,
  });

  await t.test('a dry run of a deletion changes nothing', async (t) => {
    await admin.request('DELETE', '/api/v1/namespaces/prod?dryRun=All');
    t.match(await admin.get('/api/v1/namespaces/prod'), { status: { phase: 'Active' } });
  });

  await t.test('a deletion takes the contents with it', async (t) => {
    await admin.create(SECRETS, secret('one'));
    const gone = cluster.waitForWrite(
      ({ verb, object }) => verb === 'DELETED' && object.kind === 'Namespace',
    );
    const { body } = await admin.request('DELETE', '/api/v1/namespaces/prod');
    t.match(body, { status: { phase: 'Terminating' }, metadata: { deletionTimestamp: /Z$/ } });
    await gone;
    t.same(await admin.list(SECRETS), []);
  });

  await t.test('nothing new is created while it is going', async (t) => {
    cluster.seed([
      {
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: { name: 'going', deletionTimestamp: '2026-01-01T00:00:00Z' },
      },
    ]);
    const late = admin.request('POST', '/api/v1/namespaces/going/secrets', secret('late'));
    await fails(t, late, {
      code: 403,
      reason: 'Forbidden',
      message: /namespace going because it is being terminated/,
    });
  });
});

t.test('users', async (t) => {
  const { cluster, admin } = await startCluster(t, {
    authorize: ({ user, verb, resource, namespace }) =>
      user.username !== 'alice' || (verb === 'get' && resource === 'secrets' && namespace === 'prod'),
  });
  await admin.create(SECRETS, secret('one'));
  const alice = await cluster.client(ALICE);

  await t.test('who may do what is asked of `authorize`', async (t) => {
    await alice.get(`${SECRETS}/one`);
    await fails(t, alice.request('DELETE', `${SECRETS}/one`), {
      code: 403,
      reason: 'Forbidden',
      message:
        /^secrets "one" is forbidden: User "alice" cannot delete resource "secrets" in API group "" in the namespace "prod"$/,
    });
    await fails(t, alice.request('GET', '/api/v1/namespaces'), {
      code: 403,
      reason: 'Forbidden',
      message: /at the cluster scope$/,
    });
    await fails(t, alice.request('PUT', '/api/v1/namespaces/prod/pods/x/status', {}), {
      code: 403,
      reason: 'Forbidden',
      message: /"pods\/status"/,
    });
  });

  await t.test('nobody gets in without a token', async (t) => {
    for (const authorization of ['', 'Bearer x', 'Basic x']) {
      const refused = admin.request('GET', SECRETS, undefined, { headers: { authorization } });
      await fails(t, refused, { code: 401, reason: 'Unauthorized', message: /^Unauthorized$/ });
    }
    for (const path of ['/healthz', '/livez', '/readyz', '/version']) {
      const { code } = await admin.request('GET', path, undefined, { headers: { authorization: '' } });
      t.equal(code, path === '/version' ? 401 : 200, path);
    }
  });

  await t.test('TokenReview', async (t) => {
    const review = async (token: string | undefined) =>
      (await admin.request('POST', '/apis/authentication.k8s.io/v1/tokenreviews', { spec: { token } })).body
        .status;
    t.same(await review(await cluster.token(ALICE)), {
      authenticated: true,
      user: { ...ALICE, groups: ['devs', 'system:authenticated'] },
    });
    t.match(await review('x'), { authenticated: false });
    t.match(await review(undefined), { authenticated: false });
  });

  await t.test('access reviews', async (t) => {
    const ask = async (client: typeof admin, kind: string, spec: JsonObject) => {
      const { body } = await client.request('POST', `/apis/authorization.k8s.io/v1/${kind}`, { spec });
      return (body.status as { allowed: boolean }).allowed;
    };
    const resourceAttributes = { verb: 'get', resource: 'secrets', namespace: 'prod' };
    t.equal(
      await ask(admin, 'subjectaccessreviews', {
        user: 'alice',
        uid: '2',
        groups: [],
        extra: {},
        resourceAttributes,
      }),
      true,
    );
    const forcing = { ...resourceAttributes, subresource: 'force' };
    t.equal(await ask(admin, 'subjectaccessreviews', { user: 'alice', resourceAttributes: forcing }), false);
    t.equal(await ask(admin, 'subjectaccessreviews', {}), true);
    t.equal(
      await ask(alice, 'selfsubjectaccessreviews', {
        resourceAttributes: { ...resourceAttributes, verb: 'list' },
      }),
      false,
    );
  });

  await t.test('a token for a service account', async (t) => {
    const accounts = '/api/v1/namespaces/prod/serviceaccounts';
    const request = async (spec?: JsonObject) => admin.request('POST', `${accounts}/runner/token`, { spec });
    await fails(t, request(), {
      code: 404,
      reason: 'NotFound',
      message: /serviceaccounts "runner" not found/,
    });
    const account = await admin.create(accounts, { metadata: { name: 'runner' } });
    const whoIs = async ({ body }: ApiResponse<JsonObject>) => {
      const { token } = body.status as { token: string };
      return (await admin.request('POST', '/apis/authentication.k8s.io/v1/tokenreviews', { spec: { token } }))
        .body.status;
    };
    t.match(await whoIs(await request()), {
      authenticated: true,
      user: { username: 'system:serviceaccount:prod:runner', uid: account.metadata.uid },
    });

    const boundObjectRef = { kind: 'Pod', apiVersion: 'v1', name: 'runner-1' };
    await fails(t, request({ boundObjectRef }), {
      code: 404,
      reason: 'NotFound',
      message: /pods "runner-1" not found/,
    });
    const pod = await admin.create('/api/v1/namespaces/prod/pods', { metadata: { name: 'runner-1' } });
    const bound = await request({ boundObjectRef });
    t.match(await whoIs(bound), {
      user: { extra: { 'authentication.kubernetes.io/pod-uid': [pod.metadata.uid] } },
    });
    await admin.remove('/api/v1/namespaces/prod/pods/runner-1');
    t.match(await whoIs(bound), { authenticated: false }, 'refused once the pod is gone');
    await fails(t, request({ boundObjectRef: { kind: 'Pod' } }), {
      code: 404,
      reason: 'NotFound',
      message: /pods "" not found/,
    });
  });
});

t.test('tables', async (t) => {
  const { cluster, admin } = await startCluster(t);
  const ago = (seconds: number) => new Date(Date.now() - seconds * 1_000).toISOString();
  const job = (name: string, seconds: number, status = {}) => ({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, namespace: 'prod', creationTimestamp: ago(seconds) },
    status,
  });
  cluster.seed([
    job('a', 90, { conditions: [{ type: 'Complete', status: 'True' }], succeeded: 1 }),
    job('b', 5 * 60, { conditions: [{ type: 'Failed', status: 'True' }] }),
    job('c', 3 * 3_600),
    job('d', 3 * 86_400, { conditions: [{ type: 'Failed', status: 'False' }] }),
    {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: 'e', namespace: 'prod' },
      reason: 'Cleared',
      involvedObject: { kind: 'Secret', name: 'x' },
    },
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's', namespace: 'prod' }, data: { a: 'YQ==' } },
  ]);
  const rows = async (path: string, headers = TABLE) => {
    const { body } = await admin.request<{ kind: string; rows: { cells: unknown[]; object: JsonObject }[] }>(
      'GET',
      path,
      undefined,
      { headers },
    );
    return body.rows;
  };
  const jobs = await rows('/apis/batch/v1/namespaces/prod/jobs');
  t.same(
    jobs.map(({ cells }) => cells),
    [
      ['a', 'Complete', '1/1', '90s'],
      ['b', 'Failed', '0/1', '5m'],
      ['c', 'Running', '0/1', '3h'],
      ['d', 'Running', '0/1', '3d'],
    ],
  );
  t.match(jobs[0]?.object, { kind: 'PartialObjectMetadata', metadata: { name: 'a' } });
  t.match((await rows('/api/v1/namespaces/prod/events'))[0]?.cells, [
    'e',
    '',
    'Cleared',
    'secret/x',
    '',
    /^\ds$/,
  ]);
  t.match((await rows('/api/v1/namespaces/prod/secrets/s'))[0]?.cells, ['s', 'Opaque', 1, /^\ds$/]);
  t.match(await rows(`${SECRETS}?includeObject=Object`), [{ object: { data: { a: 'YQ==' } } }]);
  t.match(await rows(`${SECRETS}?includeObject=None`), [{ object: null }]);
  t.throws(() => cluster.seed([{ apiVersion: 'v9', kind: 'Secret', metadata: {} }]), /knows no v9 Secret/);
});

t.test('resources that are added are discovered and served', async (t) => {
  const { admin } = await startCluster(t, {
    resources: [
      {
        group: 'lockkeeper.dev',
        version: 'v1alpha1',
        plural: 'releaselocks',
        kind: 'ReleaseLock',
        namespaced: true,
        shortNames: ['rlock'],
        hasStatus: true,
        selectableFields: [],
        names: 'subdomain',
        columns: [{ name: 'Status', path: 'status.state' }],
      },
    ],
  });
  const { body } = await admin.request('GET', '/apis/lockkeeper.dev/v1alpha1');
  t.match(body, {
    kind: 'APIResourceList',
    resources: [{ name: 'releaselocks', shortNames: ['rlock'] }, { name: 'releaselocks/status' }],
  });
  t.match((await admin.request('GET', '/apis/lockkeeper.dev')).body, {
    kind: 'APIGroup',
    name: 'lockkeeper.dev',
  });
  const path = '/apis/lockkeeper.dev/v1alpha1/namespaces/prod/releaselocks';
  await admin.create(path, {
    metadata: { name: 'api' },
  });
  await admin.patch(`${path}/api/status`, { status: { state: 'pending' } });
  const table = await admin.request<JsonObject>('GET', `${path}/api`, undefined, { headers: TABLE });
  t.match(table.body, { rows: [{ cells: ['api', 'pending', /^\ds$/] }] });
});
