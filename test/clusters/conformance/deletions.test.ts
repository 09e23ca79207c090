/** Who may end what, who is asked before, and what goes with it. */
import t from 'tap';
import type { ApiClient } from '../client.ts';
import type { JsonObject } from '../kubernetes-object.ts';
import { CONFIG_MAPS, eventually, fails, SECRETS, secret, startCluster, world } from './fixture.ts';

const ON_DELETE = { operations: ['DELETE'], apiGroups: [''], apiVersions: ['v1'], resources: ['secrets'] };

const names = async (admin: ApiClient, path = SECRETS) =>
  (await admin.list(path)).map(({ metadata: { name } }) => name);

t.test('preconditions: another uid or version keeps the object', async (t) => {
  const { admin } = await startCluster(t);
  const { metadata } = await admin.create(SECRETS, secret('one'));
  const { uid, resourceVersion } = metadata;
  const options = { kind: 'DeleteOptions', apiVersion: 'v1' };
  for (const preconditions of [
    { uid: 'x' },
    { uid: '' },
    { resourceVersion: '1' },
    { uid, resourceVersion: '1' },
    { uid: 'x', resourceVersion },
  ]) {
    for (const body of [{ preconditions }, { ...options, preconditions }]) {
      await fails(t, admin.request('DELETE', `${SECRETS}/one`, body), {
        code: 409,
        reason: 'Conflict',
        message:
          /^Operation cannot be fulfilled on Secret "one": the .* in the precondition \(.*\) does not match/,
      });
    }
  }
  t.same(await admin.get(`${SECRETS}/one`), { kind: 'Secret', apiVersion: 'v1', metadata, type: 'Opaque' });
  await admin.remove(`${SECRETS}/one`, { preconditions: { uid, resourceVersion: null } });
  t.same(await names(admin), []);
});

t.test('preconditions hold until the end: what changes during a review is kept', async (t) => {
  const { admin, webhook } = await world(t, { rules: [ON_DELETE] });
  const { metadata } = await admin.create(SECRETS, secret('one'));
  webhook.decide(async () => {
    await admin.patch(`${SECRETS}/one`, { metadata: { labels: { a: 'b' } } });
    return { allowed: true };
  });
  const { uid, resourceVersion } = metadata;
  await fails(t, admin.request('DELETE', `${SECRETS}/one`, { preconditions: { uid, resourceVersion } }), {
    code: 409,
    reason: 'Conflict',
    message: /on secrets "one": StorageError: .*Precondition failed: ResourceVersion in precondition: \d+, /,
  });
  t.same(await names(admin), ['one']);
});

t.test('a uid or a version in a PUT is a precondition; a uid in a patch is not', async (t) => {
  const { admin } = await startCluster(t);
  const { metadata: first } = await admin.create(SECRETS, secret('one'));
  await admin.remove(`${SECRETS}/one`);
  const { metadata } = await admin.create(SECRETS, secret('one'));
  const { metadata: changed } = await admin.patch(`${SECRETS}/one`, { metadata: { labels: { a: 'b' } } });
  const put = (more: JsonObject) =>
    admin.request('PUT', `${SECRETS}/one`, { metadata: { name: 'one', ...more } });
  await fails(t, put({ resourceVersion: metadata.resourceVersion }), {
    code: 409,
    reason: 'Conflict',
    message:
      'Operation cannot be fulfilled on secrets "one": the object has been modified; please apply your changes to the latest version and try again',
  });
  await fails(t, put({ uid: first.uid }), {
    code: 409,
    reason: 'Conflict',
    message:
      'Operation cannot be fulfilled on secrets "one": StorageError: invalid object, Code: 4, ' +
      'Key: /registry/secrets/prod/one, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: ' +
      `UID in precondition: ${first.uid}, UID in object meta: ${metadata.uid}`,
  });
  const headers = { 'content-type': 'application/merge-patch+json' };
  const patch = { metadata: { uid: first.uid, labels: { a: 'c' } } };
  await fails(t, admin.request('PATCH', `${SECRETS}/one`, patch, { headers }), {
    code: 422,
    reason: 'Invalid',
    message: /metadata.uid: Invalid value: ".*": field is immutable/,
  });
  t.match((await admin.get(`${SECRETS}/one`)).metadata, { labels: { a: 'b' } });
  t.equal((await put({ uid: metadata.uid, resourceVersion: changed.resourceVersion })).code, 200);
});

t.test('options are read from the body, or else from the query', async (t) => {
  const { admin, webhook } = await world(t);
  await admin.create(SECRETS, secret('one'));
  const end = (query: string, body?: unknown) => admin.request('DELETE', `${SECRETS}/one?${query}`, body);
  await end('dryRun=All&propagationPolicy=Background&gracePeriodSeconds=0');
  t.match(webhook.reviews.at(-1), {
    dryRun: true,
    options: { dryRun: ['All'], propagationPolicy: 'Background', gracePeriodSeconds: 0 },
  });
  t.equal((await end('', { dryRun: ['All'] })).code, 200);
  t.same(await names(admin), ['one'], 'a dry run, whether the body says its kind or not');
  await fails(t, end('', { kind: 'Secret' }), {
    code: 400,
    reason: 'BadRequest',
    message: /^no kind "Secret" is registered for version "meta.k8s.io\/v1" in scheme/,
  });
  await fails(t, end('', '[]'), {
    code: 400,
    reason: 'BadRequest',
    message: /^couldn't get version\/kind; json parse error: /,
  });
  t.equal((await end('dryRun=All', {})).code, 200);
  t.same(await names(admin), [], 'beside a body, the query is not read');
});

