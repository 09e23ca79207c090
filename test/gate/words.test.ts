/** What people read at 3 a.m. */
import t from 'tap';
import type { Lock } from '../../src/gate/lock.ts';
import { judge } from '../../src/gate/verdict.ts';
import {
  clearedOnTheWay,
  duration,
  guarded,
  locked,
  lostTheRace,
  malformed,
  waitedTooLong,
  wayOut,
  who,
  wouldClear,
  wouldWait,
} from '../../src/gate/words.ts';
import type { Driver } from '../../src/helm/release.ts';
import { limits } from '../support/limits.ts';
import { revision } from '../support/revisions.ts';

const NOW = Date.parse('2026-11-22T13:00:00Z');

const runner = {
  user: 'system:serviceaccount:ci:runner',
  pod: { namespace: 'ci', name: 'runner-7f9c', uid: 'f4ff' },
};

function lock(driver: Driver = 'secrets', name = 'api'): Lock {
  const release = { driver, namespace: 'prod', name };
  return {
    revision: revision(6, 'pending-upgrade', { release, createdAt: NOW - 42_000 }),
    holder: runner,
  };
}

t.test(
  'every refusal says which revision, since when, who, what was not changed, and what to type',
  async (t) => {
    const judged = { lock: lock(), judgement: judge(lock(), limits(900), NOW) };
    for (const [name, text] of [
      ['sent away', locked(judged, NOW)],
      ['waited too long', waitedTooLong(judged, 300, NOW)],
      ['dry run', wouldWait(judged, NOW)],
    ] as const) {
      t.match(
        text,
        'release prod/api is locked by revision 6 (pending-upgrade, 42s, system:serviceaccount:ci:runner in pod ' +
          'ci/runner-7f9c). Nothing was changed.',
        name,
      );
      t.match(
        text,
        'Wait for it, or ask its holder: it counts as live (created 42s ago, stale in 14m18s unless it is written ' +
          'again). To see the lock: helm history api -n prod. If you know that its holder is dead, mark its record, ' +
          'which may then be deleted: ' +
          'kubectl annotate secret sh.helm.release.v1.api.v6 -n prod lockkeeper.dev/allow-delete=true',
        name,
      );
    }
    t.match(
      lostTheRace(lock(), 6, NOW),
      /there is revision 6 \(pending-upgrade, 42s, .*\) already\. Nothing was changed by yours\./,
    );
    t.match(lostTheRace(lock(), 6, NOW), /To see what the other did: helm history api -n prod$/);
    t.match(malformed('x', 'it is odd'), /^"x" is not .*: it is odd\. Nothing was changed\.$/);
  },
);

t.test('the commands work for releases kept in ConfigMaps, and for names with dots', async (t) => {
  const stale = lock('configmaps', 'app.v2');
  const text = locked({ lock: stale, judgement: judge(stale, limits(42), NOW) }, NOW);
  t.match(text, 'To see the lock: HELM_DRIVER=configmap helm history app.v2 -n prod.');
  t.match(
    text,
    / It is stale \(no sign of life for 42s, and 42s are enough\)\. To see the lock: HELM_DRIVER=configmap helm history app\.v2 -n prod\. End it with: kubectl delete configmap sh\.helm\.release\.v1\.app\.v2\.v6 -n prod$/,
  );
});

t.test('the way out of a live lock needs a mark, that of a stale one does not', async (t) => {
  const see = 'To see the lock: helm history api -n prod.';
  const dead = 'If you know that its holder is dead, mark its record, which may then be deleted:';
  const end = 'kubectl delete secret sh.helm.release.v1.api.v6 -n prod';
  const mark = 'kubectl annotate secret sh.helm.release.v1.api.v6 -n prod lockkeeper.dev/allow-delete=true';
  const wayOuts: [string, number, string][] = [
    [
      'live',
      900,
      'Wait for it, or ask its holder: it counts as live (created 42s ago, stale in 14m18s unless it is written again). ' +
        `${see} ${dead} ${mark}`,
    ],
    [
      'live for a second',
      43,
      'Wait for it, or ask its holder: it counts as live (created 42s ago, stale in 1s unless it is written again). ' +
        `${see} ${dead} ${mark}`,
    ],
    ['stale', 30, `It is stale (no sign of life for 42s, and 30s are enough). ${see} End it with: ${end}`],
  ];
  const locks =
    'release prod/api is locked by revision 6 (pending-upgrade, 42s, system:serviceaccount:ci:runner in pod ' +
    'ci/runner-7f9c). Nothing was changed.';
  for (const [given, staleAfterSeconds, wayOut] of wayOuts) {
    const judged = { lock: lock(), judgement: judge(lock(), limits(staleAfterSeconds), NOW) };
    t.equal(
      locked(judged, NOW),
      `${locks} Helm tries again by itself. If Helm prints this, it has given up: run your command again. ${wayOut}`,
      `${given}: sent away`,
    );
    t.equal(
      waitedTooLong(judged, 300, NOW),
      `${locks} Yours waited for 5m, which is as long as lockkeeper lets a deploy wait. ${wayOut}`,
      `${given}: waited too long`,
    );
    t.equal(
      wouldWait(judged, NOW),
      `${locks} This was a dry run: a real deploy would wait for it now. ${wayOut}`,
      `${given}: dry run`,
    );
  }
});

