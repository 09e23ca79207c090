/** Live reads of revisions: which one is the newest of each release, and what does not count. */
import t from 'tap';
import { DRIVERS } from '../../src/helm/release.ts';
import { createKubernetesClient } from '../../src/kubernetes/client.ts';
import { createRequests } from '../../src/kubernetes/requests.ts';
import { createRevisionReader } from '../../src/locks/newest-revision.ts';
import { never, startMeddling } from '../support/clearing.ts';
import { record } from '../support/records.ts';

t.test('the newest revision of each of several releases, in one list', async (t) => {
  for (const driver of DRIVERS) {
    const { cluster, connection, count } = await startMeddling(t);
    const requests = createRequests({ connection, pool: 'errands' });
    const reader = createRevisionReader(createKubernetesClient(requests));
    const misnamed = record('web', 99, 'deployed', { driver });
    misnamed.metadata.labels.name = 'api'; // selected as one release, named as another
    const unnamed = record('api', 99, 'deployed', { driver });
    unnamed.metadata.name = 'not-a-record';
    cluster.seed([
      record('api', 9, 'deployed', { driver }),
      record('api', 10, 'pending-upgrade', { driver }),
      record('api', 2, 'superseded', { driver }),
      record('app.v2', 1, 'pending-install', { driver }),
      record('other', 1, 'deployed', { driver }),
      record('api', 11, 'deployed', { driver, namespace: 'dev' }),
      misnamed,
      unnamed,
    ]);
    const newest = await reader.newest(driver, 'prod', ['api', 'app.v2', 'nobody'], never);
    const found = newest.map(({ release, number, status }) => [release.name, number, status]);
    t.same(
      found.sort(),
      [
        ['api', 10, 'pending-upgrade'],
        ['app.v2', 1, 'pending-install'],
      ],
      driver,
    );
    t.equal(count('list'), 1);
    const all = await reader.all({ driver, namespace: 'prod', name: 'api' }, never);
    t.same(
      all.map(({ number }) => number),
      [10, 9, 2],
      'all of one, newest first',
    );
  }
});

t.test('the newest revision below another: by its name, or by a list if there is a gap', async (t) => {
  const { cluster, connection, count } = await startMeddling(t);
  const reader = createRevisionReader(
    createKubernetesClient(createRequests({ connection, pool: 'requests' })),
  );
  cluster.seed([1, 3, 10].map((number) => record('api', number, 'deployed')));
  for (const [below, found, lists] of [
    [11, 10, 0],
    [10, 3, 1],
    [4, 3, 0],
    [3, 1, 1],
    [1, undefined, 1],
  ] as const) {
    cluster.traffic.reset();
    const release = { driver: 'secrets', namespace: 'prod', name: 'api' } as const;
    const revision = await reader.newestBelow(release, below, never);
    t.equal(revision?.number, found, `below ${below}: ${found ?? 'none'}`);
    t.same([count('get'), count('list')], [1, lists]);
  }
});
