/** Of the API, what only the embedded cluster does: what it leaves out, tells, is told and makes up. */
import t from 'tap';
import type { JsonObject } from '../kubernetes-object.ts';
import { ALICE, fails, SECRETS, secret, startCluster } from './fixture.ts';

const TABLE = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' };

t.test('what is not known is reported', async (t) => {
  const logged: string[] = [];
  const { admin } = await startCluster(t, { log: (message) => logged.push(message) });
  for (const [method, path, code] of [
    ['GET', '/api/v1/nodes', 404],
    ['GET', '/apis/a/b/c/d/e/f/g', 404],
    ['GET', `${SECRETS}/one/status`, 404],
    ['POST', '/apis/nothing/v1/reviews', 404],
    ['POST', `${SECRETS}/one`, 405],
    ['OPTIONS', SECRETS, 405],
  ] as const) {
    const reason = code === 404 ? 'NotFound' : 'MethodNotAllowed';
    const body = method === 'POST' ? {} : undefined;
    const refused = admin.request(method, path, body);
    await fails(t, refused, { code, reason, message: /the embedded cluster does not/ });
    t.match(logged.pop(), path);
  }
  await fails(t, admin.request('POST', '/apis/nothing/v1/reviews'), {
    code: 400,
    reason: 'BadRequest',
    message: /body/,
  });
});

t.test('nothing new is created in a namespace that is going', async (t) => {
  const { cluster, admin } = await startCluster(t);
  const metadata = { name: 'going', deletionTimestamp: '2026-01-01T00:00:00Z' };
  cluster.seed([{ apiVersion: 'v1', kind: 'Namespace', metadata }]);
  await fails(t, admin.request('POST', '/api/v1/namespaces/going/secrets', secret('late')), {
    code: 403,
    reason: 'Forbidden',
    message: /namespace going because it is being terminated/,
  });
});

t.test('who may do what is asked of `authorize`', async (t) => {
  const { cluster, admin } = await startCluster(t, {
    authorize: ({ user, verb, resource, namespace }) =>
      user.username !== 'alice' || (verb === 'get' && resource === 'secrets' && namespace === 'prod'),
  });
  await admin.create(SECRETS, secret('one'));
  const alice = await cluster.client(ALICE);
  await alice.get(`${SECRETS}/one`);
  await fails(t, alice.request('DELETE', `${SECRETS}/one`), {
    code: 403,
    reason: 'Forbidden',
    message: /^secrets "one" is forbidden: User "alice" cannot delete resource "secrets"/,
  });
  const resourceAttributes = { verb: 'get', resource: 'secrets', namespace: 'prod', subresource: 'force' };
  const { body } = await admin.request('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', {
    spec: { user: 'alice', uid: '2', groups: ['devs'], extra: {}, resourceAttributes },
  });
  t.same(body.status, { allowed: false }, 'a subresource is a right of its own');
});

t.test('YAML is not read, and protobuf not written', async (t) => {
  const { admin } = await startCluster(t);
  const yaml = { headers: { 'content-type': 'application/yaml' } };
  t.equal((await admin.request('POST', SECRETS, 'a: b', yaml)).code, 415);
  const protobuf = { headers: { accept: 'application/vnd.kubernetes.protobuf' } };
  t.equal((await admin.request('GET', SECRETS, undefined, protobuf)).code, 406);
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
      ['a', 'Complete', '1/1', '', '90s'],
      ['b', 'Failed', '0/1', '', '5m'],
      ['c', 'Running', '0/1', '', '3h'],
      ['d', 'Running', '0/1', '', '3d'],
    ],
  );
  t.match(jobs[0]?.object, { kind: 'PartialObjectMetadata', metadata: { name: 'a' } });
  t.same((await rows('/api/v1/namespaces/prod/events'))[0]?.cells, [
    '<unknown>',
    '',
    'Cleared',
    'secret/x',
    '',
  ]);
  t.match((await rows('/api/v1/namespaces/prod/secrets/s'))[0]?.cells, ['s', 'Opaque', 1, /^\ds$/]);
  t.match(await rows(`${SECRETS}?includeObject=Object`), [{ object: { data: { a: 'YQ==' } } }]);
  t.match(await rows(`${SECRETS}?includeObject=None`), [{ object: null }]);
  t.throws(() => cluster.seed([{ apiVersion: 'v9', kind: 'Secret', metadata: {} }]), /knows no v9 Secret/);
});

t.test('resources that are added are discovered and served, and others may be missing', async (t) => {
  const { admin } = await startCluster(t, {
    without: ['releaselocks'],
    resources: [
      {
        group: 'example.com',
        version: 'v1',
        plural: 'widgets',
        kind: 'Widget',
        namespaced: true,
        shortNames: ['wg'],
        hasStatus: true,
        selectableFields: [],
        names: 'subdomain',
        columns: [
          { name: 'Status', path: 'status.state' },
          { name: 'Since', path: 'spec.since', type: 'date' },
        ],
      },
    ],
  });
  const { body } = await admin.request('GET', '/apis/example.com/v1');
  t.match(body, {
    kind: 'APIResourceList',
    resources: [{ name: 'widgets', shortNames: ['wg'] }, { name: 'widgets/status' }],
  });
  t.match((await admin.request('GET', '/apis/example.com')).body, {
    kind: 'APIGroup',
    name: 'example.com',
  });
  const path = '/apis/example.com/v1/namespaces/prod/widgets';
  await admin.create(path, {
    metadata: { name: 'api' },
  });
  await admin.patch(`${path}/api/status`, { status: { state: 'pending' } });
  const table = await admin.request<JsonObject>('GET', `${path}/api`, undefined, { headers: TABLE });
  t.match(table.body, { rows: [{ cells: ['api', 'pending', null] }] });
  const missing = '/apis/lockkeeper.dev/v1alpha1/releaselocks';
  t.match(await admin.request('GET', missing), { code: 404 });
});
