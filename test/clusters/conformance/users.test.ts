/** Who is who, who may do what, and tokens of service accounts. */
import t from 'tap';
import type { ApiClient } from '../client.ts';
import type { JsonObject } from '../kubernetes-object.ts';
import {
  ALICE,
  createPod,
  eventually,
  fails,
  MALLORY,
  SECRETS,
  secret,
  startCluster,
  toolsFor,
} from './fixture.ts';

const AUTHENTICATION = '/apis/authentication.k8s.io/v1';
const AUTHORIZATION = '/apis/authorization.k8s.io/v1';
const ACCOUNTS = '/api/v1/namespaces/prod/serviceaccounts';
const AUDIENCE = 'https://kubernetes.default.svc.cluster.local';

/** Of alice. */
const USER = { ...ALICE, groups: ['administrators', 'system:authenticated'] };

const RESOURCE = { verb: 'get', resource: 'secrets', namespace: 'prod' };

t.test('who may not do something reads what', async (t) => {
  const { cluster, admin } = await startCluster(t);
  await admin.create(SECRETS, secret('one'));
  const mallory = await cluster.client(MALLORY);
  const inProd = 'in API group "" in the namespace "prod"';
  for (const [method, path, message, details] of [
    [
      'DELETE',
      `${SECRETS}/one`,
      `secrets "one" is forbidden: User "mallory" cannot delete resource "secrets" ${inProd}`,
      { name: 'one', kind: 'secrets' },
    ],
    [
      'GET',
      SECRETS,
      `secrets is forbidden: User "mallory" cannot list resource "secrets" ${inProd}`,
      { kind: 'secrets' },
    ],
    [
      'GET',
      `${SECRETS}?watch=1`,
      `secrets is forbidden: User "mallory" cannot watch resource "secrets" ${inProd}`,
      { kind: 'secrets' },
    ],
    [
      'DELETE',
      SECRETS,
      `secrets is forbidden: User "mallory" cannot deletecollection resource "secrets" ${inProd}`,
      { kind: 'secrets' },
    ],
    [
      'GET',
      '/api/v1/namespaces',
      'namespaces is forbidden: User "mallory" cannot list resource "namespaces" in API group "" at the cluster scope',
      { kind: 'namespaces' },
    ],
    [
      'PUT',
      '/api/v1/namespaces/prod/pods/x/status',
      `pods "x" is forbidden: User "mallory" cannot update resource "pods/status" ${inProd}`,
      { name: 'x', kind: 'pods' },
    ],
    [
      'POST',
      '/apis/batch/v1/namespaces/prod/jobs',
      'jobs.batch is forbidden: User "mallory" cannot create resource "jobs" in API group "batch" in the namespace "prod"',
      { group: 'batch', kind: 'jobs' },
    ],
  ] as const) {
    const body = method === 'PUT' || method === 'POST' ? {} : undefined;
    const refusal = await fails(t, mallory.request(method, path, body), {
      code: 403,
      reason: 'Forbidden',
      message,
    });
    t.same(refusal.details, details);
  }
});

t.test('who brings no token is anonymous, and may do next to nothing', async (t) => {
  const { admin } = await startCluster(t);
  const ask = (path: string, authorization: string) =>
    admin.request('GET', path, undefined, { headers: { authorization } });
  await fails(t, ask(SECRETS, 'Bearer x'), { code: 401, reason: 'Unauthorized', message: /^Unauthorized$/ });
  for (const authorization of ['', 'Basic x']) {
    await fails(t, ask(SECRETS, authorization), {
      code: 403,
      reason: 'Forbidden',
      message: /^secrets is forbidden: User "system:anonymous" cannot list resource "secrets"/,
    });
  }
  for (const path of ['/api', '/apis', '/openapi/v2']) {
    const message = `forbidden: User "system:anonymous" cannot get path "${path}"`;
    await fails(t, ask(path, ''), { code: 403, reason: 'Forbidden', message });
  }
  for (const path of ['/healthz', '/livez', '/readyz', '/version']) {
    t.equal((await ask(path, '')).code, 200, path);
  }
});

