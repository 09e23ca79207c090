/** What a command that waits does about each lock that can be in its way. */
import t from 'tap';
import { outlookOf } from '../../src/cli/outlook.ts';
import type { ReleaseLock } from '../../src/cli/release-locks.ts';
import type { Sighting } from '../../src/cli/sightings.ts';
import { wayToClear } from '../../src/cli/stale-lock.ts';
import { judgedAndWhatNow } from '../../src/cli/words.ts';
import type { Lock } from '../../src/gate/lock.ts';

const revision = {
  release: { driver: 'secrets', namespace: 'prod', name: 'api' },
  number: 6,
  status: 'pending-upgrade',
  createdAt: 0,
};

const sighting = (verdict: string, more: Partial<Sighting> = {}): Sighting => ({
  lock: { revision, holder: undefined } as Lock,
  judgement: { verdict, reason: 'for a reason', staleInSeconds: 0 },
  waiting: 0,
  releaseLock: undefined,
  ...more,
});

const releaseLock = (annotations?: Record<string, string>) => ({ metadata: { annotations } }) as ReleaseLock;

const heldBy = (holder: Lock['holder']) => ({ lock: { revision, holder } as Lock });

t.test('only a stale lock is cleared, by Lockkeeper where there is one', async (t) => {
  const known = releaseLock();
  const forced = releaseLock({ 'lockkeeper.dev/force': 'true' });
  const takenBack = releaseLock({ 'lockkeeper.dev/force': 'false' });
  const never = heldBy({ user: 'klipper', pod: undefined, neverAutoClear: true });
  const rows: [string, Sighting, Parameters<typeof wayToClear>[1], object][] = [
    ...['live', 'ending', 'parked', ''].flatMap(
      (verdict): [string, Sighting, 'there' | 'absent', object][] => [
        [verdict, sighting(verdict, { releaseLock: known }), 'there', { kind: 'wait' }],
        [`${verdict}, no Lockkeeper`, sighting(verdict), 'absent', { kind: 'wait' }],
      ],
    ),
    ...['dead-holder', 'expired'].map((verdict): [string, Sighting, 'there', object] => [
      verdict,
      sighting(verdict, { releaseLock: known }),
      'there',
      { kind: 'ask-lockkeeper', releaseLock: known },
    ]),
    ['no Lockkeeper', sighting('expired'), 'absent', { kind: 'edit-record' }],
    ['not judged yet', sighting('expired'), 'there', { kind: 'wait' }],
    [
      'ReleaseLocks that this user may not see',
      sighting('expired'),
      'hidden',
      {
        kind: 'leave',
        why: 'the lock of release prod/api is stale, and is left alone: whether Lockkeeper says so cannot be seen without the right to list releaselocks.lockkeeper.dev in namespace prod, which the role view usually has. To clear it: lockkeeper clear api -n prod',
      },
    ],
    [
      'a mark',
      sighting('expired', { releaseLock: forced }),
      'there',
      { kind: 'leave', why: /is about to clear it by force/ },
    ],
    [
      'a mark that was taken back',
      sighting('expired', { releaseLock: takenBack }),
      'there',
      { kind: 'ask-lockkeeper' },
    ],
    [
      'a holder of that kind',
      sighting('expired', { ...never, releaseLock: known }),
      'there',
      { kind: 'leave', why: /nobody but a person/ },
    ],
    ['the same, live', sighting('live', { ...never, releaseLock: known }), 'there', { kind: 'wait' }],
  ];
  for (const [what, seen, presence, way] of rows) t.match(wayToClear(seen, presence), way, what);
});

t.test('what to do about a lock: wait, ask, or end it', async (t) => {
  const who = { user: 'alice', pod: { namespace: 'ci', name: 'runner-1', uid: 'u' } };
  const locked = (verdict: string, holder = 'holder unknown') =>
    `release prod/api is locked by revision 6 (pending-upgrade, 42s, ${holder}), ${verdict}: for a reason.`;
  const rows: [Sighting, string][] = [
    [sighting('live'), `${locked('live')} Its deploy may be at work: wait for it`],
    [
      sighting('live', heldBy(who)),
      `${locked('live', 'alice in pod ci/runner-1')} Its deploy may be at work: wait for it, or ask alice in pod ci/runner-1`,
    ],
    [sighting('ending'), `${locked('ending')} Wait: it ends by itself`],
    [sighting('expired'), `${locked('expired')} It is stale. To clear it: lockkeeper clear api -n prod`],
    [
      sighting('dead-holder'),
      `${locked('dead-holder')} It is stale. To clear it: lockkeeper clear api -n prod`,
    ],
    [sighting('parked'), `${locked('parked')} Wait: this version of lockkeeper does not know that verdict`],
  ];
  for (const [seen, words] of rows) t.equal(judgedAndWhatNow(seen, 42_000), words);
  t.equal(outlookOf({ verdict: 'constructor' }), 'unknown', 'whatever it is called');
});
