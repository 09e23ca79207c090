/** Why nothing was cleared, and what to do instead. */
import t from 'tap';
import {
  hasChanged,
  keptByLockkeeper,
  lacking,
  lackingForce,
  notCleared,
  readRefusal,
  withoutCommands,
} from '../../src/cli/refusals.ts';
import type { Sighting } from '../../src/cli/sightings.ts';
import type { Lock } from '../../src/gate/lock.ts';
import { keptAlive, lostTo, notCleared as notClearedByGate } from '../../src/gate/release-lock-words.ts';

const lock = {
  revision: {
    release: { driver: 'secrets', namespace: 'prod', name: 'api' },
    number: 6,
    status: 'pending-upgrade',
    createdAt: 0,
  },
  holder: { user: 'alice', pod: undefined },
} as Lock;

const LIVE = { verdict: 'live', reason: 'created 5s ago', staleInSeconds: 895 } as const;

const sighting = (verdict = 'live'): Sighting => ({
  lock,
  judgement: { ...LIVE, verdict },
  waiting: 0,
  releaseLock: undefined,
});

t.test('why a record was not edited', async (t) => {
  const table: [Parameters<typeof notCleared>[0], number, string][] = [
    [
      { kind: 'live', lock, judgement: LIVE },
      4,
      'release prod/api is locked by revision 6 (pending-upgrade, 5s, alice), and that lock is live: created 5s ago. Nothing was changed. If you know that its holder is dead: lockkeeper clear api -n prod --force',
    ],
    [
      { kind: 'unreadable', lock, words: 'it has no info' },
      1,
      'revision 6 of release prod/api cannot be marked as failed: it has no info. Nothing was changed. To remove its record as it is: lockkeeper clear api -n prod --strategy delete',
    ],
    [
      { kind: 'changed', lock, words: 'revision 6 is deployed now' },
      8,
      'the lock changed while it was being cleared: revision 6 is deployed now',
    ],
    [{ kind: 'free' }, 8, 'the lock has changed since it was looked at. Nothing was changed'],
    [{ kind: 'other', lock }, 8, 'the lock has changed since it was looked at. Nothing was changed'],
  ];
  for (const [outcome, code, message] of table)
    t.match(notCleared(outcome, 5_000), { code, message }, outcome.kind);
  t.match(hasChanged(), { code: 8 });
});

/** As src/kubernetes/requests.ts throws it. */
const answer = (status: number, words: string) =>
  Object.assign(new Error(`DELETE /x: ${status} ${words}`), { status });

const denied = (status: number, words: string, webhook = 'releaselocks.lockkeeper.dev') =>
  answer(status, `admission webhook "${webhook}" denied the request: ${words}`);

t.test('what an answer means', async (t) => {
  const rbac =
    'releaselocks.lockkeeper.dev "api" is forbidden: User "bob" cannot delete resource "releaselocks" in API group "lockkeeper.dev" in the namespace "prod"';
  const table: [string, Error, object | undefined][] = [
    [
      'RBAC',
      answer(403, rbac),
      {
        kind: 'right',
        right: { verb: 'delete', resource: 'releaselocks', group: 'lockkeeper.dev', namespace: 'prod' },
      },
    ],
    ['a refusal that names no right', answer(403, 'namespace prod is being terminated'), undefined],
    ['Lockkeeper, of a right', denied(403, 'bob may not delete releaselocks/force'), { kind: 'force' }],
    ['Lockkeeper, of a live lock', denied(409, 'it is live'), { kind: 'kept', words: 'it is live' }],
    ['in several lines', denied(409, 'it is\nlive'), { kind: 'kept', words: 'it is\nlive' }],
    ['a webhook of somebody else', denied(403, 'no', 'lockkeeper.dev.example.com'), undefined],
    ['a name that only ends alike', denied(409, 'no', 'notlockkeeper.dev'), undefined],
    ['another version', answer(409, 'the object has been modified'), { kind: 'changed' }],
    ['nothing there', answer(404, 'releaselocks "api" not found'), { kind: 'changed' }],
    ['an outage', answer(503, 'no'), undefined],
    ['no answer', new Error('connection lost'), undefined],
  ];
  for (const [what, error, expected] of table) t.same(readRefusal(error), expected, what);
});

t.test('the commands for kubectl are taken out of the words of Lockkeeper, and nothing else', async (t) => {
  const kept = 'release prod/api is locked by revision 6 (pending-upgrade, 5s, alice). Nothing was changed.';
  const became = 'the lock of release prod/api was not cleared:';
  for (const [words, expected] of [
    [
      keptAlive({ lock, judgement: LIVE }, 5_000),
      `${kept} Wait for it, or ask its holder: it counts as live (created 5s ago).`,
    ],
    [lostTo(lock, 'revision 6 is deployed now'), `${became} revision 6 is deployed now. Nothing was lost.`],
    [notClearedByGate(lock, 'it is no gzip'), `${became} it is no gzip.`],
    ['End it: lockkeeper clear api -n prod', ''],
    ['Alice (kubectl.user) is at work', 'Alice (kubectl.user) is at work'],
  ] as const) {
    t.equal(withoutCommands(words), expected);
  }
});

t.test('Lockkeeper keeps a lock: what to do, with one command at most, and at the end', async (t) => {
  const right = 'the right to delete releaselocks/force in namespace prod, which the role admin usually has';
  const command = 'lockkeeper clear api -n prod';
  type Row = [words: string, verdict: string, force: boolean, mayForce: boolean | undefined, way: string];
  const rows: Row[] = [
    ['A.', 'live', false, true, `A. If you know that its holder is dead: ${command} --force`],
    [
      'A.',
      'live',
      false,
      undefined,
      `A. If you know that its holder is dead, and have ${right}: ${command} --force`,
    ],
    ['A.', 'live', false, false, `A. To clear it all the same takes ${right}`],
    ['A.', 'ending', false, true, 'A. Wait: it ends by itself'],
    ['A.', 'live', true, undefined, 'A.'],
    [
      'The lock was not cleared: it is no gzip.',
      'expired',
      false,
      true,
      `The lock was not cleared: it is no gzip. To remove its record as it is: ${command} --strategy delete`,
    ],
    ['', 'live', true, undefined, 'Lockkeeper keeps the lock of release prod/api.'],
  ];
  for (const [words, verdict, force, mayForce, message] of rows) {
    t.match(keptByLockkeeper(words, sighting(verdict), { force, mayForce }), { code: 4, message });
  }
});

t.test('a right that is missing, and who usually has it', async (t) => {
  const right = { verb: 'delete', resource: 'releaselocks', group: 'lockkeeper.dev', namespace: 'prod' };
  t.match(lacking(right, sighting()), {
    code: 7,
    message:
      'you may not clear the lock of release prod/api: that takes the right to delete releaselocks.lockkeeper.dev in namespace prod, which the role edit usually has',
  });
  t.match(lackingForce(sighting(), 5_000), {
    code: 7,
    message:
      'you may not clear a live lock: that takes the right to delete releaselocks/force in namespace prod, which the role admin usually has. Nothing was changed: release prod/api is locked by revision 6 (pending-upgrade, 5s, alice), live: created 5s ago',
  });
});
