/** Who may end what, who is asked before, and what goes with it. */
import t from 'tap';
import type { ApiClient } from '../client.ts';
import { CONFIGURATIONS, configurationOf, startFakeWebhook } from '../fake-webhook.ts';
import type { JsonObject } from '../kubernetes-object.ts';
import { fails, SECRETS, secret, startCluster } from './fixture.ts';

const CONFIG_MAPS = '/api/v1/namespaces/prod/configmaps';

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
        message: /^Operation cannot be fulfilled on Secret "one": the .* in the precondition \(.*\) does not/,
      });
    }
  }
  t.same(await admin.get(`${SECRETS}/one`), { kind: 'Secret', apiVersion: 'v1', metadata, type: 'Opaque' });
  await admin.remove(`${SECRETS}/one`, { preconditions: { uid, resourceVersion: null } });
  t.same(await names(admin), []);
});

t.test('preconditions hold until the end: what changes during a review is kept', async (t) => {
  const { admin } = await startCluster(t);
  const webhook = await startFakeWebhook(t);
  const onDelete = { operations: ['DELETE'], apiGroups: [''], apiVersions: ['v1'], resources: ['secrets'] };
  await admin.create(CONFIGURATIONS, configurationOf(webhook, { rules: [onDelete] }));
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
    message: /^Operation cannot be fulfilled on secrets "one": the object has been modified; please apply/,
  });
  const { message } = await fails(t, put({ uid: first.uid }), {
    code: 409,
    reason: 'Conflict',
    message: /./,
  });
  t.equal(
    message,
    'Operation cannot be fulfilled on secrets "one": StorageError: invalid object, Code: 4, ' +
      'Key: /registry/secrets/prod/one, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: ' +
      `UID in precondition: ${first.uid}, UID in object meta: ${metadata.uid}`,
  );
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
  const { admin } = await startCluster(t);
  const webhook = await startFakeWebhook(t);
  await admin.create(CONFIGURATIONS, configurationOf(webhook));
  await admin.create(SECRETS, secret('one'));
  const end = (query: string, body?: unknown) => admin.request('DELETE', `${SECRETS}/one?${query}`, body);
  await end('dryRun=All&propagationPolicy=Background&gracePeriodSeconds=0');
  t.match(webhook.reviews.at(-1), {
    dryRun: true,
    options: { dryRun: ['All'], propagationPolicy: 'Background', gracePeriodSeconds: 0 },
  });
  t.equal((await end('', { dryRun: ['All'] })).code, 200);
  t.same(await names(admin), ['one'], 'a dry run, whether the body says its kind or not');
  t.equal((await end('', { kind: 'Secret' })).code, 400);
  t.equal((await end('', [])).code, 400);
  t.equal((await end('dryRun=All', {})).code, 200);
  t.same(await names(admin), [], 'beside a body, the query is not read');
});

t.test('who is asked about a deletion', async (t) => {
  const { cluster, admin } = await startCluster(t);
  const webhook = await startFakeWebhook(t);
  const objectSelector = { matchLabels: { owner: 'helm' } };
  await admin.create(CONFIGURATIONS, configurationOf(webhook, { objectSelector }));
  for (const name of ['a', 'b', 'c', 'd']) {
    await admin.create(SECRETS, { metadata: { name, labels: { owner: name === 'd' ? 'me' : 'helm' } } });
  }
  const asked = webhook.reviews.length;

  await t.test('a webhook, by the labels of the object that goes', async (t) => {
    await admin.remove(`${SECRETS}/a`);
    await admin.remove(`${SECRETS}/d`);
    t.match(webhook.reviews.slice(asked), [
      { operation: 'DELETE', name: 'a', object: null, oldObject: { metadata: { name: 'a' } } },
    ]);
  });

  await t.test('for each object of a collection, though the reviews do not name them', async (t) => {
    const events: string[] = [];
    const off = cluster.onAdmission(({ phase, name }) => phase === 'called' && events.push(name));
    const before = webhook.reviews.length;
    webhook.decide(({ oldObject }) => ({ allowed: oldObject?.metadata.name === 'b' }));
    const { code } = await admin.request('DELETE', SECRETS);
    off();
    t.equal(code, 400, 'a denial ends it');
    t.same(await names(admin), ['c'], 'what went before it is gone');
    t.match(webhook.reviews.slice(before), [
      { operation: 'DELETE', namespace: 'prod', object: null, oldObject: { metadata: { name: 'b' } } },
      { operation: 'DELETE', namespace: 'prod', object: null, oldObject: { metadata: { name: 'c' } } },
    ]);
    t.same(
      webhook.reviews.slice(before).map((review) => 'name' in review),
      [false, false],
      'as the real server: the name is that of the request',
    );
    t.same(events, ['b', 'c']);
  });

  await t.test('a collection spans one namespace', async (t) => {
    await fails(t, admin.request('DELETE', '/api/v1/secrets'), {
      code: 405,
      reason: 'MethodNotAllowed',
      message: /DELETE/,
    });
  });
});

