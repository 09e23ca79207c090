/** The REST endpoints on the real parts: HTTPS, tokens, rights, records. */
import t from 'tap';
import { startLockkeeper } from './support/lockkeeper.ts';
import { record } from './support/records.ts';
import { restClient } from './support/rest.ts';

t.test('a lock, as the REST endpoints show it', async (t) => {
  const lockkeeper = await startLockkeeper(t);
  const alice = await restClient(t, lockkeeper, { username: 'alice' });
  const now = new Date(lockkeeper.cluster.clock.now() - 42_000).toISOString().replace(/\.\d+Z$/, 'Z');
  const pending = record('api', 2, 'pending-upgrade');
  Object.assign(pending.metadata, { creationTimestamp: now });
  lockkeeper.cluster.seed([record('api', 1, 'deployed'), pending]);
  const { status, body } = await alice.get('/api');
  t.equal(status, 200);
  t.same(body, {
    namespace: 'prod',
    release: 'api',
    revision: 2,
    status: 'pending-upgrade',
    since: now,
    lastActivity: now,
    holder: null,
    verdict: 'live',
    reason: body.reason,
    waiting: 0,
  });
});
