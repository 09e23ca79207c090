/** The view that the watch feeds: it wakes waiters, and is never asked whether to admit. */
import t, { type Test } from 'tap';
import type { Driver, Revision } from '../../src/helm/release.ts';
import { followPending } from '../../src/locks/follow.ts';
import { createRegistry, type Registry } from '../../src/locks/registry.ts';
import { DEAF, revision } from '../support/revisions.ts';

function pending(
  number: number,
  name = 'api',
  driver: Driver = 'secrets',
  uid = `${driver}/${name}/${number}`,
): Revision {
  const release = { driver, namespace: 'prod', name };
  return revision(number, 'pending-upgrade', { release, uid });
}

/** Whether a waiter for this release is woken by what `act` does. */
async function wakes(registry: Registry, of: Revision, act: () => void): Promise<boolean> {
  let woken = false;
  const change = registry.nextChange(of.release);
  void change.happened.then(() => {
    woken = true;
  });
  act();
  const happened = change.hasHappened();
  await new Promise((resolve) => setImmediate(resolve));
  change.cancel();
  if (happened !== woken) throw new Error('the two disagree');
  return woken;
}

async function wakeTable(t: Test, rows: [string, boolean, (registry: Registry) => void][]): Promise<void> {
  for (const [name, expected, act] of rows) {
    const registry = createRegistry(DEAF);
    registry.put(pending(6));
    t.equal(await wakes(registry, pending(6), () => act(registry)), expected, name);
  }
}

t.test('what wakes a waiter', (t) =>
  wakeTable(t, [
    ['its lock is freed: yes', true, (r) => r.remove(pending(6))],
    ['another revision of the release is pending: yes, somebody was first', true, (r) => r.put(pending(7))],
    ['the lock is written again, as at a hook: no', false, (r) => r.put(pending(6))],
    ['another release is freed: no', false, (r) => r.remove(pending(6, 'web'))],
    [
      'the same name in the other driver is freed: no',
      false,
      (r) => r.remove(pending(6, 'api', 'configmaps')),
    ],
    ['a new list of its driver: yes, whatever it holds', true, (r) => r.replace('secrets', [pending(6)])],
    ['a new list of the other driver: no', false, (r) => r.replace('configmaps', [])],
    ['another waiter leaves: no', false, (r) => r.nextChange(pending(6).release).cancel()],
  ]),
);

t.test('who waits is counted, until woken or gone', async (t) => {
  const registry = createRegistry(DEAF);
  const { release } = pending(6);
  t.equal(registry.waiting(release), 0);
  const first = registry.nextChange(release);
  const second = registry.nextChange(release);
  registry.nextChange(pending(1, 'web').release);
  t.equal(registry.waiting(release), 2);
  first.cancel();
  first.cancel();
  t.equal(registry.waiting(release), 1);
  registry.remove(pending(6));
  await second.happened;
  t.equal(registry.waiting(release), 0);
  second.cancel();
  t.equal(registry.waiting(pending(1, 'web').release), 1, 'of each release apart');
});

t.test('what is pending', async (t) => {
  const appeared: string[] = [];
  const registry = createRegistry({ ...DEAF, onAppeared: ({ uid }) => appeared.push(uid) });

  registry.replace('secrets', [pending(5), pending(6), pending(1, 'web')]);
  registry.put(pending(6, 'api', 'configmaps'));
  registry.put(pending(6));
  t.same(
    appeared,
    ['secrets/api/5', 'secrets/api/6', 'secrets/web/1', 'configmaps/api/6'],
    'each is announced once',
  );
  const newest = () => registry.newestPending().map(({ revision: { uid } }) => uid);
  t.same(newest(), ['secrets/api/6', 'secrets/web/1', 'configmaps/api/6']);

  registry.remove(pending(6));
  t.same(newest(), ['secrets/api/5', 'secrets/web/1', 'configmaps/api/6'], 'a shadowed one is known as well');

  registry.replace('secrets', [pending(2, 'web')]);
  t.same(
    newest(),
    ['configmaps/api/6', 'secrets/web/2'],
    'a list takes the place of what was known, of its own driver only',
  );
});

t.test('which releases are worth a look: those with a pending revision, each once', async (t) => {
  const registry = createRegistry(DEAF);
  t.same(registry.suspects(), []);
  registry.replace('secrets', [pending(5), pending(6), pending(1, 'web')]);
  registry.put(pending(6, 'api', 'configmaps'));
  const [api, web, other] = [pending(6), pending(1, 'web'), pending(6, 'api', 'configmaps')];
  t.same(
    registry.suspects(),
    [api, web, other].map(({ release }) => release),
  );
  registry.remove(pending(6));
  t.equal(registry.suspects().length, 3, 'one that may be shadowed is as good');
  registry.remove(pending(5));
  t.same(
    registry.suspects(),
    [web, other].map(({ release }) => release),
  );
  registry.replace('secrets', []);
  t.same(registry.suspects(), [other.release]);
});

