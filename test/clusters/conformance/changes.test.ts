/** Patches, server-side apply, the status apart from the rest, and who set what. */
import t from 'tap';
import { issueAuthority } from '../../../src/tls/issue.ts';
import type { JsonObject, StoredObject } from '../kubernetes-object.ts';
import { CONFIG_MAPS, createPod, fails, job, SECRETS, secret, startCluster } from './fixture.ts';

const DEPLOYMENTS = '/apis/apps/v1/namespaces/prod/deployments';
const JOBS = '/apis/batch/v1/namespaces/prod/jobs';
const MERGE = { 'content-type': 'application/merge-patch+json' };
const APPLY = { 'content-type': 'application/apply-patch+yaml' };

const { certificate } = await issueAuthority({ commonName: 'any', validDays: 1, now: new Date() });
const CA_BUNDLE = Buffer.from(certificate).toString('base64');

interface Container {
  readonly name: string;
  readonly image: string;
  readonly args?: readonly string[];
}

function containersOf({ spec }: StoredObject): readonly Container[] {
  return (spec as { template: { spec: { containers: readonly Container[] } } }).template.spec.containers;
}

t.test('patches', async (t) => {
  const { admin } = await startCluster(t);
  const path = `${DEPLOYMENTS}/web`;
  const patch = async (type: string, body: unknown) => {
    const headers = { 'content-type': `application/${type}`, 'user-agent': 'patcher/1' };
    return admin.request('PATCH', path, body, { headers });
  };
  const template = (...containers: object[]) => ({ template: { spec: { containers } } });
  await admin.create(DEPLOYMENTS, {
    metadata: { name: 'web' },
    spec: {
      selector: { matchLabels: { app: 'web' } },
      template: {
        metadata: { labels: { app: 'web' } },
        spec: {
          containers: [
            { name: 'a', image: 'a:1', args: ['x'] },
            { name: 'b', image: 'b:1' },
          ],
        },
      },
    },
  });

  await t.test('a strategic patch merges lists by their keys', async (t) => {
    const { body } = await patch('strategic-merge-patch+json', {
      metadata: { annotations: { gone: null, here: 'x' } },
      spec: template(
        { name: 'a', image: 'a:2', args: ['y'] },
        { name: 'b', $patch: 'delete' },
        { name: 'c', image: 'c:1' },
      ),
    });
    t.same(body.metadata.annotations, { here: 'x' });
    const found = containersOf(body).map(({ name, image, args }) => ({ name, image, args }));
    t.strictSame(new Set(found.map(({ name }) => name)), new Set(['a', 'c']));
    t.match(
      found.find(({ name }) => name === 'a'),
      { image: 'a:2', args: ['y'] },
      'a list without a key is replaced',
    );
  });

  await t.test('a merge patch replaces lists and removes what is null', async (t) => {
    const { body } = await patch('merge-patch+json', {
      metadata: { annotations: { here: null, there: 'y' } },
      spec: template({ name: 'd', image: 'd:1', args: ['z'] }),
    });
    t.same(body.metadata.annotations, { there: 'y' });
    t.match(containersOf(body), [{ name: 'd', args: ['z'] }]);
    t.equal(containersOf(body).length, 1);
  });

  await t.test('a JSON patch', async (t) => {
    const args = '/spec/template/spec/containers/0/args';
    const { body } = await patch('json-patch+json', [
      { op: 'test', path: '/spec/template/spec/containers/0/name', value: 'd' },
      { op: 'add', path: `${args}/-`, value: 'last' },
      { op: 'add', path: `${args}/0`, value: 'first' },
      { op: 'replace', path: '/spec/template/spec/containers/0/image', value: 'd:2' },
      { op: 'add', path: '/metadata/annotations', value: {} },
      { op: 'add', path: '/metadata/annotations/a~1b', value: 'x' },
      { op: 'copy', from: '/metadata/annotations/a~1b', path: '/metadata/annotations/copied' },
      { op: 'move', from: '/metadata/annotations/copied', path: '/metadata/annotations/moved' },
      { op: 'replace', path: '/metadata/annotations/new', value: 'y' },
    ]);
    t.match(containersOf(body), [{ image: 'd:2', args: ['first', 'z', 'last'] }]);
    t.same(body.metadata.annotations, { 'a/b': 'x', moved: 'x', new: 'y' });
    for (const operation of [
      { op: 'test', path: '/spec/replicas', value: 9 },
      { op: 'remove', path: '/metadata/annotations/nothing' },
      { op: 'add', path: '/no/way/there', value: 1 },
      { op: 'move', path: '/metadata/annotations/nothing', from: '/metadata/annotations/nowhere' },
      { op: 'invent', path: '/metadata/annotations/nothing' },
    ]) {
      await fails(t, patch('json-patch+json', [operation]), {
        code: 422,
        reason: 'Invalid',
        message: 'the server rejected our request due to an error in our request',
      });
    }
    await fails(t, patch('json-patch+json', {}), {
      code: 400,
      reason: 'BadRequest',
      message: /^error decoding patch: json: cannot unmarshal object into Go value of type \[\]/,
    });
  });

  await t.test('who set what', async (t) => {
    const { metadata } = await admin.get(path);
    const patcher = metadata.managedFields?.find(({ manager }) => manager === 'patcher');
    t.match(patcher, {
      operation: 'Update',
      apiVersion: 'apps/v1',
      fieldsType: 'FieldsV1',
      fieldsV1: { 'f:metadata': { 'f:annotations': { '.': {}, 'f:a/b': {} } } },
    });
  });
});