t.test('an object that somebody else deletes meanwhile does not end a collection', async (t) => {
  const { admin } = await startCluster(t);
  const webhook = await startFakeWebhook(t);
  await admin.create(CONFIGURATIONS, configurationOf(webhook));
  for (const name of ['a', 'b', 'c']) await admin.create(SECRETS, secret(name));
  webhook.decide(async ({ oldObject, name }) => {
    if (name === undefined && oldObject?.metadata.name === 'a') await admin.remove(`${SECRETS}/b`);
    return { allowed: true };
  });
  await admin.remove(SECRETS);
  t.same(await names(admin), []);
});

t.test('a namespace takes its contents with it, through admission', async (t) => {
  const logged: string[] = [];
  const { cluster, admin } = await startCluster(t, { log: (message) => logged.push(message) });
  const webhook = await startFakeWebhook(t);
  for (const name of ['one', 'two']) await admin.create(SECRETS, secret(name));
  await admin.create(CONFIG_MAPS, { metadata: { name: 'kept', finalizers: ['test/keep'] } });
  await admin.create(CONFIGURATIONS, configurationOf(webhook));
  let isLocked = true;
  const tried = Promise.withResolvers<void>();
  webhook.decide(() => {
    if (webhook.reviews.length === 3) tried.resolve();
    return { allowed: !isLocked, status: { message: 'locked' } };
  });
  const gone = cluster.waitForWrite(({ verb, object }) => verb === 'DELETED' && object.kind === 'Namespace');
  await admin.request('DELETE', '/api/v1/namespaces/prod');
  await admin.request('DELETE', '/api/v1/namespaces/prod');

  await tried.promise;
  t.match(webhook.reviews[0], {
    operation: 'DELETE',
    namespace: 'prod',
    userInfo: {
      username: 'system:serviceaccount:kube-system:namespace-controller',
      groups: ['system:serviceaccounts', 'system:serviceaccounts:kube-system', 'system:authenticated'],
    },
    object: null,
    oldObject: { metadata: { name: 'one' } },
    options: { propagationPolicy: 'Background' },
  });
  t.notOk('name' in (webhook.reviews[0] ?? {}), 'the controller deletes collections');
  t.same(await names(admin), ['one', 'two'], 'a denial keeps what it is about');
  t.match(logged, [/^namespace prod stays, because .*denied the request: locked$/], 'said once');
  t.match((await admin.get(`${CONFIG_MAPS}/kept`)).metadata, { deletionTimestamp: /Z$/ }, 'others are tried');
  await fails(t, admin.request('POST', SECRETS, secret('late')), {
    code: 403,
    reason: 'Forbidden',
    message: /because it is being terminated/,
  }).then(({ details }) => t.match(details?.causes, [{ reason: 'NamespaceTerminating' }]));

  isLocked = false;
  await cluster.waitForWrite(({ verb, object }) => verb === 'DELETED' && object.metadata.name === 'two');
  await admin.patch('/api/v1/namespaces/prod', { metadata: { labels: { a: 'b' } } });
  t.match(await admin.get('/api/v1/namespaces/prod'), { status: { phase: 'Terminating' } }, 'a finalizer');
  await admin.patch(`${CONFIG_MAPS}/kept`, { metadata: { finalizers: null } });
  await gone;
  t.same([await names(admin), await names(admin, CONFIG_MAPS)], [[], []]);
});

t.test('what has lost its last owner goes too, through admission', async (t) => {
  const { cluster, admin } = await startCluster(t);
  const webhook = await startFakeWebhook(t);
  const onDelete = { operations: ['DELETE'], apiGroups: [''], apiVersions: ['v1'], resources: ['secrets'] };
  await admin.create(CONFIGURATIONS, configurationOf(webhook, { rules: [onDelete] }));
  const owner = async (name: string) => {
    const { metadata } = await admin.create(CONFIG_MAPS, { metadata: { name } });
    return { apiVersion: 'v1', kind: 'ConfigMap', name, uid: metadata.uid };
  };
  const [first, second] = [await owner('first'), await owner('second')];
  await admin.create(SECRETS, { metadata: { name: 'of-first', ownerReferences: [first] } });
  await admin.create(SECRETS, { metadata: { name: 'of-both', ownerReferences: [first, second] } });
  await admin.create(SECRETS, secret('of-nobody'));
  webhook.decide(() => ({ allowed: webhook.reviews.length > 1 }));

  const gone = cluster.waitForWrite(({ verb, object }) => verb === 'DELETED' && object.kind === 'Secret');
  await admin.remove(`${CONFIG_MAPS}/first`);
  t.equal((await gone).object.metadata.name, 'of-first');
  t.same(await names(admin), ['of-both', 'of-nobody']);
  const { uid } = (await gone).object.metadata;
  const review = {
    operation: 'DELETE',
    name: 'of-first',
    userInfo: { username: 'system:serviceaccount:kube-system:generic-garbage-collector' },
    options: { propagationPolicy: 'Background', preconditions: { uid } },
  };
  t.match(webhook.reviews, [review, review], 'after a denial it is tried again');

  const goneToo = cluster.waitForWrite(({ verb, object }) => verb === 'DELETED' && object.kind === 'Secret');
  await admin.remove(`${CONFIG_MAPS}/second`);
  t.equal((await goneToo).object.metadata.name, 'of-both');
});
