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

t.test('the neighbours of a revision: by their names, or by a list if there is a gap below', async (t) => {
  const { cluster, connection, count } = await startMeddling(t);
  const reader = createRevisionReader(
    createKubernetesClient(createRequests({ connection, pool: 'requests' })),
  );
  cluster.seed([1, 3, 10].map((number) => record('api', number, 'deployed')));
  for (const [number, rival, below, gets, lists] of [
    [11, undefined, 10, 3, 0],
    [10, 10, 3, 3, 1],
    [4, undefined, 3, 3, 0], // 10 is not looked for
    [3, 10, 1, 3, 1], // what is newest, not what is next
    [6, 10, 3, 3, 1], // 5 is gone, and 6: whoever has this number comes too late
    [2, 3, 1, 3, 0], // 2 is gone, and another deploy has come since
    [1, 1, undefined, 2, 0],
  ] as const) {
    cluster.traffic.reset();
    const release = { driver: 'secrets', namespace: 'prod', name: 'api' } as const;
    const found = await reader.neighbours(release, number, never);
    t.equal(found.rival?.number, rival, `of ${number}, at it or above: ${rival ?? 'none'}`);
    t.equal(found.below?.number, below, `of ${number}, below: ${below ?? 'none'}`);
    t.same([count('get'), count('list')], [gets, lists]);
  }
});