const who = ({ metadata }: StoredObject) =>
  metadata.managedFields?.map(({ manager, operation, fieldsV1 }) => [
    manager,
    operation,
    fieldsV1['f:data'] ?? {},
  ]);

t.test('server-side apply', async (t) => {
  const { admin } = await startCluster(t);
  const applyAs = (manager: string, object: JsonObject, force = false) =>
    admin.request('PATCH', `${CONFIG_MAPS}/one?fieldManager=${manager}&force=${force}`, object, {
      headers: APPLY,
    });
  const map = (data: JsonObject, labels?: JsonObject) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'one', ...(labels && { labels }) },
    data,
  });

  await t.test('creates, then merges, and remembers its manager', async (t) => {
    const created = await applyAs('me', map({ a: '1', b: '1', c: '1' }, { l: '1' }));
    t.equal(created.code, 201);
    t.same(who(created.body), [['me', 'Apply', { 'f:a': {}, 'f:b': {}, 'f:c': {} }]], 'keys, not the map');
    const patched = await admin.patch(`${CONFIG_MAPS}/one`, { data: { b: '2' } });
    t.same(who(patched), [
      ['me', 'Apply', { 'f:a': {}, 'f:c': {} }],
      ['lockkeeper-test', 'Update', { 'f:b': {} }],
    ]);
  });

  await t.test('removes what its manager leaves out, unless somebody else set it', async (t) => {
    const { code, body } = await applyAs('me', map({ a: '3' }));
    t.match([code, body.data], [200, { a: '3', b: '2' }]);
    t.notOk('c' in (body.data as object));
    t.notOk('labels' in body.metadata);
  });

  await t.test('is refused over what somebody else set, unless it is forced', async (t) => {
    const { details } = await fails(t, applyAs('me', map({ a: '4', b: '4' })), {
      code: 409,
      reason: 'Conflict',
      message: 'Apply failed with 1 conflict: conflict with "lockkeeper-test" using v1: .data.b',
    });
    const message = 'conflict with "lockkeeper-test" using v1';
    t.same(details, { causes: [{ reason: 'FieldManagerConflict', message, field: '.data.b' }] });
    const { body } = await applyAs('me', map({ a: '4', b: '4' }), true);
    t.same(body.data, { a: '4', b: '4' });
    t.same(who(body), [['me', 'Apply', { 'f:a': {}, 'f:b': {} }]]);
    await fails(t, applyAs('other', map({ a: '5', b: '5' })), {
      code: 409,
      reason: 'Conflict',
      message: 'Apply failed with 2 conflicts: conflicts with "me":\n- .data.a\n- .data.b',
    });
  });

  await t.test('of the same value is shared', async (t) => {
    const { code, body } = await applyAs('other', map({ a: '4' }));
    t.equal(code, 200);
    t.same(
      new Map(who(body)?.map(([manager, , fields]) => [manager, fields])),
      new Map<string, object>([
        ['me', { 'f:a': {}, 'f:b': {} }],
        ['other', { 'f:a': {} }],
      ]),
    );
  });

  await t.test('of a version that is not stored makes and changes nothing', async (t) => {
    const { metadata } = await admin.get(`${CONFIG_MAPS}/one`);
    const { uid, resourceVersion } = metadata;
    const at = (version: JsonObject, data: JsonObject) => ({
      ...map(data),
      metadata: { name: 'one', ...version },
    });
    await admin.patch(`${CONFIG_MAPS}/one`, { data: { d: '1' } });
    const answer = await applyAs('me', at({ uid, resourceVersion }, { a: '6' }), true);
    t.match([answer.code, answer.body], [409, { reason: 'Conflict', message: /has been modified/ }]);
    await admin.remove(`${CONFIG_MAPS}/one`);
    const late = await applyAs('me', at({ uid, resourceVersion }, { a: '6' }), true);
    t.match(
      [late.code, late.body],
      [
        409,
        {
          reason: 'Conflict',
          message: `Operation cannot be fulfilled on configmaps "one": uid mismatch: the provided object specified uid ${uid}, and no existing object was found`,
        },
      ],
    );
    t.equal((await admin.request('GET', `${CONFIG_MAPS}/one`)).code, 404);
  });

  await t.test('merges webhooks by their names, field by field', async (t) => {
    const webhook = (name: string, more: object = {}) => ({
      name,
      clientConfig: { url: 'https://127.0.0.1:1/', ...more },
      sideEffects: 'None',
      admissionReviewVersions: ['v1'],
    });
    const kind = { apiVersion: 'admissionregistration.k8s.io/v1', kind: 'ValidatingWebhookConfiguration' };
    const metadata = { name: 'applied.example.com' };
    const path = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';
    const both = [webhook('a.example.com'), webhook('b.example.com', { caBundle: CA_BUNDLE })];
    await admin.create(path, { ...kind, metadata, webhooks: both });
    t.teardown(() => admin.remove(`${path}/${metadata.name}`));
    const apply = (webhooks: readonly object[]) =>
      admin.request(
        'PATCH',
        `${path}/${metadata.name}?fieldManager=me&force=true`,
        { ...kind, metadata, webhooks },
        { headers: APPLY },
      );
    const rules = [
      { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'], scope: '*' },
    ];
    const { code, body } = await apply([
      { name: 'a.example.com', rules, clientConfig: { caBundle: CA_BUNDLE } },
    ]);
    t.match([code, body.webhooks], [200, { length: 2 }]);
    const [a, b] = body.webhooks as readonly JsonObject[];
    t.match(a, { clientConfig: { url: both[0]?.clientConfig.url, caBundle: CA_BUNDLE }, rules });
    t.match(b, { name: 'b.example.com', clientConfig: both[1]?.clientConfig }, 'the other is left alone');
    t.same(b?.rules ?? [], [], 'and still has no rules');
  });

  await t.test('must say who applies what', async (t) => {
    await fails(t, admin.request('PATCH', `${CONFIG_MAPS}/one`, map({}), { headers: APPLY }), {
      code: 422,
      reason: 'Invalid',
      message:
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
    });
    await fails(t, applyAs('me', { metadata: { name: 'one' } }), {
      code: 400,
      reason: 'BadRequest',
      message: 'invalid object type: /, Kind=',
    });
  });
});

