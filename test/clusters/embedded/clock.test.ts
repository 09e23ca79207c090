/** The clock of the cluster: what it stamps, and what it leaves alone. */
import t, { type Test } from 'tap';
import type { ApiClient } from '../client.ts';
import { SECRETS, secret, startCluster } from './fixture.ts';

const MINUTE = 60_000;

/** The time is now, by the machine, plus `shift`; with room for a busy machine and for whole seconds. */
function isShifted(t: Test, time: string | undefined, shift: number, what: string) {
  const difference = Date.parse(time ?? '') - Date.now() - shift;
  t.ok(Math.abs(difference) < MINUTE / 2, `${what}: ${time}`);
}

t.test('everything that the server stamps is by the clock of the cluster', async (t) => {
  const { cluster, admin } = await startCluster(t);
  const { metadata: before } = await admin.create(SECRETS, secret('one'));
  isShifted(t, before.creationTimestamp, 0, 'at first the time is real');

  const shift = 20 * MINUTE;
  cluster.clock.advance(15 * MINUTE);
  cluster.clock.advance(5 * MINUTE);
  t.ok(Math.abs(cluster.clock.now() - Date.now() - shift) < MINUTE / 2);
  const finalizers = ['test/keep'];
  const { metadata } = await admin.create(SECRETS, { metadata: { name: 'two', finalizers } });
  isShifted(t, metadata.creationTimestamp, shift, 'creationTimestamp');
  isShifted(t, metadata.managedFields?.[0]?.time, shift, 'managedFields of a creation');

  const patched = await admin.patch(`${SECRETS}/one`, { metadata: { labels: { a: 'b' } } });
  isShifted(t, patched.metadata.managedFields?.[0]?.time, shift, 'managedFields of a change');
  t.equal(patched.metadata.creationTimestamp, before.creationTimestamp, 'what is stored stays as it is');

  await admin.remove(`${SECRETS}/two`);
  const { metadata: removed } = await admin.get(`${SECRETS}/two`);
  isShifted(t, removed.deletionTimestamp, shift, 'deletionTimestamp');

  cluster.seed([{ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'seeded', namespace: 'prod' } }]);
  isShifted(t, (await admin.get(`${SECRETS}/seeded`)).metadata.creationTimestamp, shift, 'seeded');

  const headers = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
  const { body } = await admin.request<{ rows: { cells: unknown[] }[] }>('GET', SECRETS, undefined, {
    headers,
  });
  t.match(body.rows[0]?.cells, ['one', 'Opaque', 0, '20m'], 'ages in a table');
});

t.test('every answer has the Date of the cluster, of when it is given', async (t) => {
  const { cluster, admin } = await startCluster(t);
  const shift = 60 * MINUTE;
  cluster.clock.advance(shift);
  for (const path of [SECRETS, `${SECRETS}/nothing`, '/healthz', '/openapi/v2', '/openapi/v3', '/version']) {
    const { headers } = await admin.request('GET', path);
    t.match(headers.date, /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/);
    isShifted(t, headers.date, shift, path);
  }
  // One event, so that the stream is one JSON text.
  await admin.create(SECRETS, secret('one'));
  const watch = await admin.request('GET', `${SECRETS}?watch=1&timeoutSeconds=1`);
  isShifted(t, watch.headers.date, shift, 'a watch');

  const held = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  const end = cluster.faults.failRequests(() => {
    asked.resolve();
    return { until: held.promise };
  });
  const late = admin.request('GET', SECRETS);
  await asked.promise;
  cluster.clock.advance(shift);
  held.resolve();
  isShifted(t, (await late).headers.date, 2 * shift, 'an answer that had to wait');
  end();
});

t.test('a token expires by the clock of the cluster, each on its own', async (t) => {
  const { cluster, admin } = await startCluster(t);
  const accounts = '/api/v1/namespaces/prod/serviceaccounts';
  await admin.create(accounts, { metadata: { name: 'runner' } });
  const issue = async (expirationSeconds: number | null) => {
    const { body } = await admin.request('POST', `${accounts}/runner/token`, { spec: { expirationSeconds } });
    const { token, expirationTimestamp } = body.status as { token: string; expirationTimestamp: string };
    isShifted(
      t,
      expirationTimestamp,
      cluster.clock.now() - Date.now() + (expirationSeconds ?? 3_600) * 1_000,
      'expiry',
    );
    return token;
  };
  const short = await issue(600);
  const long = await issue(null);
  t.same([await isAccepted(admin, short), await isAccepted(admin, long)], [true, true]);
  cluster.clock.advance(11 * MINUTE);
  t.same([await isAccepted(admin, short), await isAccepted(admin, long)], [false, true]);
  t.equal(await isAccepted(admin, await issue(600)), true, 'a new one is good');
});

async function isAccepted(admin: ApiClient, token: string): Promise<boolean> {
  const { body } = await admin.request('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
    spec: { token },
  });
  // What is false is left out.
  return (body.status as { authenticated?: boolean }).authenticated === true;
}
