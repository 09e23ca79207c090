/** Clearing a lock while others write: somebody was first, nobody's work is lost, and it is said what happened. */
import t from 'tap';
import type { ClearRequest, Strategy } from '../../src/gate/clearing.ts';
import { STRATEGIES } from '../../src/gate/clearing.ts';
import { DRIVERS } from '../../src/helm/release.ts';
import {
  type Clearing,
  helmRecord,
  helmWrites,
  lockedRelease,
  pathOf,
  type Step,
  startClearing,
} from '../support/clearing.ts';

/** The moments at which others may meddle: before the record is read, before the last look, before the write. */
const MOMENTS: readonly [string, Strategy, (clearing: Clearing, action: () => Promise<unknown>) => void][] = [
  ['before the record is read', 'mark-failed', ({ before }, action) => before('read', action)],
  [
    'before the last look',
    'mark-failed',
    ({ before }, action) => before('read', async () => before('list', action)),
  ],
  ['before the PUT', 'mark-failed', ({ before }, action) => before('PUT', action)],
  ['before the DELETE', 'delete', ({ before }, action) => before('DELETE', action)],
];

interface Rival {
  readonly name: string;
  readonly act: (clearing: Clearing) => Promise<unknown>;
  readonly words: string | RegExp;
}

const GONE = 'the record of revision 6 is gone: somebody deleted it';

const RIVALS: readonly Rival[] = [
  {
    name: 'Helm finishes',
    act: ({ admin }) => helmWrites(admin, 6, 'deployed'),
    words: 'revision 6 is deployed now',
  },
  {
    name: 'Helm gives up',
    act: ({ admin }) => helmWrites(admin, 6, 'failed'),
    words: 'revision 6 is failed now',
  },
  {
    name: 'Helm writes the start of a hook, and is alive',
    act: ({ admin }) => helmWrites(admin, 6, 'pending-upgrade'),
    words: 'revision 6 was written to meanwhile',
  },
  {
    name: 'somebody deletes the record',
    act: ({ admin }) => admin.remove(pathOf('secrets', 6)),
    words: GONE,
  },
  {
    name: 'somebody deletes the record, and Helm makes it anew',
    act: async ({ admin }) => {
      await admin.remove(pathOf('secrets', 6));
      await admin.create(pathOf('secrets'), helmRecord(6, 'pending-upgrade'));
    },
    words: GONE,
  },
  {
    name: 'somebody uninstalls the release',
    act: async ({ admin }) => {
      await admin.remove(pathOf('secrets', 6));
      await admin.remove(pathOf('secrets', 5));
    },
    words: GONE,
  },
  {
    name: 'a rollback ends the lock, and is done',
    act: async ({ admin }) => {
      await helmWrites(admin, 6, 'superseded');
      await admin.create(pathOf('secrets'), helmRecord(7, 'deployed'));
    },
    words: 'there is revision 7 (deployed) now',
  },
];

for (const [moment, strategy, meddle] of MOMENTS) {
  for (const force of [false, true]) {
    t.test(`given a lock that is cleared by ${strategy}${force ? ', by force' : ''}`, async (t) => {
      for (const { name, act, words } of RIVALS) {
        const clearing = await startClearing(t);
        await lockedRelease(clearing);
        let theirs: unknown;
        meddle(clearing, async () => {
          await act(clearing);
          theirs = await clearing.admin.list(pathOf('secrets'));
        });
        t.match(
          await clearing.clear({ strategy, force }),
          { kind: 'changed', lock: { revision: { number: 6 } }, words },
          `when ${name} ${moment}, then it is said`,
        );
        t.same(await clearing.admin.list(pathOf('secrets')), theirs, 'and all is as they left it');
        t.same([clearing.cleared, clearing.logs.lines], [[], []], 'and nothing is said to be cleared');
      }
    });
  }
}