t.test('fields belong to whoever changed them last', async (t) => {
  const { admin } = await startCluster(t);
  const as = async (manager: string, data: JsonObject) =>
    (await admin.request('PATCH', `${SECRETS}/one?fieldManager=${manager}`, { data }, { headers: MERGE }))
      .body;
  await admin.request(
    'POST',
    `${SECRETS}?fieldManager=first`,
    secret('one', { data: { a: 'YQ==', b: 'Yg==' } }),
  );
  t.same(who(await as('second', { b: 'Yw==' })), [
    ['first', 'Update', { '.': {}, 'f:a': {} }],
    ['second', 'Update', { 'f:b': {} }],
  ]);
  const removed = await as('first', { a: null, b: null });
  t.same(who(removed), [['first', 'Update', {}]], 'who owns nothing is forgotten');
  t.notOk('data' in removed);
  const { body } = await admin.request(
    'PUT',
    `${SECRETS}/one?fieldManager=third`,
    secret('one', { data: { z: 'YQ==' } }),
  );
  t.same(who(body), [
    ['first', 'Update', {}],
    ['third', 'Update', { '.': {}, 'f:z': {} }],
  ]);
  const same = await admin.request(
    'PUT',
    `${SECRETS}/one?fieldManager=fourth`,
    secret('one', { data: { z: 'YQ==' } }),
  );
  t.same(same.body, body, 'who changes nothing owns nothing');
});

