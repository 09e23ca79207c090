/** Requests, answers and refusals, in the words of the API server. */
import t from 'tap';
import type { ApiResponse } from '../client.ts';
import type { JsonObject, StoredObject } from '../kubernetes-object.ts';
import { ALICE, CONFIG_MAPS, fails, job, SECRETS, secret, startCluster } from './fixture.ts';

const METADATA_ONLY = { accept: 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1' };
const METADATA_LIST = { accept: 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1' };
const TABLE = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' };
const MERGE = { 'content-type': 'application/merge-patch+json' };

const CLUSTER_ROLES = '/apis/rbac.authorization.k8s.io/v1/clusterroles';
const JOBS = '/apis/batch/v1/namespaces/prod/jobs';
const EVENTS = '/api/v1/namespaces/prod/events';

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
  t.same(await admin.get(`${SECRETS}/one?watch=1`), created, 'one object is not watched by its path');

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

  const bare = await admin.patch(`${SECRETS}/one`, { metadata: { labels: { x: null } }, data: {} });
  t.same(['labels' in bare.metadata, 'data' in bare], [false, false], 'an empty map is none');

  await admin.remove(`${SECRETS}/one`);
  const { details } = await fails(t, admin.request('GET', `${SECRETS}/one`), {
    code: 404,
    reason: 'NotFound',
    message: 'secrets "one" not found',
  });
  t.same(details, { name: 'one', kind: 'secrets' });
});

