/** A wait on the real parts: the watch wakes it, a fresh read answers it. */
import t from 'tap';
import { systemClock } from '../../src/clock.ts';
import type { Lock } from '../../src/gate/lock.ts';
import { DRIVERS } from '../../src/helm/release.ts';
import { createKubernetesClient } from '../../src/kubernetes/client.ts';
import { createRequests } from '../../src/kubernetes/requests.ts';
import { startListWatch } from '../../src/kubernetes/watch.ts';
import { createLockFinder } from '../../src/locks/find.ts';
import { followPending } from '../../src/locks/follow.ts';
import { createRevisionReader } from '../../src/locks/newest-revision.ts';
import { createRegistry } from '../../src/locks/registry.ts';
import { createWaits } from '../../src/locks/wait.ts';
import { helmRecord, helmWrites, lockedRelease, never, pathOf, startMeddling } from '../support/clearing.ts';
import { testLog } from '../support/log.ts';
import { DEAF } from '../support/revisions.ts';

t.test(
  'given a lock, when Helm starts a hook, and another revision, and ends, then the wait ends',
  async (t) => {
    for (const driver of DRIVERS) {
      const meddling = await startMeddling(t);
      const { admin, connection, cluster } = meddling;
      const logs = testLog();
      const registry = createRegistry(DEAF);
      const client = createKubernetesClient(createRequests({ connection, pool: 'requests' }));
      const watches = DRIVERS.map((resource) =>
        startListWatch({
          client,
          ...followPending(resource, registry),
          clock: systemClock,
          random: Math.random,
          log: logs.log,
        }),
      );
      t.teardown(() => Promise.all(watches.map((watch) => watch.stop())));
      await lockedRelease(meddling, { driver });
      await Promise.all(DRIVERS.map((each) => logs.line('listed', ({ resource }) => resource === each)));

      const errands = createKubernetesClient(createRequests({ connection, pool: 'errands' }));
      const finder = createLockFinder({
        drivers: DRIVERS,
        reader: createRevisionReader(errands),
        suspects: registry.suspects,
        holders: { lockOf: (revision) => ({ revision, holder: undefined }) },
      });
      const waits = createWaits({ drivers: DRIVERS, finder, watched: registry, clock: systemClock });
      const seen: Lock[] = [];
      const sights: (() => void)[] = [];
      const sight = () => new Promise<void>((resolve) => sights.push(resolve));

      const first = sight();
      const waiting = waits.wait({ namespace: 'prod', name: 'api' }, 60, never, (lock) => {
        seen.push(lock);
        sights.shift()?.();
      });
      await first;
      await helmWrites(admin, 6, 'pending-upgrade', driver); // the start of a hook wakes nobody
      const second = sight();
      await admin.create(pathOf(driver), helmRecord(7, 'pending-rollback', { driver }));
      await second;
      t.equal(waits.count(), 1);
      cluster.traffic.reset();
      await helmWrites(admin, 7, 'deployed', driver);
      t.same(await waiting, { kind: 'free' });
      t.match(seen.map(({ revision }) => revision.number).at(-1), 7);
      t.equal(seen[0]?.revision.number, 6);
      t.equal(meddling.count('list'), DRIVERS.length, 'for one read of each driver');
      t.equal(waits.count(), 0);
    }
  },
);