t.test('a lock that kubectl shows is seen and ended as what it shows', async (t) => {
  const listed = { ...lock(), isListed: true };
  const live = { lock: listed, judgement: judge(listed, limits(900), NOW) };
  t.match(
    guarded(live, NOW),
    / or ask its holder: it counts as live \(.*\)\. To see the lock: kubectl get rlock api -n prod\. If you know that its holder is dead, mark the lock, which may then be ended\. That takes the right to delete releaselocks\/force, which a namespace admin usually has: kubectl annotate rlock api -n prod lockkeeper\.dev\/force=true$/,
  );
  const death = { how: 'is gone', provenAt: NOW - 11_000 };
  const holder = listed.holder && { ...listed.holder, podKind: 'job' as const };
  const dead = { ...listed, holder, death };
  const ending = { ...dead, death: { how: 'is gone', provenAt: NOW - 2_000 } };
  t.match(
    locked({ lock: ending, judgement: judge(ending, limits(900), NOW) }, NOW),
    / Just wait: its holder, pod ci\/runner-7f9c, is gone; it is stale in 9s\. To see the lock: kubectl get rlock api -n prod$/,
  );
  t.match(
    locked({ lock: dead, judgement: judge(dead, limits(900), NOW) }, NOW),
    / It is stale \(its holder, pod ci\/runner-7f9c, is gone\)\. To see the lock: kubectl get rlock api -n prod\. End it with: kubectl delete rlock api -n prod$/,
  );
});

t.test('what a deploy reads that got past a stale lock', async (t) => {
  const judgement = judge(lock(), limits(30), NOW);
  t.equal(
    clearedOnTheWay(lock(), judgement),
    'lockkeeper marked revision 6 of prod/api as failed, which was pending-upgrade: no sign of life for 42s, and ' +
      '30s are enough',
  );
  t.equal(
    wouldClear(lock(), judgement),
    'lockkeeper would mark revision 6 of prod/api as failed, which is pending-upgrade: no sign of life for 42s, ' +
      'and 30s are enough',
  );
});

t.test('whoever deletes the record of a live lock reads what would happen, and the way', async (t) => {
  const live = lock('configmaps', 'app.v2');
  t.equal(
    guarded({ lock: live, judgement: judge(live, limits(900), NOW) }, NOW),
    'release prod/app.v2: revision 6 (pending-upgrade, 42s, system:serviceaccount:ci:runner in pod ' +
      'ci/runner-7f9c) is being deployed. Without its record another deploy could run beside it, so the record ' +
      'was kept. Wait for it, or ask its holder: it counts as live (created 42s ago, stale in 14m18s unless it is ' +
      'written again). To see the lock: HELM_DRIVER=configmap helm history app.v2 -n prod. If you know that its ' +
      'holder is dead, mark its record, which may then be deleted: ' +
      'kubectl annotate configmap sh.helm.release.v1.app.v2.v6 -n prod lockkeeper.dev/allow-delete=true',
  );
});

t.test(
  'a record that is marked is told as one that may be deleted, and not to be marked again',
  async (t) => {
    const annotations = { 'lockkeeper.dev/allow-delete': 'true' };
    const marked = { ...lock(), revision: { ...lock().revision, annotations } };
    const { holder: _, ...unknown } = marked;
    for (const [each, whom] of [
      [marked, 'or ask its holder: it'],
      [{ ...unknown, holder: undefined }, 'its holder is unknown, and it'],
    ] as const) {
      t.equal(
        wayOut(each, judge(each, limits(900), NOW)),
        `Wait for it, ${whom} counts as live (created 42s ago, stale in 14m18s unless it is written again). ` +
          'To see the lock: helm history api -n prod. Its record is marked as one that may be deleted. ' +
          'If you know that its holder is dead, end it with: kubectl delete secret sh.helm.release.v1.api.v6 -n prod',
      );
    }
  },
);

t.test('who', async (t) => {
  t.equal(who(runner), 'system:serviceaccount:ci:runner in pod ci/runner-7f9c');
  t.equal(who({ user: 'alice', pod: undefined }), 'alice');
  t.equal(who(undefined), 'holder unknown');
});

t.test('durations as kubectl writes ages', async (t) => {
  for (const [seconds, text] of [
    [0, '0s'],
    [0.9, '0s'],
    [42, '42s'],
    [60, '1m'],
    [192, '3m12s'],
    [3_600, '1h'],
    [3_601, '1h'],
    [7_500, '2h5m'],
    [86_400 * 3 + 3_600 * 4 + 59, '3d4h'],
    [-5, '0s'],
  ] as const) {
    t.equal(duration(seconds), text, `${seconds} seconds`);
  }
});
