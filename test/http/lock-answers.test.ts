/** What the endpoints say, word for word. */
import t from 'tap';
import type { ClearOutcome } from '../../src/gate/clearing.ts';
import type { Lock } from '../../src/gate/lock.ts';
import { stillLocked } from '../../src/http/lock-answers.ts';
import { EXPIRED, LIVE, LOCK, LOCK_JSON, restApp } from '../support/app.ts';
import { revision } from '../support/revisions.ts';
import { undocumented } from './documented.ts';

const API = '/api/v1/namespaces/prod/locks/api';
const HELD =
  'release prod/api is locked by revision 7 (pending-upgrade, system:serviceaccount:ci:runner in pod ci/runner-7f9c)';
const FREE = {
  type: 'about:blank',
  title: 'Not Found',
  status: 404,
  detail: 'release prod/api is not locked: its newest revision is not pending, or there is none',
};

t.test('locks as JSON', async (t) => {
  const second = Date.parse('2026-11-22T13:00:00Z');
  for (const [name, lock, expected] of [
    ['held from a pod', LOCK, LOCK_JSON],
    [
      'held by a person',
      { ...LOCK, holder: { user: 'alice', pod: undefined } },
      { ...LOCK_JSON, holder: { user: 'alice', pod: null } },
    ],
    ['held by nobody knows whom', { ...LOCK, holder: undefined }, { ...LOCK_JSON, holder: null }],
    [
      'of another release, times in whole seconds',
      {
        holder: undefined,
        revision: revision(12, 'pending-install', {
          release: { driver: 'configmaps', namespace: 'dev', name: 'a.b' },
          createdAt: second,
          lastWriteAt: second + 61_001,
        }),
      },
      {
        ...LOCK_JSON,
        namespace: 'dev',
        release: 'a.b',
        revision: 12,
        status: 'pending-install',
        since: '2026-11-22T13:00:00Z',
        lastActivity: '2026-11-22T13:01:01Z',
        holder: null,
      },
    ],
  ] as [string, Lock, object][]) {
    const { send } = await restApp(t, { find: async () => ({ lock }), list: async () => [lock, LOCK] });
    const { status, headers, body } = await send('GET', API);
    t.equal(status, 200, name);
    t.equal(headers['content-type'], 'application/json; charset=utf-8');
    t.equal(headers['lockkeeper-record-uid'], lock.revision.uid);
    t.strictSame(body, expected, name);
    t.strictSame(
      (await send('GET', '/api/v1/locks')).body,
      { items: [expected, LOCK_JSON] },
      'in the order given',
    );
  }
});

t.test('each lock is judged, and who waits for it is counted', async (t) => {
  const other: Lock = { ...LOCK, revision: revision(3, 'pending-rollback') };
  const { send, asked } = await restApp(t, {
    list: async () => [LOCK, other],
    judge: (lock) => (lock === LOCK ? LIVE : EXPIRED),
    waiting: (lock) => (lock === LOCK ? 0 : 41),
  });
  const { body } = await send('GET', '/api/v1/namespaces/prod/locks');
  t.match(body.items, [
    { revision: 7, verdict: 'live', reason: 'last written 1m ago', waiting: 0 },
    { revision: 3, verdict: 'expired', reason: 'no sign of life for 20m', waiting: 41 },
  ]);
  await send('GET', '/api/v1/locks');
  t.strictSame(asked.list, ['prod', undefined]);
});

t.test('given no lock, then 404 says that this is good news', async (t) => {
  const { send, asked } = await restApp(t, { find: async () => undefined, list: async () => [] });
  const { status, body } = await send('GET', API);
  t.equal(status, 404);
  t.strictSame(body, FREE);
  t.strictSame(asked.find, [{ namespace: 'prod', name: 'api' }]);
  t.strictSame((await send('GET', '/api/v1/locks')).body, { items: [] });
});

t.test('given the lock was cleared, then the answer tells how, what it was, and what to type', async (t) => {
  const next = ['helm rollback api 6 -n prod', 'helm upgrade api CHART -n prod'];
  const { send } = await restApp(t, {
    clear: async () => ({ kind: 'cleared', lock: LOCK, judgement: EXPIRED, next }),
  });
  const cleared = { ...LOCK_JSON, verdict: 'expired', reason: 'no sign of life for 20m' };
  for (const [query, strategy] of [
    ['', 'mark-failed'],
    ['?strategy=delete', 'delete'],
  ]) {
    const { status, body } = await send('DELETE', `${API}${query}`);
    t.equal(status, 200);
    t.strictSame(body, { cleared, strategy, next }, 'the verdict is the one that it was cleared on');
  }
});

