/** When a command that waits tries to clear a lock, how often, and what it says of it. */
import t from 'tap';
import { createClearStale } from '../../src/cli/clear-stale.ts';
import type { Cluster } from '../../src/cli/cluster.ts';
import type { ReleaseLock } from '../../src/cli/release-locks.ts';
import type { Sighting } from '../../src/cli/sightings.ts';
import type { Answer } from '../../src/cli/view.ts';
import type { Lock } from '../../src/gate/lock.ts';
import { KubernetesError } from '../../src/kubernetes/requests.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { revision } from '../support/revisions.ts';

const NOW = Date.parse('2026-11-23T03:16:00Z');

const LOCK: Lock = {
  revision: revision(6, 'pending-upgrade', { createdAt: NOW - 960_000 }),
  holder: { user: 'bob', pod: undefined },
};

const RELEASE_LOCK = {
  metadata: { namespace: 'prod', name: 'api', uid: 'rl-1', resourceVersion: '17' },
} as ReleaseLock;

function answer(verdict = 'expired', sighting: Partial<Sighting> = {}): Answer {
  const judgement = { verdict, reason: 'no sign of life for 16m', staleInSeconds: 0 };
  const seen: Sighting = { lock: LOCK, judgement, waiting: 0, releaseLock: RELEASE_LOCK, ...sighting };
  return { sightings: [seen], gaps: [], drivers: ['secrets'], lockkeeper: 'there' };
}

/** Of what is asked of the API server, only the deletion counts. @param onDelete what it throws, if anything */
function clearing(onDelete: () => Error | undefined, { after = 'failed' } = {}) {
  const clock = fakeClock();
  const notes: string[] = [];
  const deleted: unknown[] = [];
  const stopping = new AbortController();
  const cluster = {
    connection: { date: () => NOW },
    whoAmI: async () => 'alice',
    reader: { all: async () => [{ ...LOCK.revision, status: after }] },
    requests: {
      async write(method: string, path: string, body: { preconditions: unknown }) {
        deleted.push([method, path, body.preconditions]);
        const error = onDelete();
        if (error) throw error;
      },
    },
  } as unknown as Cluster;
  const clearStale = createClearStale({
    cluster,
    command: 'lockkeeper wait',
    staleAfterSeconds: 900,
    note: (line) => notes.push(line),
    clock,
    signal: stopping.signal,
  });
  return { clearStale, clock, notes, deleted, stopping };
}

const denied = (code: number, words: string) =>
  new KubernetesError(
    'DELETE /x',
    code,
    `admission webhook "releaselocks.lockkeeper.dev" denied the request: ${words}`,
  );

t.test(
  'a stale lock is cleared in the version that was seen, and it is told who did so and why',
  async (t) => {
    const { clearStale, notes, deleted } = clearing(() => undefined);
    t.equal(await clearStale(answer()), true, 'look again');
    t.same(deleted, [
      [
        'DELETE',
        '/apis/lockkeeper.dev/v1alpha1/namespaces/prod/releaselocks/api',
        { uid: 'rl-1', resourceVersion: '17' },
      ],
    ]);
    t.same(notes, [
      'cleared a stale lock: revision 6 (pending-upgrade, 16m, bob) of release prod/api is marked as failed, in the name of alice. Cause: no sign of life for 16m',
    ]);
  },
);

t.test('nothing is asked for without a stale lock', async (t) => {
  const { clearStale, notes, deleted } = clearing(() => undefined);
  for (const verdict of ['live', 'ending', 'parked'])
    t.equal(await clearStale(answer(verdict)), false, verdict);
  t.equal(await clearStale({ ...answer(), sightings: [] }), false, 'free');
  t.same([deleted, notes], [[], []]);
  const never = { ...LOCK, holder: { user: 'klipper', pod: undefined, neverAutoClear: true } } as const;
  t.equal(await clearStale(answer('dead-holder', { lock: never })), false);
  t.equal(await clearStale(answer('dead-holder', { lock: never })), false);
  t.same(deleted, []);
  t.match(notes, [
    /is left alone: this installation lets nobody but a person clear it\. To clear it: lockkeeper clear api -n prod$/,
  ]);
  t.equal(notes.length, 1, 'once');
});

t.test(
  'Lockkeeper keeps it: it is asked again after half a minute, or when the lock has changed',
  async (t) => {
    const { clearStale, clock, notes, deleted } = clearing(() =>
      denied(409, 'It counts as live: created 42s ago. End it: kubectl delete rlock api'),
    );
    const tries = async (seen: Answer) => {
      deleted.length = 0;
      t.equal(await clearStale(seen), false);
      return deleted.length;
    };
    t.equal(await tries(answer()), 1);
    t.equal(await tries(answer()), 0, 'at once');
    clock.advance(29_999);
    t.equal(await tries(answer()), 0, 'soon');
    t.equal(await tries(answer('dead-holder')), 1, 'another verdict');
    t.equal(await tries(answer('dead-holder')), 0);
    clock.advance(30_000);
    t.equal(await tries(answer('dead-holder')), 1, 'later');
    t.same(notes, [
      'the stale lock of release prod/api was not cleared. Lockkeeper says: It counts as live: created 42s ago.',
    ]);
  },
);

t.test('what stands in the way of a clear is told, and waited for', async (t) => {
  const rbac =
    'releaselocks.lockkeeper.dev "api" is forbidden: User "alice" cannot delete resource "releaselocks" in API group "lockkeeper.dev" in the namespace "prod"';
  const rows: [Error, string][] = [
    [
      new KubernetesError('DELETE /x', 403, rbac),
      'you may not clear the lock of release prod/api: that takes the right to delete releaselocks.lockkeeper.dev in namespace prod, which the role edit usually has',
    ],
    [
      denied(403, 'alice may not'),
      'the stale lock of release prod/api was not cleared, because Lockkeeper takes it for live',
    ],
    [
      new KubernetesError('DELETE /x', 503, 'overloaded'),
      'the stale lock of release prod/api was not cleared: DELETE /x: 503 overloaded',
    ],
  ];
  for (const [error, note] of rows) {
    const { clearStale, clock, notes } = clearing(() => error);
    t.equal(await clearStale(answer()), false);
    clock.advance(30_000);
    t.equal(await clearStale(answer()), false);
    t.same(notes, [note], 'once');
  }
});

t.test('somebody else was first: look again, and try again if it is still there', async (t) => {
  const errors = [new KubernetesError('DELETE /x', 409, 'the UID in the precondition'), undefined];
  const { clearStale, notes, deleted } = clearing(() => errors.shift());
  t.equal(await clearStale(answer()), true);
  t.same(notes, []);
  t.equal(await clearStale(answer()), true);
  t.equal(deleted.length, 2);
});

t.test('whoever ends the wait ends the clear', async (t) => {
  const { clearStale, notes, stopping } = clearing(() => {
    stopping.abort(new Error('the job was cancelled'));
    return new Error('aborted');
  });
  await t.rejects(clearStale(answer()), { message: 'the job was cancelled' });
  t.same(notes, []);
});