t.test('the newest pending revision of each release may be its lock', async (t) => {
  const registry = createRegistry(DEAF);
  const candidates = () =>
    registry.newestPending().map(({ revision: { uid }, seenCreated }) => `${uid} ${seenCreated}`);
  registry.replace('secrets', [pending(6), pending(4), pending(1, 'web')]);
  t.same(candidates(), ['secrets/api/6 false', 'secrets/web/1 false'], 'a list does not tell what is above');
  registry.put({ ...pending(6), lastWriteAt: 5 });
  t.equal(registry.newestPending()[0]?.revision.lastWriteAt, 5, 'as it was last written');
  registry.put(pending(7));
  t.same(candidates(), ['secrets/api/7 true', 'secrets/web/1 false'], 'a new one is above all others');
  registry.remove(pending(7));
  t.same(
    candidates(),
    ['secrets/api/6 false', 'secrets/web/1 false'],
    'it ended, and may shadow the one below, or be gone',
  );
  registry.remove(pending(4));
  t.same(candidates(), ['secrets/api/6 false', 'secrets/web/1 false'], 'what was shadowed changes nothing');
  registry.put(pending(4));
  registry.remove(pending(4));
  registry.remove(pending(6));
  t.same(candidates(), ['secrets/web/1 false']);
  registry.put(pending(6));
  registry.remove(pending(6));
  registry.put(pending(1));
  t.same(candidates(), ['secrets/web/1 false', 'secrets/api/1 true'], 'installed anew, and numbered anew');
  registry.replace('secrets', [pending(1)]);
  t.same(candidates(), ['secrets/api/1 false'], 'what was missed is not known');
  registry.put(pending(2, 'api', 'configmaps'));
  registry.replace('secrets', []);
  t.same(candidates(), ['configmaps/api/2 true'], 'each driver for itself');
});

t.test('a pending revision whose cover ends is another one than before, and stays it', async (t) => {
  const registry = createRegistry(DEAF);
  const uncovered = () => registry.newestPending().map((candidate) => candidate.uncovered);
  registry.put(pending(5));
  t.same(uncovered(), [0]);
  const numbers = new Set([0]);
  for (let round = 1; round <= 2; round += 1) {
    registry.put(pending(6));
    t.same(uncovered(), [0], 'the one above has no cover');
    registry.remove(pending(6));
    numbers.add(uncovered()[0] ?? 0);
    t.equal(numbers.size, round + 1, 'each time anew');
  }
  const [before] = uncovered();
  registry.replace('secrets', [pending(5)]);
  t.same(uncovered(), [before], 'a list uncovers nothing that was not seen');
});

t.test('of all below, the newest is looked at again, however they came', (t) => {
  for (const below of [
    [3, 5, 4],
    [5, 4, 3],
    [3, 4, 5],
  ]) {
    const registry = createRegistry(DEAF);
    registry.replace('secrets', [...below.map((number) => pending(number)), pending(1, 'web')]);
    registry.put(pending(6));
    registry.remove(pending(6));
    const numbers = registry.newestPending().map(({ revision }) => revision.number);
    t.same(numbers.toSorted(), [1, 5], below.join(', '));
  }
  t.end();
});

t.test('each change is told', async (t) => {
  let changes = 0;
  const registry = createRegistry({ ...DEAF, onChange: () => (changes += 1) });
  registry.replace('secrets', [pending(6)]);
  registry.put(pending(6));
  registry.put(pending(7));
  registry.remove(pending(7));
  t.equal(changes, 4);
});

t.test('which revisions may be stored: those up to the newest that was ever seen pending', async (t) => {
  const registry = createRegistry(DEAF);
  const { release } = pending(6);
  t.notOk(registry.mayExist(release, 1));
  registry.put(pending(6));
  registry.put(pending(5));
  registry.remove(pending(6));
  registry.replace('secrets', []);
  for (const [number, expected] of [
    [5, true],
    [6, true],
    [7, false],
  ] as const) {
    t.equal(registry.mayExist(release, number), expected, `revision ${number}`);
  }
  t.notOk(registry.mayExist({ ...release, namespace: 'dev' }, 6), 'of another release: unknown');
});

t.test('a record that was deleted and made again under its old name', async (t) => {
  const registry = createRegistry(DEAF);
  registry.put(pending(6));
  registry.remove(pending(6));
  registry.put(pending(6, 'api', 'secrets', 'the new one'));
  t.match(registry.newestPending(), [{ revision: { uid: 'the new one' } }]);
});

t.test('complete once each driver was listed', async (t) => {
  const registry = createRegistry(DEAF);
  t.notOk(registry.isComplete(['secrets']));
  registry.replace('secrets', []);
  t.ok(registry.isComplete(['secrets']));
  t.notOk(registry.isComplete(['secrets', 'configmaps']));
  registry.replace('configmaps', []);
  t.ok(registry.isComplete(['secrets', 'configmaps']));
});

t.test('metadata from the watch', async (t) => {
  const registry = createRegistry(DEAF);
  const { labelSelector, onEvent, onList } = followPending('secrets', registry);
  t.equal(labelSelector, 'owner=helm,status in (pending-install,pending-upgrade,pending-rollback)');

  const record = (name: string, status = 'pending-upgrade') => ({
    name: `sh.helm.release.v1.${name}`,
    namespace: 'prod',
    uid: name,
    labels: { status },
  });
  const newest = () => registry.newestPending().map(({ revision: { uid } }) => uid);
  onList([record('api.v6'), { name: 'labelled-like-a-record' }]);
  t.same(newest(), ['api.v6']);
  onEvent('ADDED', record('api.v7'));
  onEvent('ADDED', { name: 'labelled-like-a-record', uid: 'odd' });
  t.same(newest(), ['api.v7'], 'what is named otherwise is no record');
  onEvent('MODIFIED', record('api.v7'));
  t.same(newest(), ['api.v7']);
  onEvent('DELETED', record('api.v7'));
  t.same(newest(), ['api.v6'], 'an object that stops matching the selector is sent as DELETED');
});
