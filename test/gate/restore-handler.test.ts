/** The handler of records that begin with a status that no deploy begins with. */
import t from 'tap';
import type { Restore } from '../../src/gate/decision.ts';
import type { Judgement } from '../../src/gate/lock.ts';
import { createRestoreHandler } from '../../src/gate/restore-handler.ts';
import type { Chapter } from '../../src/gate/story.ts';
import type { Revision } from '../../src/helm/release.ts';
import { testLog } from '../support/log.ts';
import { revision } from '../support/revisions.ts';

const NOW = Date.parse('2026-11-22T13:00:00Z');
const CREATED = { createdAt: NOW - 42_000 };

function world(
  stored: Readonly<Record<string, readonly Revision[]>>,
  verdict: Judgement['verdict'] = 'live',
) {
  const events: Chapter[] = [];
  const logs = testLog();
  const asked: string[] = [];
  const handler = createRestoreHandler({
    reader: {
      all: async ({ driver, namespace, name }) => {
        asked.push(`${driver} ${namespace}/${name}`);
        return stored[name] ?? [];
      },
    },
    holders: { lockOf: (found) => ({ revision: found, holder: { user: 'alice', pod: undefined } }) },
    judge: () => ({ verdict, reason: 'last written 3s ago', staleInSeconds: 897 }),
    date: () => NOW,
    log: logs.log,
    onStory: (event) => events.push(event),
  });
  const review = (changes: Partial<Restore> = {}, timeoutMs?: number) =>
    handler.review(
      {
        driver: 'secrets',
        namespace: 'prod',
        names: ['api'],
        revision: 7,
        record: 'sh.helm.release.v1.api.v7',
        status: 'deployed',
        uid: 'uid-of-7',
        client: { user: 'bob', pod: undefined },
        dryRun: false,
        ...changes,
      },
      { signal: new AbortController().signal, timeoutMs },
    );
  return { review, events, logs, asked };
}

t.test('beside a live lock it is refused, and told why', async (t) => {
  const { review, events, logs, asked } = world({ api: [revision(6, 'pending-upgrade', CREATED)] });
  const verdict = await review({}, 5_000);
  t.match(verdict, { allowed: false, denial: { code: 409 } });
  const message =
    'release prod/api is locked by revision 6 (pending-upgrade, 42s, alice). Nothing was changed. A record that is ' +
    'deployed from its start, as a restore or a migration writes it, has to come when the release is free. ';
  t.ok(!verdict.allowed && verdict.denial.message.startsWith(message), JSON.stringify(verdict));
  t.strictSame(asked, ['secrets prod/api']);
  t.match(events, [
    {
      reason: 'Refused',
      message: /^bob was refused to create sh\.helm\.release\.v1\.api\.v7 \(deployed\) beside it/,
    },
  ]);
  t.match(logs.lines, [{ msg: 'a record beside a lock was refused', client: 'bob', code: 409 }]);

  const dry = world({ api: [revision(6, 'pending-upgrade', CREATED)] });
  t.match(await dry.review({ dryRun: true, status: '' }), {
    denial: { message: /A record that is without a status from its start/ },
  });
  t.strictSame(dry.events, []);
});

t.test('which revisions it may not pass', async (t) => {
  const live = revision(6, 'pending-install', CREATED);
  const rows: [string, Readonly<Record<string, readonly Revision[]>>, Partial<Restore>, boolean][] = [
    ['nothing is stored', {}, {}, true],
    ['the newest is deployed', { api: [revision(6, 'deployed', CREATED)] }, {}, true],
    [
      'a pending one is shadowed',
      { api: [revision(6, 'deployed', CREATED), revision(5, 'pending-upgrade', CREATED)] },
      {},
      true,
    ],
    ['the newest is pending', { api: [live] }, {}, false],
    ['it is uninstalled just now', { api: [revision(6, 'uninstalling', CREATED)] }, {}, false],
    ['far below it', { api: [revision(2, 'pending-upgrade', CREATED)] }, {}, false],
    ['it comes in below the lock', { api: [live] }, { revision: 5 }, true],
    ['its name says no revision', { api: [live] }, { revision: undefined }, false],
    [
      'the record itself, as it is labelled',
      { api: [revision(7, 'pending-upgrade', { ...CREATED, uid: 'uid-of-7' })] },
      {},
      true,
    ],
    ['the release that its label names is locked', { web: [live] }, { names: ['api', 'web'] }, false],
    [
      'somebody marked the lock',
      {
        api: [
          revision(6, 'pending-upgrade', {
            ...CREATED,
            annotations: { 'lockkeeper.dev/allow-delete': 'true' },
          }),
        ],
      },
      {},
      true,
    ],
  ];
  for (const [name, stored, changes, allowed] of rows) {
    t.equal((await world(stored).review(changes)).allowed, allowed, name);
  }
});

t.test('a stale lock stops nobody', async (t) => {
  for (const verdict of ['dead-holder', 'expired'] as const) {
    const { review } = world({ api: [revision(6, 'pending-upgrade', CREATED)] }, verdict);
    t.match(await review(), { allowed: true }, verdict);
  }
});