t.test('TokenReview', async (t) => {
  const { cluster, admin } = await startCluster(t);
  const token = await cluster.token(ALICE);
  const ask = (spec: JsonObject) => admin.request('POST', `${AUTHENTICATION}/tokenreviews`, { spec });
  const { code, body } = await ask({ token });
  t.match(
    [code, body],
    [201, { kind: 'TokenReview', apiVersion: 'authentication.k8s.io/v1', spec: { token } }],
  );
  t.same(body.status, { authenticated: true, user: USER, audiences: [AUDIENCE] });
  const refused = { user: {}, error: 'invalid bearer token' };
  t.same((await ask({ token: 'x' })).body.status, refused, 'what is false is left out');
  t.same((await ask({ token, audiences: ['x'] })).body.status, refused, 'a token for somebody else');
  await fails(t, ask({}), {
    code: 400,
    reason: 'BadRequest',
    message: 'token is required for TokenReview in authentication',
  });
});

t.test('SelfSubjectReview', async (t) => {
  const { cluster, admin } = await startCluster(t);
  const { code, body } = await admin.request('POST', `${AUTHENTICATION}/selfsubjectreviews`, {});
  t.equal(code, 201);
  t.match(body, { kind: 'SelfSubjectReview', apiVersion: 'authentication.k8s.io/v1' });
  t.same(body.status, { userInfo: USER });
  const { kubectl } = await toolsFor(cluster, '4.1.4');
  t.match(await kubectl('auth', 'whoami'), { code: 0, stdout: /Username +alice\n/ });
});

t.test('access reviews', async (t) => {
  const { cluster, admin } = await startCluster(t);
  const mallory = await cluster.client(MALLORY);
  const ask = (client: ApiClient, kind: string, spec: JsonObject) =>
    client.request('POST', `${AUTHORIZATION}/${kind}`, { spec });
  const about = async (user: string, groups: readonly string[], resourceAttributes: JsonObject) =>
    (await ask(admin, 'subjectaccessreviews', { user, groups, resourceAttributes })).body;
  const allowed = await about('alice', ['administrators'], { ...RESOURCE, subresource: 'force' });
  t.match(allowed, {
    kind: 'SubjectAccessReview',
    apiVersion: 'authorization.k8s.io/v1',
    spec: { user: 'alice' },
    status: { allowed: true, reason: /./ },
  });
  t.same((await about('mallory', [], RESOURCE)).status, { allowed: false }, 'and no reason');

  const self = { resourceAttributes: RESOURCE };
  t.match((await ask(admin, 'selfsubjectaccessreviews', self)).body, { status: { allowed: true } });
  const denied = await mallory.request('POST', `${AUTHORIZATION}/selfsubjectaccessreviews`, { spec: self });
  t.match([denied.code, denied.body.status], [201, { allowed: false }], 'everybody may ask about themselves');
  await fails(t, ask(mallory, 'subjectaccessreviews', { user: 'alice', ...self }), {
    code: 403,
    reason: 'Forbidden',
    message:
      /User "mallory" cannot create resource "subjectaccessreviews" in API group "authorization.k8s.io" at/,
  });

  await fails(t, ask(admin, 'subjectaccessreviews', self), {
    code: 422,
    reason: 'Invalid',
    message: /"" is invalid: spec.user: Invalid value: "": at least one of user or group must be specified$/,
  });
  await fails(t, ask(admin, 'subjectaccessreviews', { user: 'alice' }), {
    code: 422,
    reason: 'Invalid',
    message:
      /"" is invalid: spec: Invalid value: .*: exactly one of nonResourceAttributes or resourceAttributes must/,
  });
});