const NOT_CLEARED: readonly [string, Exclude<ClearOutcome, { kind: 'cleared' }>, string, object][] = [
  ['there is no lock', { kind: 'free' }, '', FREE],
  [
    'another revision holds it',
    { kind: 'other', lock: LOCK },
    '?revision=6',
    conflict(`${HELD}, not by revision 6. Nothing was changed. Look again before you clear it`, LOCK_JSON),
  ],
  [
    'another record holds it',
    { kind: 'other', lock: LOCK },
    '?uid=u-6',
    conflict(`${HELD}, not by uid u-6. Nothing was changed. Look again before you clear it`, LOCK_JSON),
  ],
  [
    'another revision and record hold it',
    { kind: 'other', lock: LOCK },
    '?revision=6&uid=u-6',
    conflict(
      `${HELD}, not by revision 6 with uid u-6. Nothing was changed. Look again before you clear it`,
      LOCK_JSON,
    ),
  ],
  [
    'it is live',
    { kind: 'live', lock: LOCK, judgement: LIVE },
    '',
    conflict(
      `${HELD}, and that lock is live: last written 1m ago. Nothing was changed. Clear it once it is stale; or now, if you know that its holder is dead, with force=true. That takes the right to delete releaselocks/force, which a namespace admin usually has`,
      LOCK_JSON,
    ),
  ],
  [
    'somebody was first',
    { kind: 'changed', lock: LOCK, words: 'revision 7 is deployed now' },
    '',
    conflict(
      'the lock of release prod/api changed while it was being cleared: revision 7 is deployed now. Nothing was changed by this request',
    ),
  ],
  [
    'its record cannot be edited',
    { kind: 'unreadable', lock: LOCK, words: 'it is not gzipped' },
    '',
    {
      type: 'about:blank',
      title: 'Unprocessable Entity',
      status: 422,
      detail:
        'revision 7 of release prod/api cannot be marked failed: it is not gzipped. Nothing was changed. strategy=delete removes the record as it is',
      lock: LOCK_JSON,
    },
  ],
  [
    'its label is wrong',
    { kind: 'unreadable', lock: LOCK, words: 'the release in it is deployed', ownStatus: 'deployed' },
    '',
    {
      type: 'about:blank',
      title: 'Unprocessable Entity',
      status: 422,
      detail:
        'revision 7 of release prod/api cannot be marked failed: the release in it is deployed. Nothing was changed. Its label is wrong: kubectl label secret sh.helm.release.v1.api.v7 -n prod status=deployed --overwrite',
      lock: LOCK_JSON,
    },
  ],
];

function conflict(detail: string, lock?: object) {
  return { type: 'about:blank', title: 'Conflict', status: 409, detail, ...(lock && { lock }) };
}

for (const [name, outcome, query, problem] of NOT_CLEARED) {
  t.test(`given a lock is to be cleared, when ${name}, then a problem says so`, async (t) => {
    const { send } = await restApp(t, { clear: async () => outcome });
    const document = (await send('GET', '/openapi.json')).body;
    const answer = await send('DELETE', `${API}${query}`);
    t.match(answer, { status: answer.body.status });
    t.equal(answer.headers['content-type'], 'application/problem+json; charset=utf-8');
    t.strictSame(answer.body, problem);
    t.equal(undocumented(document, 'DELETE', API, answer), undefined, 'as documented');
  });
}

t.test('given a holder is not known, then the words say that', async (t) => {
  const lock = { ...LOCK, holder: undefined };
  const { send } = await restApp(t, { clear: async () => ({ kind: 'live', lock, judgement: LIVE }) });
  t.match((await send('DELETE', API)).body.detail, 'by revision 7 (pending-upgrade, holder unknown), and');
});

t.test('HEAD is what GET is, without the words', async (t) => {
  const { send } = await restApp(t);
  t.match(await send('HEAD', API), {
    status: 200,
    body: '',
    headers: { 'lockkeeper-record-uid': 'uid-of-7' },
  });
});

t.test('given a lock that is stale at the end of a wait, then the answer says how to clear it', async (t) => {
  const stale = { ...LOCK_JSON, verdict: 'expired', reason: 'no sign of life for 20m' } as const;
  t.match(stillLocked(stale, 50), {
    statusCode: 409,
    message:
      'release prod/api is still locked after 50s, by revision 7 (pending-upgrade, expired: no sign of life for 20m). ' +
      'To clear it: DELETE it with revision=7, without /wait',
    members: { lock: stale },
  });
});
