/** Records decide, ReleaseLocks tell. */
import t from 'tap';
import type { ReleaseLock } from '../../src/cli/release-locks.ts';
import { combine } from '../../src/cli/sightings.ts';
import { judgedAndWhatNow } from '../../src/cli/words.ts';
import type { Lock } from '../../src/gate/lock.ts';

const AT = Date.parse('2026-11-23T03:00:00Z');

const lock = (name: string, uid: string, driver: 'secrets' | 'configmaps' = 'secrets'): Lock => ({
  revision: {
    release: { driver, namespace: 'prod', name },
    number: 6,
    status: 'pending-upgrade',
    uid,
    resourceVersion: '1',
    createdAt: AT,
    lastWriteAt: AT,
  },
  holder: undefined,
});

const releaseLock = (name: string, recordUID: string, more: Partial<ReleaseLock> = {}): ReleaseLock => ({
  metadata: { namespace: 'prod', name, uid: `lock-${recordUID}` },
  spec: {
    driver: 'secrets',
    revision: 6,
    status: 'pending-upgrade',
    recordUID,
    since: '2026-11-23T03:00:00Z',
  },
  ...more,
});

const judge = () => ({ verdict: 'live', reason: 'judged here', staleInSeconds: 60 }) as const;

const STATUS = { status: { verdict: 'expired', lastActivity: '2026-11-23T03:01:00Z', waiting: 3 } } as const;

t.test(
  'the record is there: its ReleaseLock names the holder and the verdict, if it is of this record',
  async (t) => {
    const sightings = combine(
      {
        locks: [lock('web', 'w'), lock('api', 'a'), lock('new', 'n')],
        drivers: ['secrets'],
        releaseLocks: [
          releaseLock('api', 'a', STATUS),
          releaseLock('web', 'old', STATUS),
          releaseLock('new', 'n'),
        ],
      },
      judge,
    );
    t.match(sightings, [
      { lock: { revision: { uid: 'a' } }, judgement: { verdict: 'expired', reason: '' }, waiting: 3 },
      { lock: { revision: { uid: 'n' } }, judgement: { reason: 'judged here' }, waiting: 0 },
      {
        lock: { revision: { uid: 'w' } },
        judgement: { reason: 'judged here' },
        waiting: 0,
        releaseLock: undefined,
      },
    ]);
    t.equal(sightings.length, 3);
    const [first] = sightings;
    t.equal(
      first && judgedAndWhatNow(first, AT + 60_000),
      'release prod/api is locked by revision 6 (pending-upgrade, 1m, holder unknown), expired. It is stale. To clear it: lockkeeper clear api -n prod',
    );
  },
);

t.test('records that may not be read: the ReleaseLock is the word', async (t) => {
  const releaseLocks = [releaseLock('api', 'a', STATUS), releaseLock('web', 'w')];
  t.match(combine({ locks: [], drivers: ['configmaps'], releaseLocks }, judge), [
    { lock: { revision: { number: 6, lastWriteAt: AT + 60_000 } }, waiting: 3 },
    { lock: { revision: { lastWriteAt: AT } }, judgement: { verdict: 'live' } },
  ]);
  t.same(
    combine({ locks: [], drivers: ['secrets'], releaseLocks }, judge),
    [],
    'it ended: nobody holds them',
  );
});