t.test('who is asked about a deletion', async (t) => {
  const { admin, webhook } = await world(t, { objectSelector: { matchLabels: { owner: 'helm' } } });
  for (const name of ['a', 'b', 'c', 'd']) {
    await admin.create(SECRETS, { metadata: { name, labels: { owner: name === 'd' ? 'me' : 'helm' } } });
  }
  const asked = webhook.reviews.length;

  await t.test('a webhook, by the labels of the object that goes', async (t) => {
    await admin.remove(`${SECRETS}/a`);
    await admin.remove(`${SECRETS}/d`);
    const reviews = webhook.reviews.slice(asked);
    t.match(reviews, [
      { operation: 'DELETE', name: 'a', object: null, oldObject: { metadata: { name: 'a' } } },
    ]);
    t.equal(reviews.length, 1);
  });

  await t.test('for each object of a collection, though the reviews do not name them', async (t) => {
    const before = webhook.reviews.length;
    webhook.decide(({ oldObject }) => ({ allowed: oldObject?.metadata.name === 'b' }));
    const { code } = await admin.request('DELETE', SECRETS);
    t.equal(code, 400, 'a denial ends it');
    t.same(await names(admin), ['c'], 'what is allowed is gone');
    const reviews = webhook.reviews.slice(before);
    t.same(new Set(reviews.map(({ oldObject }) => oldObject?.metadata.name)), new Set(['b', 'c']));
    for (const review of reviews) {
      t.match(review, { operation: 'DELETE', namespace: 'prod', object: null });
      t.notOk('name' in review, 'the name is that of the request, which has none');
    }
  });

  await t.test('a collection spans one namespace', async (t) => {
    for (const path of ['/api/v1/secrets', '/api/v1/namespaces']) {
      t.equal((await admin.request('DELETE', path)).code, 405, path);
    }
  });
});

t.test('an object that somebody else deletes meanwhile does not end a collection', async (t) => {
  const { admin, webhook } = await world(t, { rules: [ON_DELETE] });
  for (const name of ['a', 'b', 'c']) await admin.create(SECRETS, secret(name));
  webhook.decide(async ({ oldObject, name }) => {
    if (name === undefined && oldObject?.metadata.name === 'a') await admin.request('DELETE', `${SECRETS}/b`);
    return { allowed: true };
  });
  await admin.remove(SECRETS);
  t.same(await names(admin), []);
});

t.test('what a deletion answers', async (t) => {
  const { admin } = await startCluster(t);
  const { metadata } = await admin.create(SECRETS, secret('one'));
  const { body } = await admin.request('DELETE', `${SECRETS}/one`);
  t.same(body, {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: { name: 'one', kind: 'secrets', uid: metadata.uid },
  });
  const accounts = '/api/v1/namespaces/prod/serviceaccounts';
  await admin.create(accounts, { metadata: { name: 'runner' } });
  const { body: account } = await admin.request('DELETE', `${accounts}/runner`);
  t.match(account, { kind: 'ServiceAccount', metadata: { name: 'runner' } }, 'the object, of some kinds');
});

t.test('a finalizer keeps an object until it is removed', async (t) => {
  const { admin } = await startCluster(t);
  const headers = { 'content-type': 'application/merge-patch+json' };
  await admin.create(SECRETS, { metadata: { name: 'one', finalizers: ['test/keep'] } });
  const dryRun = await admin.request('DELETE', `${SECRETS}/one?dryRun=All`);
  t.match(dryRun.body.metadata, { name: 'one', deletionTimestamp: /Z$/ });
  t.notOk('deletionTimestamp' in (await admin.get(`${SECRETS}/one`)).metadata, 'a dry run');

  const { body } = await admin.request('DELETE', `${SECRETS}/one`);
  t.match(body.metadata, { name: 'one', deletionTimestamp: /Z$/, deletionGracePeriodSeconds: 0 });
  await admin.remove(`${SECRETS}/one`);
  await fails(t, admin.request('POST', SECRETS, secret('one')), {
    code: 409,
    reason: 'AlreadyExists',
    message: 'object is being deleted: secrets "one" already exists',
  });
  const more = { metadata: { finalizers: ['test/keep', 'test/more'] } };
  await fails(t, admin.request('PATCH', `${SECRETS}/one`, more, { headers }), {
    code: 422,
    reason: 'Invalid',
    message:
      'Secret "one" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"test/more"}',
  });
  await admin.patch(`${SECRETS}/one`, { metadata: { finalizers: null } });
  await t.rejects(admin.get(`${SECRETS}/one`), /404/);
});