t.test('given Helm 3 in ConfigMaps, when it finishes before the write, then Helm wins', async (t) => {
  for (const [strategy, step] of WRITES) {
    const clearing = await startClearing(t);
    await lockedRelease(clearing, { driver: 'configmaps' });
    clearing.before(step, () => helmWrites(clearing.admin, 6, 'deployed', 'configmaps'));
    t.match(await clearing.clear({ strategy }), { kind: 'changed', words: 'revision 6 is deployed now' });
    t.equal((await clearing.admin.get(pathOf('configmaps', 6))).metadata.labels?.status, 'deployed');
  }
});

const WRITES: readonly [Strategy, Step][] = [
  ['mark-failed', 'PUT'],
  ['delete', 'DELETE'],
];

t.test('given a lock that a newer revision shadows meanwhile', async (t) => {
  for (const moment of ['read', 'list'] as const) {
    const clearing = await startClearing(t);
    await lockedRelease(clearing);
    const create = () => clearing.admin.create(pathOf('secrets'), helmRecord(7, 'pending-rollback'));
    if (moment === 'read') clearing.before('read', create);
    else clearing.before('read', async () => clearing.before('list', create));
    t.match(
      await clearing.clear(),
      { kind: 'changed', words: 'there is revision 7 (pending-rollback) now' },
      `when it appears before the ${moment}, then its record is left alone`,
    );
    t.equal((await clearing.admin.get(pathOf('secrets', 6))).metadata.labels?.status, 'pending-upgrade');
    t.same(clearing.cleared, []);
  }
});

t.test(
  'given somebody who only labels the record, when it is cleared, then that is a change, too',
  async (t) => {
    for (const [strategy, step] of WRITES) {
      const clearing = await startClearing(t);
      await lockedRelease(clearing);
      clearing.before(step, () => kubectlLabels(clearing));
      t.match(await clearing.clear({ strategy }), { kind: 'changed', words: /was written to meanwhile$/ });
      t.match(await clearing.clear({ strategy }), { kind: 'cleared' }, 'and it can be cleared again');
    }
  },
);

/** With a user agent of its own, so that the label is no sign of life of Helm. */
function kubectlLabels({ admin }: Clearing): Promise<unknown> {
  const headers = { 'user-agent': 'kubectl/v1.35.0', 'content-type': 'application/merge-patch+json' };
  const labels = { team: 'blue' };
  return admin.request('PATCH', pathOf('secrets', 6), { metadata: { labels } }, { headers });
}

/** Two clears that have both looked, and whose writes are then served in this order. */
async function atOnce(clearing: Clearing, requests: readonly [Partial<ClearRequest>, Partial<ClearRequest>]) {
  const arrived = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
  const released = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
  const [first, second] = requests;

  clearing.once(stepFor(first), () => {
    arrived[0].resolve();
    return { until: released[0].promise };
  });
  const one = clearing.clear(first);
  await arrived[0].promise;
  clearing.once(stepFor(second), () => {
    arrived[1].resolve();
    return { until: released[1].promise };
  });
  const other = clearing.clear(second);
  await arrived[1].promise;
  released[0].resolve();
  const outcome = await one;
  released[1].resolve();
  return [outcome, await other] as const;
}

function stepFor({ strategy }: Partial<ClearRequest>): Step {
  return strategy === 'delete' ? 'DELETE' : 'PUT';
}

t.test('given two who clear the same lock at once, and have both looked', async (t) => {
  for (const driver of DRIVERS) {
    for (const first of STRATEGIES) {
      for (const second of STRATEGIES) {
        const clearing = await startClearing(t);
        await lockedRelease(clearing, { driver });
        const [one, other] = await atOnce(clearing, [
          { strategy: first, by: 'alice' },
          { strategy: second, by: 'bob' },
        ]);
        t.match(one, { kind: 'cleared' }, `${driver}, ${first} before ${second}: the first has cleared it`);
        const words = first === 'delete' ? GONE : 'revision 6 is failed now';
        t.match(other, { kind: 'changed', words }, 'the second hears why not');
        t.match(clearing.cleared, [{ by: 'alice' }], 'and it is told once');
        t.equal(clearing.cleared.length, 1);
        t.same(clearing.logs.messages(), ['cleared']);
        t.equal((await clearing.events()).length, 1);
      }
    }
  }
});
