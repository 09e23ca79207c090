/** What the embedded cluster tells of its controllers. */
import t from 'tap';
import { CONFIGURATIONS, configurationOf, startFakeWebhook } from '../fake-webhook.ts';
import { SECRETS, secret, startCluster } from './fixture.ts';

t.test('why a namespace stays is said once', async (t) => {
  const logged: string[] = [];
  const { cluster, admin } = await startCluster(t, { log: (message) => logged.push(message) });
  const webhook = await startFakeWebhook(t);
  await admin.create(SECRETS, secret('one'));
  await admin.create(CONFIGURATIONS, configurationOf(webhook));
  const tried = Promise.withResolvers<void>();
  webhook.decide(() => {
    const isAllowed = webhook.reviews.length > 3;
    if (isAllowed) tried.resolve();
    return { allowed: isAllowed, status: { message: 'locked' } };
  });
  const gone = cluster.waitForWrite(({ verb, object }) => verb === 'DELETED' && object.kind === 'Namespace');
  await admin.request('DELETE', '/api/v1/namespaces/prod');
  await tried.promise;
  await gone;
  t.match(logged, [/^namespace prod stays, because .*denied the request: locked$/]);
  t.equal(logged.length, 1);
});
