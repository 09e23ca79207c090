/** Design §4.2: who may still be at work, by the age of the last sign of life. */
import t from 'tap';
import { judge } from '../../src/gate/verdict.ts';
import { limits } from '../support/limits.ts';
import { revision } from '../support/revisions.ts';

const NOW = Date.parse('2026-11-22T13:00:00Z');
const LIMITS = limits(900);

/** A lock that was created, and last written, so many seconds before now. */
function judgeLock(createdAgo: number, writtenAgo: number) {
  const createdAt = NOW - createdAgo * 1000;
  const lastWriteAt = NOW - writtenAgo * 1000;
  const lock = { revision: revision(6, 'pending-upgrade', { createdAt, lastWriteAt }), holder: undefined };
  return judge(lock, LIMITS, NOW);
}

t.test(
  'given a lock and its last write, when it is judged, then it is live for 900 s from that',
  async (t) => {
    const rows: [string, number, number, string, number, string][] = [
      ['just created', 0, 0, 'live', 900, 'created 0s ago, stale in 15m unless it is written again'],
      ['created', 42, 42, 'live', 858, 'created 42s ago, stale in 14m18s unless it is written again'],
      ['at work', 4_000, 42, 'live', 858, 'last written 42s ago, stale in 14m18s unless it is written again'],
      ['1 s left', 899, 899, 'live', 1, 'created 14m59s ago, stale in 1s unless it is written again'],
      [
        '1 ms left',
        899.999,
        899.999,
        'live',
        1,
        'created 14m59s ago, stale in 1s unless it is written again',
      ],
      ['none left', 900, 900, 'expired', 0, 'no sign of life for 15m, and 15m are enough'],
      ['long silent', 9_000, 4_000, 'expired', 0, 'no sign of life for 1h6m, and 15m are enough'],
      ['by a clock ahead', -5, -5, 'live', 900, 'created 0s ago, stale in 15m unless it is written again'],
    ];
    for (const [given, createdAgo, writtenAgo, verdict, staleInSeconds, reason] of rows) {
      t.same(judgeLock(createdAgo, writtenAgo), { verdict, reason, staleInSeconds }, `${given}: ${verdict}`);
    }
  },
);

t.test('given a record that carries no time, then it is not taken for old', async (t) => {
  const lock = { revision: revision(6, 'pending-upgrade', { createdAt: 0 }), holder: undefined };
  t.match(judge(lock, LIMITS, NOW), { verdict: 'live', staleInSeconds: 900 });
});

t.test(
  'given a holder whose pod has ended, then it is dead when its token is good for nothing any more',
  async (t) => {
    const pod = { namespace: 'ci', name: 'runner-7f9c', uid: 'pod-1' };
    const holder = { user: 'system:serviceaccount:ci:runner', pod, podKind: 'job' } as const;
    const named = 'its holder, pod ci/runner-7f9c, is gone';
    const waits = (left: string) => `${named}; it is stale in ${left}`;
    const rows: [string, number, object][] = [
      ['just now', 0, { verdict: 'ending', reason: waits('11s'), staleInSeconds: 11 }],
      ['1 ms left', 10.999, { verdict: 'ending', reason: waits('1s'), staleInSeconds: 1 }],
      ['none left', 11, { verdict: 'dead-holder', reason: named, staleInSeconds: 0 }],
      ['long ago', 9_000, { verdict: 'dead-holder', reason: named, staleInSeconds: 0 }],
      ['by a clock ahead', -100, { verdict: 'ending', reason: waits('11s'), staleInSeconds: 11 }],
    ];
    for (const [given, provenAgo, judgement] of rows) {
      const death = { how: 'is gone', provenAt: NOW - provenAgo * 1000 };
      // Also one that is expired: what is proven counts for more.
      for (const lastWriteAt of [NOW, NOW - 9_000_000]) {
        const held = revision(6, 'pending-upgrade', { createdAt: NOW - 9_000_000, lastWriteAt });
        t.strictSame(judge({ revision: held, holder, death }, LIMITS, NOW), judgement, given);
      }
    }
  },
);

t.test('given a running job pod, then it may be silent for longer', async (t) => {
  const pod = { namespace: 'ci', name: 'runner-7f9c', uid: 'pod-1' };
  for (const [podKind, silence, verdict] of [
    ['job', 7_199, 'live'],
    ['job', 7_200, 'expired'],
    ['gateway', 899, 'live'],
    ['gateway', 900, 'expired'],
  ] as const) {
    const held = revision(6, 'pending-upgrade', { createdAt: NOW - silence * 1000 });
    const holder = { user: 'runner', pod, podKind };
    t.equal(judge({ revision: held, holder }, LIMITS, NOW).verdict, verdict, `${podKind}, ${silence} s`);
  }
  const held = revision(6, 'pending-upgrade', { createdAt: NOW - 900_000 });
  t.equal(
    judge({ revision: held, holder: { user: 'runner', pod } }, LIMITS, NOW).verdict,
    'expired',
    'no kind',
  );
});

t.test('given what was seen of a silence, then the dates of the record count no more', async (t) => {
  const held = revision(6, 'pending-upgrade', { createdAt: NOW - 9_000_000 });
  const lock = { revision: held, holder: undefined, silentSince: 1_000 };
  t.match(judge(lock, LIMITS, 43_000), { verdict: 'live', staleInSeconds: 858 });
  t.match(judge(lock, LIMITS, 901_000), { verdict: 'expired' });
});

t.test('given a holder that is no job pod, then no pod’s death is its own', async (t) => {
  const death = { how: 'is gone', provenAt: NOW - 60_000 };
  const pod = { namespace: 'ci', name: 'runner-7f9c', uid: 'pod-1' };
  const gateway = { user: 'runner', pod, podKind: 'gateway' } as const;
  for (const holder of [undefined, { user: 'alice', pod: undefined }, gateway, { user: 'runner', pod }]) {
    const lock = { revision: revision(6, 'pending-upgrade', { createdAt: NOW }), holder, death };
    t.match(judge(lock, LIMITS, NOW), { verdict: 'live', staleInSeconds: 900 });
  }
});