t.test('names', async (t) => {
  const { admin } = await startCluster(t);
  const generated = await admin.create(SECRETS, { metadata: { generateName: 'job-' } });
  t.match(generated.metadata.name, /^job-[a-z0-9]{5}$/);
  const long = 'a'.repeat(254);
  const subdomain =
    /^a lowercase RFC 1123 subdomain must consist of .* \(e\.g\. 'example\.com', regex used for/;
  for (const [path, name, problem] of [
    [SECRETS, 'Upper', subdomain],
    [SECRETS, 'under_score', subdomain],
    [SECRETS, long, /^must be no more than 253 characters$/],
    ['/api/v1/namespaces', 'with.dot', /^must not contain dots$/],
    [CLUSTER_ROLES, 'a/b', /^may not contain '\/'$/],
  ] as const) {
    const { message, details } = await fails(t, admin.request('POST', path, { metadata: { name } }), {
      code: 422,
      reason: 'Invalid',
      message: /./,
    });
    const start = `is invalid: metadata.name: Invalid value: "${name}": `;
    t.match(message.slice(message.indexOf(start) + start.length), problem, name);
    t.match(details, { name, causes: [{ reason: 'FieldValueInvalid', field: 'metadata.name' }] });
  }
  await admin.create(CLUSTER_ROLES, { metadata: { name: 'system:Reader' } });
  const { name: _name, ...nameless } = { ...job(''), name: '' };
  await fails(t, admin.request('POST', JOBS, { ...nameless, metadata: {} }), {
    code: 422,
    reason: 'Invalid',
    message: 'Job.batch "" is invalid: metadata.name: Required value: name or generateName is required',
  });
});

t.test('refusals', async (t) => {
  const { admin } = await startCluster(t);
  await admin.create(SECRETS, secret('one', { data: { a: 'YQ==' } }));
  await admin.create(SECRETS, secret('sealed', { immutable: true, data: { a: 'YQ==' } }));
  await admin.patch(`${SECRETS}/sealed`, { metadata: { labels: { x: 'y' } } });
  const big = 'x'.repeat(1_048_577);
  const half = 'x'.repeat(524_288);
  await admin.create(SECRETS, secret('full', { stringData: { a: half, b: half } }));
  const post = (object: unknown, path = SECRETS) => admin.request('POST', path, object);
  const put = (object: JsonObject) => admin.request('PUT', `${SECRETS}/one`, object);
  const get = (query: string, headers = {}) =>
    admin.request('GET', `${SECRETS}${query}`, undefined, { headers });
  type Case = [what: string, Promise<ApiResponse<unknown>>, number, reason: string, message: RegExp | string];
  const conflict = 'Operation cannot be fulfilled on secrets "one": ';
  const cases: Case[] = [
    ['a name that is taken', post(secret('one')), 409, 'AlreadyExists', 'secrets "one" already exists'],
    [
      'a namespace that is missing',
      post(secret('one'), '/api/v1/namespaces/nowhere/secrets'),
      404,
      'NotFound',
      'namespaces "nowhere" not found',
    ],
    [
      'an object that is missing',
      admin.request('PUT', `${SECRETS}/two`, secret('two')),
      404,
      'NotFound',
      'secrets "two" not found',
    ],
    [
      'a patch of an object that is missing',
      admin.request('PATCH', `${SECRETS}/two`, {}, { headers: MERGE }),
      404,
      'NotFound',
      'secrets "two" not found',
    ],
    [
      'another version',
      put({ metadata: { name: 'one', resourceVersion: '1' } }),
      409,
      'Conflict',
      `${conflict}the object has been modified; please apply your changes to the latest version and try again`,
    ],
    [
      'another version in a patch',
      admin.request('PATCH', `${SECRETS}/one`, { metadata: { resourceVersion: '1' } }, { headers: MERGE }),
      409,
      'Conflict',
      `${conflict}the object has been modified; please apply your changes to the latest version and try again`,
    ],
    [
      'another uid',
      put({ metadata: { name: 'one', uid: 'x' } }),
      409,
      'Conflict',
      /^Operation cannot be fulfilled on secrets "one": .*UID in precondition: x, /,
    ],
    [
      'another name',
      put(secret('two')),
      400,
      'BadRequest',
      'the name of the object (two) does not match the name on the URL (one)',
    ],
    [
      'no name in a PUT',
      put({ metadata: {} }),
      400,
      'BadRequest',
      'the name of the object (one based on URL) was undeterminable: name must be provided',
    ],
    [
      'another namespace',
      post({ metadata: { name: 'two', namespace: 'x' } }),
      400,
      'BadRequest',
      'the namespace of the provided object does not match the namespace sent on the request',
    ],
    [
      'another kind',
      post({ kind: 'Pod', metadata: {} }),
      400,
      'BadRequest',
      'Pod in version "v1" cannot be handled as a Secret: converting (v1.Pod) to (core.Secret): unknown conversion',
    ],
    [
      'another type of Secret',
      put(secret('one', { type: 'other' })),
      422,
      'Invalid',
      'Secret "one" is invalid: type: Invalid value: "other": field is immutable',
    ],
    [
      'other data in an immutable Secret',
      admin.request('PATCH', `${SECRETS}/sealed`, { data: { a: 'Yg==' } }, { headers: MERGE }),
      422,
      'Invalid',
      'Secret "sealed" is invalid: data: Forbidden: field is immutable when `immutable` is set',
    ],
    [
      'an immutable Secret that is to be mutable again',
      admin.request('PATCH', `${SECRETS}/sealed`, { immutable: false }, { headers: MERGE }),
      422,
      'Invalid',
      'Secret "sealed" is invalid: immutable: Forbidden: field is immutable when `immutable` is set',
    ],
    [
      'too much data in a Secret, as it is when decoded',
      post(secret('two', { stringData: { a: half, b: `${half}x` } })),
      422,
      'Invalid',
      'Secret "two" is invalid: data: Too long: may not be more than 1048576 bytes',
    ],
    [
      'too much data for a Secret that is full',
      admin.request('PATCH', `${SECRETS}/full`, { data: { c: 'YQ==' } }, { headers: MERGE }),
      422,
      'Invalid',
      'Secret "full" is invalid: data: Too long: may not be more than 1048576 bytes',
    ],
    [
      'too much data in a ConfigMap',
      post({ metadata: { name: 'x' }, data: { big } }, CONFIG_MAPS),
      422,
      'Invalid',
      'ConfigMap "x" is invalid: []: Too long: may not be more than 1048576 bytes',
    ],
    [
      'data that is no text',
      post({ metadata: { name: 'x' }, data: { a: 1 } }, CONFIG_MAPS),
      400,
      'BadRequest',
      'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string',
    ],
    [
      'data that is no base64',
      post(secret('two', { data: { a: '%%' } })),
      400,
      'BadRequest',
      'Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 0',
    ],
    [
      'a key that is no file name',
      post(secret('two', { data: { 'a b': 'YQ==' } })),
      422,
      'Invalid',
      /^Secret "two" is invalid: data\[a b\]: Invalid value: "a b": a valid config key must consist of /,
    ],
    [
      'a label that is no text',
      post({ metadata: { name: 'two', labels: { a: 1 } } }),
      400,
      'BadRequest',
      'Secret in version "v1" cannot be handled as a Secret: json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string',
    ],
    [
      'a label with a space',
      post({ metadata: { name: 'two', labels: { a: 'x y' } } }),
      422,
      'Invalid',
      /^Secret "two" is invalid: metadata.labels: Invalid value: "x y": a valid label must be an empty string or/,
    ],
    [
      'a body that is too large',
      post(secret('two', { x: big.repeat(3) })),
      413,
      'RequestEntityTooLarge',
      /limit is 3145728/,
    ],
    [
      'a body that is no JSON',
      post('{'),
      400,
      'BadRequest',
      /^the object provided is unrecognized \(must be of type Sec/,
    ],
    [
      'no body',
      post(undefined),
      400,
      'BadRequest',
      /^the object provided is unrecognized \(must be of type Secret\)/,
    ],
    [
      'a body that is no object',
      post('[]'),
      400,
      'BadRequest',
      /^the object provided is unrecognized \(must be of type S/,
    ],
    [
      'metadata that is no object',
      post({ metadata: 'x' }),
      400,
      'BadRequest',
      'Secret in version "v1" cannot be handled as a Secret: json: cannot unmarshal string into Go struct field Secret.metadata of type v1.ObjectMeta',
    ],
    [
      'a body in another format',
      admin.request('POST', SECRETS, 'a: b', { headers: { 'content-type': 'text/plain' } }),
      415,
      'UnsupportedMediaType',
      /^the body of the request was in an unknown format - accepted media types include: application\/json, /,
    ],
    [
      'an unknown kind of patch',
      admin.request('PATCH', `${SECRETS}/one`, {}),
      415,
      'UnsupportedMediaType',
      '415: Unsupported Media Type',
    ],
    [
      'an answer that cannot be had',
      get('', { accept: 'text/html' }),
      406,
      'NotAcceptable',
      /^406: Not Acceptable\n\nAvailable representations: application\/json/,
    ],
    [
      'a list as a single object',
      get('', METADATA_ONLY),
      406,
      'NotAcceptable',
      'you requested PartialObjectMetadata, but the requested object is a list (*core.SecretList)',
    ],
    [
      'an object as a list',
      get('/one', METADATA_LIST),
      406,
      'NotAcceptable',
      'you requested PartialObjectMetadataList, but the requested object is not a list (*core.Secret)',
    ],
    [
      'a selector that makes no sense',
      get('?labelSelector=a+b'),
      400,
      'BadRequest',
      "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
    ],
    [
      'a field that cannot be selected',
      get('?fieldSelector=data.a%3Db'),
      400,
      'BadRequest',
      'field label not supported: data.a',
    ],
    [
      'a field selector that makes no sense',
      get('?fieldSelector=x'),
      400,
      'BadRequest',
      "invalid selector: 'x'; can't understand 'x'",
    ],
    [
      'a future version',
      get('?resourceVersion=99999999'),
      504,
      'Timeout',
      /^Timeout: Too large resource version: 99999999, current: \d+$/,
    ],
    [
      'a future version of one object',
      get('/one?resourceVersion=99999999'),
      504,
      'Timeout',
      /^Timeout: Too large resource version: 99999999, current: \d+$/,
    ],
    [
      'a version that is none',
      get('?resourceVersion=x'),
      400,
      'BadRequest',
      'invalid resource version: resourceVersion: Invalid value: "x": strconv.ParseUint: parsing "x": invalid syntax',
    ],
    [
      'a continuation that makes no sense',
      get('?continue=x'),
      400,
      'BadRequest',
      /^invalid continue token: continue key is not valid: illegal base64 data/,
    ],
  ];
  for (const [what, response, code, reason, message] of cases) {
    await t.test(what, (t) => fails(t, response, { code, reason, message }).then());
  }

  await t.test('what was not foreseen has no reason', async (t) => {
    const versioned = await post({ metadata: { name: 'two', resourceVersion: '1' } });
    t.match(versioned.body, { message: 'resourceVersion should not be set on objects to be created' });
    const nonsense = await put({ metadata: { name: 'one', resourceVersion: 'x' } });
    t.match(nonsense.body, { message: 'strconv.ParseUint: parsing "x": invalid syntax' });
    const watch = await get('?watch=1&resourceVersion=x');
    t.match(watch.body, { message: /^resourceVersion: Invalid value: "x": / });
    for (const { code, body } of [versioned, nonsense, watch]) t.same([code, 'reason' in body], [500, false]);
  });

  await t.test('what is not known or not done there', async (t) => {
    for (const [method, path, code] of [
      ['GET', '/api/v1/nonsense', 404],
      ['GET', '/apis/apps/v2/deployments', 404],
      ['GET', '/apis/nothing/v1', 404],
      ['GET', '/api/v2', 404],
      ['GET', '/nowhere', 404],
      ['GET', `${SECRETS}/one/status`, 404],
      ['GET', `${SECRETS}/one/two/three`, 404],
      ['POST', '/apis/nothing/v1/reviews', 404],
      ['POST', `${SECRETS}/one`, 405],
      ['PUT', SECRETS, 405],
      ['PATCH', SECRETS, 405],
    ] as const) {
      const body = method === 'GET' ? undefined : {};
      t.equal((await admin.request(method, path, body)).code, code, `${method} ${path}`);
    }
  });
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

  await t.test('in pages, of one moment', async (t) => {
    interface Page {
      readonly metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number };
      readonly items: readonly StoredObject[];
    }
    const page = (query: string) => admin.request<Page>('GET', `/api/v1/secrets?${query}`);
    const { body: first } = await page('limit=2');
    t.same([first.items.length, first.metadata.remainingItemCount], [2, 2]);
    await admin.create(SECRETS, secret('late'));
    await admin.remove(`${SECRETS}/c`);
    const { body: second } = await page(`limit=1&continue=${first.metadata.continue}`);
    t.same([second.items.length, second.metadata.remainingItemCount], [1, 1]);
    const { body: last } = await page(`limit=1&continue=${second.metadata.continue}`);
    t.same(
      [...second.items, ...last.items].map(({ metadata: { namespace, name } }) => `${namespace}/${name}`),
      ['prod/c', 'test/a'],
      'what happens meanwhile is not in it',
    );
    t.same(last.metadata, { resourceVersion: first.metadata.resourceVersion });

    const exact = `resourceVersionMatch=Exact&resourceVersion=${first.metadata.resourceVersion}`;
    t.equal((await page(exact)).body.items.length, 4, 'the same moment, asked for by its version');
    const { body: selected } = await page('limit=1&labelSelector=app');
    t.same([selected.items.length, 'remainingItemCount' in selected.metadata], [1, false], 'with a selector');
    t.equal((await page('limit=1&resourceVersion=0')).body.items.length, 4, 'version 0 has no pages');
    await admin.remove(`${SECRETS}/late`);
    await admin.create(SECRETS, { metadata: { name: 'c' }, type: 'type-c' });
  });

  await t.test('metadata only, never with the payload, but with who set what', async (t) => {
    const { body } = await admin.request('GET', SECRETS, undefined, { headers: METADATA_LIST });
    t.match(body, {
      kind: 'PartialObjectMetadataList',
      items: [{ kind: 'PartialObjectMetadata', metadata: { name: 'a' } }],
    });
    t.notMatch(JSON.stringify(body), 'type-a');
    const one = await admin.request('GET', `${SECRETS}/a`, undefined, { headers: METADATA_ONLY });
    const { metadata } = await admin.get(`${SECRETS}/a`);
    t.match(metadata.managedFields, [{ manager: 'lockkeeper-test', time: /Z$/ }]);
    t.same(one.body, { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata });
    t.same((body.items as StoredObject[])[0], one.body);
  });

  await t.test('as tables', async (t) => {
    interface Table {
      readonly columnDefinitions: readonly { name: string; priority: number }[];
      readonly rows: readonly { cells: readonly unknown[]; object: JsonObject | null }[];
    }
    const table = async (path: string) =>
      (await admin.request<Table>('GET', path, undefined, { headers: TABLE })).body;
    const columns = async (path: string) =>
      (await table(path)).columnDefinitions.filter(({ priority }) => priority === 0).map(({ name }) => name);
    const { rows } = await table(SECRETS);
    t.match(rows[0], { cells: ['a', 'type-a', 0, /^\ds$/], object: { kind: 'PartialObjectMetadata' } });
    t.match((await table(`${SECRETS}/a?includeObject=Object`)).rows, [{ object: { type: 'type-a' } }]);
    t.match((await table(`${SECRETS}/a?includeObject=None`)).rows, [{ object: null }]);
    t.same(await columns(SECRETS), ['Name', 'Type', 'Data', 'Age']);
    t.same(await columns(CONFIG_MAPS), ['Name', 'Data', 'Age']);
    t.same(await columns('/api/v1/namespaces'), ['Name', 'Status', 'Age']);
    t.same(await columns(JOBS), ['Name', 'Status', 'Completions', 'Duration', 'Age']);
    t.same(await columns(EVENTS), ['Last Seen', 'Type', 'Reason', 'Object', 'Message']);
    t.same(await columns('/api/v1/namespaces/prod/pods'), ['Name', 'Ready', 'Status', 'Restarts', 'Age']);
  });

  await t.test('deleted as a collection', async (t) => {
    await admin.remove(`${SECRETS}?labelSelector=app`);
    t.same(await names(SECRETS), ['prod/c']);
  });
});

t.test('namespaces', async (t) => {
  const { admin } = await startCluster(t);
  const found = (await admin.list('/api/v1/namespaces')).map(({ metadata: { name } }) => name);
  for (const name of ['default', 'kube-node-lease', 'kube-public', 'kube-system', 'prod'])
    t.ok(found.includes(name), name);
  const prod = await admin.get('/api/v1/namespaces/prod');
  t.match(prod, {
    metadata: { labels: { 'kubernetes.io/metadata.name': 'prod' } },
    spec: { finalizers: ['kubernetes'] },
    status: { phase: 'Active' },
  });
  const fields = prod.metadata.managedFields?.map(({ fieldsV1 }) => Object.keys(fieldsV1));
  t.same(fields, [['f:metadata']], 'nobody owns what the server fills in');
});

t.test('events are found by what they are about', async (t) => {
  const { admin } = await startCluster(t);
  const { metadata } = await admin.create(SECRETS, secret('one'));
  const about = (uid: string, namespace = 'prod') => ({
    metadata: { generateName: 'one.' },
    involvedObject: { apiVersion: 'v1', kind: 'Secret', name: 'one', namespace, uid },
    reason: 'Released',
    type: 'Normal',
  });
  const created = await admin.create(EVENTS, about(metadata.uid));
  t.match(created, { source: {}, firstTimestamp: null, eventTime: null, reportingComponent: '' });
  await admin.create(EVENTS, about('other'));
  const found = await admin.list(`${EVENTS}?fieldSelector=involvedObject.uid%3D${metadata.uid}`);
  t.match(found, [{ metadata: { name: created.metadata.name }, reason: 'Released' }]);
  const everywhere = await admin.list(`/api/v1/events?fieldSelector=involvedObject.uid=${metadata.uid}`);
  t.equal(everywhere.length, 1);

  for (const namespace of ['test', '']) {
    await fails(t, admin.request('POST', EVENTS, about('x', namespace)), {
      code: 422,
      reason: 'Invalid',
      message: /involvedObject.namespace: Invalid value: ".*": does not match event.namespace$/,
    });
  }
  const node: JsonObject = { metadata: { name: 'node' }, involvedObject: { kind: 'Node', name: 'n' } };
  await admin.create('/api/v1/namespaces/default/events', node);
});

t.test('what there is', async (t) => {
  const { cluster, admin } = await startCluster(t);
  interface Discovery {
    readonly kind: string;
    readonly resources: readonly JsonObject[];
  }
  const { body: core } = await admin.request<Discovery>('GET', '/api/v1');
  t.equal(core.kind, 'APIResourceList');
  const named = (name: string) => core.resources.find((resource) => resource.name === name);
  t.match(named('secrets'), { singularName: 'secret', namespaced: true, kind: 'Secret' });
  t.notOk('shortNames' in (named('secrets') ?? {}));
  t.match(named('configmaps'), { shortNames: ['cm'] });
  t.same(named('namespaces')?.verbs, ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch']);
  t.same(named('namespaces/status')?.verbs, ['get', 'patch', 'update']);
  const { body: group } = await admin.request('GET', '/apis/batch');
  t.match(group, { kind: 'APIGroup', name: 'batch', preferredVersion: { groupVersion: 'batch/v1' } });
  const alice = await cluster.client(ALICE);
  t.match((await alice.request('GET', '/version')).body, { major: '1', platform: 'linux/amd64' });
});
