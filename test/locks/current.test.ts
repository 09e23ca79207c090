/** The locks as last known: what the watch saw to be created is sure, and what a list found is read once. */
import t, { type Test } from 'tap';
import type { Driver, Release, Revision } from '../../src/helm/release.ts';
import { createCurrentLocks } from '../../src/locks/current.ts';
import { createRegistry } from '../../src/locks/registry.ts';
import { revision } from '../support/revisions.ts';
import { sleeper } from '../support/sleeper.ts';

function pending(number: number, name = 'api', namespace = 'prod'): Revision {
  const release: Release = { driver: 'secrets', namespace, name };
  return revision(number, 'pending-upgrade', { release, uid: `${name}/${number}` });
}

async function start(t: Test, drivers: readonly Driver[] = ['secrets']) {
  const { clock, asleep } = sleeper();
  const asked: string[] = [];
  const errors: unknown[] = [];
  /** The error is of all releases, or of those of one namespace. */
  const stored = {
    newest: [] as readonly Revision[],
    error: undefined as Error | undefined,
    unreadable: undefined as string | undefined,
  };
  let changes = 0;
  const registry = createRegistry({ onAppeared: () => {}, onChange: () => current.wake() });
  const sleeping = asleep();
  const current = createCurrentLocks({
    drivers,
    registry,
    holders: { lockOf: (revision) => ({ revision, holder: undefined }) },
    async *readNewest(all) {
      asked.push(all.map(({ name }) => name).join(' '));
      if (stored.error) throw stored.error;
      for (const [namespace, releases] of Map.groupBy(all, (release) => release.namespace)) {
        if (namespace === stored.unreadable)
          yield { releases, error: new Error(`${namespace} is too large`) };
        else yield { releases, newest: stored.newest };
      }
    },
    onChange: () => {
      changes += 1;
    },
    onError: (error) => errors.push(error),
    clock,
    random: () => 1,
  });
  t.teardown(() => current.stop());
  await sleeping;
  return {
    clock,
    registry,
    current,
    stored,
    asked,
    errors,
    changes: () => changes,
    locks: () => current.locks().map(({ revision: { release, number } }) => `${release.name}:${number}`),
    /** Does it, and resolves when all has been looked at. */
    async settled(act: () => void): Promise<void> {
      const sleeping = asleep();
      act();
      await sleeping;
    },
  };
}

t.test('what was seen to be created is a lock at once, and costs nothing', async (t) => {
  const { registry, current, locks, asked, settled } = await start(t);
  t.notOk(current.isComplete(), 'before the first list');
  await settled(() => registry.replace('secrets', []));
  t.ok(current.isComplete());
  await settled(() => registry.put(pending(6)));
  t.same(locks(), ['api:6']);
  t.ok(current.isComplete());
  await settled(() => registry.remove(pending(6)));
  t.same(locks(), []);
  t.same(asked, []);
});

t.test('what a list found is read live, all at once', async (t) => {
  const { registry, current, stored, locks, asked, settled, changes } = await start(t);
  stored.newest = [pending(6), revision(3, 'deployed'), pending(9, 'db')];
  await settled(() => {
    registry.replace('secrets', [pending(6), pending(2, 'web'), pending(8, 'db')]);
    t.notOk(current.isComplete(), 'nobody knows yet');
    t.same(locks(), []);
  });
  t.same(asked, ['api web db']);
  t.same(locks(), ['api:6'], 'but for what has another one above it');
  t.ok(current.isComplete());
  t.equal(changes(), 1, 'which is told');
});

t.test('a list in between casts doubt, but takes nothing back', async (t) => {
  const { registry, current, stored, locks, asked, settled } = await start(t);
  await settled(() => registry.replace('secrets', []));
  await settled(() => registry.put(pending(6)));
  stored.newest = [revision(7, 'deployed')];
  await settled(() => {
    registry.replace('secrets', [pending(6)]);
    t.same(locks(), ['api:6'], 'it is a lock until it is read');
    t.ok(current.isComplete());
  });
  t.same(asked, ['api']);
  t.same(locks(), []);
});

t.test('now and then it is read again: nobody tells what was deleted above', async (t) => {
  const { registry, stored, locks, asked, settled, clock } = await start(t);
  stored.newest = [revision(7, 'deployed')];
  await settled(() => registry.replace('secrets', [pending(6)]));
  t.same(locks(), []);
  stored.newest = [pending(6)];
  await settled(() => clock.advance(300_000));
  t.same(locks(), ['api:6']);
  t.equal(asked.length, 2);
});

t.test('what is above a pending revision ends: it is shadowed, or the lock again', async (t) => {
  const { registry, current, stored, locks, asked, settled, clock } = await start(t);
  await settled(() => registry.replace('secrets', []));
  await settled(() => registry.put(pending(5)));
  t.same(locks(), ['api:5']);
  stored.newest = [revision(6, 'deployed')];
  await settled(() => {
    registry.put(pending(6));
    registry.remove(pending(6));
    t.same(locks(), [], 'nothing is said of it before it is read, though it was known to be the newest');
    t.notOk(current.isComplete());
  });
  t.same(locks(), [], 'shadowed');
  t.ok(current.isComplete());
  stored.newest = [pending(5)];
  await settled(() => clock.advance(300_000));
  t.same(locks(), ['api:5'], 'what ended was deleted later on');

  await settled(() => {
    registry.put(pending(6));
    t.same(locks(), ['api:6']);
  });
  await settled(() => registry.remove(pending(6)));
  t.same(locks(), ['api:5'], 'what was pending was deleted');
  t.same(asked, ['api', 'api', 'api']);
});

t.test('a read that fails is made again', async (t) => {
  const { registry, current, stored, locks, errors, settled, clock } = await start(t);
  stored.error = new Error('no cluster');
  await settled(() => registry.replace('secrets', [pending(6)]));
  t.match(errors, [{ message: 'no cluster' }]);
  t.notOk(current.isComplete());
  stored.error = undefined;
  stored.newest = [pending(6)];
  await settled(() => clock.advance(1_000));
  t.same(locks(), ['api:6']);
});

t.test('each driver must have been listed', async (t) => {
  const { registry, current, settled } = await start(t, ['secrets', 'configmaps']);
  await settled(() => registry.replace('secrets', []));
  t.notOk(current.isComplete());
  await settled(() => registry.replace('configmaps', []));
  t.ok(current.isComplete());
});

t.test('a namespace that cannot be read says nothing of the others', async (t) => {
  const { registry, current, stored, locks, asked, errors, settled, clock } = await start(t);
  stored.newest = [pending(6), pending(7, 'web', 'dev'), pending(8, 'db', 'huge')];
  stored.unreadable = 'huge';
  await settled(() =>
    registry.replace('secrets', [pending(8, 'db', 'huge'), pending(6), pending(7, 'web', 'dev')]),
  );
  t.same(locks(), ['api:6', 'web:7']);
  t.notOk(current.isComplete());
  t.match(errors, [{ message: 'huge is too large' }]);
  stored.unreadable = undefined;
  await settled(() => clock.advance(1_000));
  t.same(locks(), ['db:8', 'api:6', 'web:7']);
  t.ok(current.isComplete());
  t.same(asked, ['db api web', 'db'], 'only what is not known is read again');
});