t.test('tokens of service accounts', async (t) => {
  const { admin } = await startCluster(t);
  const request = (spec: JsonObject = {}) => admin.request('POST', `${ACCOUNTS}/runner/token`, { spec });
  const tokenOf = async (spec?: JsonObject) => ((await request(spec)).body.status as { token: string }).token;
  const whoIs = async (token: string) =>
    (await admin.request('POST', `${AUTHENTICATION}/tokenreviews`, { spec: { token } })).body.status as {
      authenticated?: boolean;
      user: { extra?: Record<string, string[]> };
    };
  const refused = (token: string) =>
    eventually(
      () => whoIs(token),
      ({ authenticated }) => authenticated !== true,
    );
  await fails(t, request(), { code: 404, reason: 'NotFound', message: 'serviceaccounts "runner" not found' });
  const account = await admin.create(ACCOUNTS, { metadata: { name: 'runner' } });

  await t.test('say whose they are', async (t) => {
    const { code, body } = await request();
    t.match(
      [code, body],
      [
        201,
        {
          kind: 'TokenRequest',
          apiVersion: 'authentication.k8s.io/v1',
          metadata: { name: 'runner', namespace: 'prod' },
          spec: { audiences: [AUDIENCE], expirationSeconds: 3_600, boundObjectRef: null },
          status: { token: /./, expirationTimestamp: /Z$/ },
        },
      ],
    );
    const { user, ...status } = await whoIs((body.status as { token: string }).token);
    t.same(status, { authenticated: true, audiences: [AUDIENCE] });
    const { extra, ...named } = user;
    t.same(named, {
      username: 'system:serviceaccount:prod:runner',
      uid: account.metadata.uid,
      groups: ['system:serviceaccounts', 'system:serviceaccounts:prod', 'system:authenticated'],
    });
    t.same(Object.keys(extra ?? {}), ['authentication.kubernetes.io/credential-id']);
    t.match(extra?.['authentication.kubernetes.io/credential-id'], [/^JTI=[-0-9a-f]{36}$/]);
  });

  await t.test('name the pod that they are bound to, and end with it', async (t) => {
    const boundObjectRef = { kind: 'Pod', apiVersion: 'v1', name: 'runner-1' };
    const missing = { code: 404, reason: 'NotFound', message: 'pods "runner-1" not found' };
    await fails(t, request({ boundObjectRef }), missing);
    const pod = await createPod(admin, 'runner-1', 'runner');
    const bound = await tokenOf({ boundObjectRef });
    t.match((await whoIs(bound)).user.extra, {
      'authentication.kubernetes.io/pod-name': ['runner-1'],
      'authentication.kubernetes.io/pod-uid': [pod.metadata.uid],
    });
    // The API server remembers for ten seconds whom it accepted, so this one is not shown before the end.
    const unseen = await tokenOf({ boundObjectRef });
    const { body } = await admin.request('DELETE', '/api/v1/namespaces/prod/pods/runner-1');
    t.match(body, { kind: 'Pod', metadata: { name: 'runner-1' } });
    await refused(unseen);
    await fails(t, request({ boundObjectRef }), missing);
  });

  await t.test('are refused for what is no pod, or another', async (t) => {
    const { metadata } = await createPod(admin, 'runner-2', 'runner');
    const boundObjectRef = { kind: 'Pod', apiVersion: 'v1' };
    await fails(t, request({ boundObjectRef }), {
      code: 400,
      reason: 'BadRequest',
      message: 'Name parameter required.',
    });
    await fails(t, request({ boundObjectRef: { ...boundObjectRef, name: 'runner-2', uid: 'x' } }), {
      code: 409,
      reason: 'Conflict',
      message:
        'Operation cannot be fulfilled on Pod "runner-2": the UID in the bound object reference (x) does not match the UID in record. The object might have been deleted and then recreated',
    });
    const right = { ...boundObjectRef, name: 'runner-2', uid: metadata.uid };
    t.equal((await request({ boundObjectRef: right })).code, 201);
  });

  await t.test('last ten minutes at least, and end with the account', async (t) => {
    await fails(t, request({ expirationSeconds: 599 }), {
      code: 422,
      reason: 'Invalid',
      message:
        'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes',
    });
    const token = await tokenOf({ expirationSeconds: 600 });
    await admin.remove(`${ACCOUNTS}/runner`);
    await refused(token);
  });
});