t.test('a namespace takes its contents with it, through admission', async (t) => {
  const { admin, webhook } = await world(t, {
    rules: [ON_DELETE],
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'going' } },
  });
  const secrets = '/api/v1/namespaces/going/secrets';
  const configMaps = '/api/v1/namespaces/going/configmaps';
  const namespace = '/api/v1/namespaces/going';
  await admin.createNamespace('going');
  for (const name of ['one', 'two']) await admin.create(secrets, secret(name));
  await admin.create(configMaps, { metadata: { name: 'kept', finalizers: ['test/keep'] } });
  let isLocked = true;
  const tried = Promise.withResolvers<void>();
  webhook.decide(() => {
    tried.resolve();
    return { allowed: !isLocked, status: { message: 'locked' } };
  });

  const { body: dryRun } = await admin.request('DELETE', `${namespace}?dryRun=All`);
  t.match(dryRun, { kind: 'Namespace', status: { phase: 'Terminating' } });
  t.match(await admin.get(namespace), { status: { phase: 'Active' } }, 'a dry run changes nothing');

  const { body } = await admin.request('DELETE', namespace);
  t.match(body, { status: { phase: 'Terminating' }, metadata: { deletionTimestamp: /Z$/ } });
  const again = await admin.request('DELETE', namespace);
  t.match(again, { code: 200, body: { status: { phase: 'Terminating' } } });
  const { details } = await fails(t, admin.request('POST', secrets, secret('late')), {
    code: 403,
    reason: 'Forbidden',
    message:
      'secrets "late" is forbidden: unable to create new content in namespace going because it is being terminated',
  });
  t.match(details?.causes, [{ reason: 'NamespaceTerminating', field: 'metadata.namespace' }]);
  await fails(t, admin.request('POST', '/api/v1/namespaces', { metadata: { name: 'going' } }), {
    code: 409,
    reason: 'AlreadyExists',
    message: 'object is being deleted: namespaces "going" already exists',
  });

  await tried.promise;
  const [review] = webhook.reviews;
  t.match(review, {
    operation: 'DELETE',
    namespace: 'going',
    userInfo: { username: 'system:serviceaccount:kube-system:namespace-controller' },
    object: null,
    oldObject: { metadata: { name: /^(one|two)$/ } },
    options: { propagationPolicy: 'Background' },
  });
  t.notOk('name' in (review ?? {}), 'the controller deletes collections');
  t.same(await names(admin, secrets), ['one', 'two'], 'a denial keeps what it is about');

  isLocked = false;
  await eventually(
    () => names(admin, secrets),
    (left) => left.length === 0,
  );
  t.match(await admin.get(namespace), { status: { phase: 'Terminating' } }, 'a finalizer keeps it');
  t.match((await admin.get(`${configMaps}/kept`)).metadata, { deletionTimestamp: /Z$/ }, 'others are tried');
  await admin.patch(`${configMaps}/kept`, { metadata: { finalizers: null } });
  await eventually(
    () => admin.request('GET', namespace),
    ({ code }) => code === 404,
  );
});

t.test('some namespaces stay', async (t) => {
  const { admin } = await startCluster(t);
  for (const name of ['default', 'kube-public', 'kube-system']) {
    await fails(t, admin.request('DELETE', `/api/v1/namespaces/${name}`), {
      code: 403,
      reason: 'Forbidden',
      message: `namespaces "${name}" is forbidden: this namespace may not be deleted`,
    });
  }
});

t.test('what has lost its last owner goes too, through admission', async (t) => {
  const { admin, webhook } = await world(t, { rules: [ON_DELETE] });
  const owner = async (name: string) => {
    const { metadata } = await admin.create(CONFIG_MAPS, { metadata: { name } });
    return { apiVersion: 'v1', kind: 'ConfigMap', name, uid: metadata.uid };
  };
  const [first, second] = [await owner('first'), await owner('second')];
  const owned = await admin.create(SECRETS, { metadata: { name: 'of-first', ownerReferences: [first] } });
  await admin.create(SECRETS, { metadata: { name: 'of-both', ownerReferences: [first, second] } });
  await admin.create(SECRETS, secret('of-nobody'));
  webhook.decide(() => ({ allowed: webhook.reviews.length > 1 }));
  const left = (...expected: string[]) =>
    eventually(
      () => names(admin),
      (found) => found.join() === expected.join(),
    );

  await admin.remove(`${CONFIG_MAPS}/first`);
  await left('of-both', 'of-nobody');
  const { uid } = owned.metadata;
  const review = {
    operation: 'DELETE',
    name: 'of-first',
    userInfo: { username: 'system:serviceaccount:kube-system:generic-garbage-collector' },
    options: { propagationPolicy: 'Background', preconditions: { uid } },
  };
  t.match(webhook.reviews, [review, review], 'after a denial it is tried again');

  await admin.remove(`${CONFIG_MAPS}/second`);
  await left('of-nobody');
});