t.test('a status is written apart from the rest', async (t) => {
  const { admin } = await startCluster(t);
  const created = await admin.create(JOBS, { ...job('job'), status: { active: 7 } });
  t.notOk('active' in ((created.status ?? {}) as object), 'not with a creation');
  const owners = ({ metadata }: StoredObject) =>
    metadata.managedFields?.map(({ subresource, fieldsV1 }) => [
      subresource ?? '',
      Object.keys(fieldsV1).filter((field) => field !== 'f:metadata'),
    ]);
  t.same(owners(created), [['', ['f:spec']]]);

  const { body: active } = await admin.request(
    'PATCH',
    `${JOBS}/job/status`,
    { metadata: { labels: { a: 'b' } }, spec: { suspend: true }, status: { active: 1 } },
    { headers: MERGE },
  );
  t.match(active, { spec: { template: {} }, status: { active: 1 } });
  t.not((active.spec as JsonObject).suspend, true, 'the spec stays');
  const byStatus = active.metadata.managedFields?.find(({ subresource }) => subresource === 'status');
  t.match(byStatus, {
    manager: 'lockkeeper-test',
    operation: 'Update',
    fieldsV1: { 'f:status': { 'f:active': {} } },
  });

  const patched = await admin.patch(`${JOBS}/job`, {
    metadata: { labels: { c: 'd' } },
    status: { active: 9 },
  });
  t.match(patched, { metadata: { labels: { c: 'd' } }, status: { active: 1 } });
  t.match((await admin.get(`${JOBS}/job/status`)).status, { active: 1 });

  await t.test('an end of a Job', async (t) => {
    await admin.create(JOBS, job('ended'));
    await admin.completeJob('prod', 'ended', 'Complete');
    const { status } = await admin.get(`${JOBS}/ended`);
    t.match(status, { succeeded: 1, completionTime: /Z$/ });
    t.match(
      (status as { conditions: { type: string }[] }).conditions.map(({ type }) => type),
      ['SuccessCriteriaMet', 'Complete'],
    );
    await admin.create(JOBS, job('other'));
    await admin.completeJob('prod', 'other', 'Failed');
    t.match((await admin.get(`${JOBS}/other`)).status, { failed: 1 });
  });

  await t.test('of a pod', async (t) => {
    const pods = '/api/v1/namespaces/prod/pods';
    t.match((await createPod(admin, 'one')).status, { phase: 'Pending' });
    await admin.patch(`${pods}/one/status`, { status: { phase: 'Running' } });
    t.match((await admin.get(`${pods}/one`)).status, { phase: 'Running' });
    t.match(await admin.list(`${pods}?fieldSelector=status.phase%3DRunning`), [
      { metadata: { name: 'one' } },
    ]);
  });
});

t.test('owners that a PUT sends along are taken over', async (t) => {
  const { admin } = await startCluster(t);
  const path = '/api/v1/namespaces/prod/configmaps';
  const made = await admin.create(path, { metadata: { name: 'owned' }, data: { a: '1', b: '1' } });
  const [entry] = made.metadata.managedFields ?? [];
  const { resourceVersion: _version, ...metadata } = made.metadata;
  const managedFields = [{ ...entry, manager: 'somebody' }];
  const { metadata: after } = await admin.replace(`${path}/owned`, {
    ...made,
    metadata: { ...metadata, managedFields },
  });
  t.same(
    after.managedFields?.map(({ manager, fieldsV1 }) => ({ manager, fieldsV1 })),
    [{ manager: 'somebody', fieldsV1: entry?.fieldsV1 }],
  );
});
