import t from 'tap';
import { notCleared, refusalOf } from '../../src/cli/refusals.ts';
import type { Lock } from '../../src/gate/lock.ts';

const lock = {
  revision: {
    release: { driver: 'secrets', namespace: 'prod', name: 'api' },
    number: 6,
    status: 'pending-upgrade',
    createdAt: 0,
  },
  holder: { user: 'alice', pod: undefined },
} as Lock;

t.test('why nothing was cleared', async (t) => {
  const judgement = { verdict: 'live', reason: 'created 5s ago', staleInSeconds: 895 } as const;
  const table: [Parameters<typeof notCleared>[0], number, RegExp][] = [
    [
      { kind: 'live', lock, judgement },
      4,
      /by revision 6 \(pending-upgrade, 5s, alice\), and that lock is live: created 5s ago\./,
    ],
    [
      { kind: 'unreadable', lock, words: 'it has no info' },
      1,
      /^revision 6 of release prod\/api cannot be marked as failed: it has no info\./,
    ],
    [{ kind: 'changed', lock, words: 'revision 6 is deployed now' }, 8, /: revision 6 is deployed now$/],
    [{ kind: 'free' }, 8, /has changed since it was looked at/],
    [{ kind: 'other', lock }, 8, /has changed since it was looked at/],
  ];
  for (const [outcome, code, words] of table)
    t.match(notCleared(outcome, 5_000), { code, message: words }, outcome.kind);
});

t.test('the words of a webhook', async (t) => {
  const refusal = 'DELETE /x: 409 admission webhook "door.lockkeeper.dev" denied the request: it is live';
  t.match(refusalOf(new Error(refusal)), { code: 4, message: 'it is live' });
  t.equal(refusalOf(new Error('releaselocks "api" is forbidden: User "bob" cannot delete')), undefined);
});
