/** Reviews: requests that store nothing, answered like a creation. */
import t from 'tap';
import type { JsonObject } from '../kubernetes-object.ts';
import { ALICE, startCluster, toolsFor } from './fixture.ts';

const AUTHENTICATION = '/apis/authentication.k8s.io/v1';
const AUTHORIZATION = '/apis/authorization.k8s.io/v1';

t.test('a review is answered as what it is, with the code of a creation', async (t) => {
  const { cluster, admin } = await startCluster(t);
  const token = await cluster.token(ALICE);
  const resourceAttributes = { verb: 'get', resource: 'secrets', namespace: 'prod' };
  const cases: [path: string, kind: string, spec: JsonObject | undefined][] = [
    [`${AUTHENTICATION}/tokenreviews`, 'TokenReview', { token }],
    [`${AUTHENTICATION}/selfsubjectreviews`, 'SelfSubjectReview', undefined],
    [`${AUTHORIZATION}/subjectaccessreviews`, 'SubjectAccessReview', { user: 'alice', resourceAttributes }],
    [`${AUTHORIZATION}/selfsubjectaccessreviews`, 'SelfSubjectAccessReview', { resourceAttributes }],
  ];
  for (const [path, kind, spec] of cases) {
    const { code, body } = await admin.request('POST', path, { spec });
    t.match([code, body], [201, { kind, apiVersion: path.slice('/apis/'.length, path.lastIndexOf('/')) }]);
    t.same(body.spec, spec, 'what was asked is repeated');
  }
});

t.test('SelfSubjectReview tells the caller who they are', async (t) => {
  const { cluster, admin } = await startCluster(t);
  const ask = async (client: typeof admin) =>
    (await client.request('POST', `${AUTHENTICATION}/selfsubjectreviews`, {})).body.status;
  t.same(await ask(admin), {
    userInfo: { username: 'admin', groups: ['system:masters', 'system:authenticated'] },
  });
  const extra = { 'authentication.kubernetes.io/pod-name': ['runner-7f9c'] };
  const runner = await cluster.client({ username: 'runner', uid: 'u-1', groups: ['ci'], extra });
  t.same(await ask(runner), {
    userInfo: { username: 'runner', uid: 'u-1', groups: ['ci', 'system:authenticated'], extra },
  });
  const { kubectl } = await toolsFor(cluster, '4.1.4');
  t.match(await kubectl('auth', 'whoami'), { code: 0, stdout: /Username +alice\n/ });
});
