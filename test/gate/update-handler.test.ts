/** The handler of writes that end a lock: what it reads, answers, logs and reports. */
import t from 'tap';
import type { Holder, Judgement } from '../../src/gate/lock.ts';
import type { RecordUpdate } from '../../src/gate/screen-update.ts';
import type { Chapter } from '../../src/gate/story.ts';
import { createUpdateHandler, type LockEnd } from '../../src/gate/update-handler.ts';
import type { JudgedLock } from '../../src/gate/words.ts';
import { testLog } from '../support/log.ts';
import { revision } from '../support/revisions.ts';

const NOW = Date.parse('2026-11-22T13:00:00Z');
const LIVE: Judgement = { verdict: 'live', reason: 'created 42s ago', staleInSeconds: 858 };
const ALICE: Holder = { user: 'alice', pod: undefined };

interface World {
  readonly holder?: Holder | undefined;
  /** What a live read says of the holder; by default the same. */
  readonly storedHolder?: Holder | undefined;
  readonly judgement?: Judgement;
  readonly read?: () => Promise<JudgedLock | undefined>;
  readonly payloadStatus?: string | undefined;
  readonly isListed?: boolean;
  readonly ours?: string;
}

function world(options: World = {}) {
  const { holder, judgement = LIVE, isListed = true, ours = 'lockkeeper' } = options;
  const storedHolder = 'storedHolder' in options ? options.storedHolder : holder;
  const lock = {
    revision: revision(6, 'pending-upgrade', { createdAt: NOW - 42_000 }),
    holder: storedHolder,
    ...(isListed && { isListed }),
  };
  const asked: string[] = [];
  const events: Chapter[] = [];
  const ends: LockEnd[] = [];
  const logs = testLog();
  const handler = createUpdateHandler({
    holders: { holderOf: () => holder },
    readLock: async (record) => {
      asked.push(`lock ${record.release.name} ${record.number} ${record.uid}`);
      return options.read ? options.read() : { lock, judgement };
    },
    readStatus: async (_driver, payload) => ('payloadStatus' in options ? options.payloadStatus : payload),
    isListed: () => isListed,
    isOurs: async ({ user }) => {
      asked.push('who am I');
      return user === ours;
    },
    date: () => NOW,
    log: logs.log,
    onEnded: (end) => ends.push(end),
    onStory: (event) => events.push(event),
  });
  const call = { signal: new AbortController().signal, timeoutMs: 5_000 };
  return {
    review: (update: RecordUpdate, timeoutMs: number | undefined = 5_000) =>
      handler.review(update, { ...call, timeoutMs }),
    asked,
    events,
    ends,
    logs,
  };
}

function update(after: string, changes: Partial<RecordUpdate> = {}): RecordUpdate {
  return {
    release: { driver: 'secrets', namespace: 'prod', name: 'api' },
    revision: 6,
    uid: 'uid-of-6',
    client: { user: 'alice', pod: undefined },
    dryRun: false,
    before: 'pending-upgrade',
    after,
    isVisible: true,
    isMarked: false,
    payload: () => after,
    ...changes,
  };
}

const bob = { client: { user: 'bob', pod: undefined } };

t.test('the holder’s own last write is answered without a read', async (t) => {
  for (const after of ['deployed', 'failed', 'superseded']) {
    const { review, asked, events, ends, logs } = world({ holder: ALICE });
    t.same(await review(update(after)), { allowed: true, warnings: [] }, after);
    t.strictSame(asked, [], 'nobody is asked');
    t.strictSame(ends, [{ relation: 'same-client', status: after }]);
    t.strictSame(events, []);
    t.match(logs.lines, [
      { msg: 'a lock was ended', level: 30, release: 'api', revision: 6, after, client: 'alice' },
    ]);
  }
});

t.test('another client may not end a live lock, and reads who holds it and what to do', async (t) => {
  const { review, asked, events, ends, logs } = world({ holder: ALICE });
  const verdict = await review(update('failed', bob));
  const message =
    'release prod/api is locked by revision 6 (pending-upgrade, 42s, alice). Nothing was changed. ' +
    'While it is live, only its holder may make it failed. Wait for it, or ask its holder: it counts as live (created 42s ago). ' +
    'To see the lock: kubectl get rlock api -n prod. ';
  t.match(verdict, { allowed: false, denial: { code: 409 } });
  t.ok(verdict.allowed === false && verdict.denial.message.startsWith(message), JSON.stringify(verdict));
  t.strictSame(asked, ['who am I', 'lock api 6 uid-of-6']);
  t.strictSame(ends, []);
  t.match(events, [{ reason: 'Refused', message: /^bob was refused to make it failed: revision 6/ }]);
  t.match(logs.lines, [{ msg: 'an end was refused', client: 'bob', code: 409, lock: { holder: 'alice' } }]);
});

t.test('a write that takes the status away, or hides the record, is named as such', async (t) => {
  const hidden = { isVisible: false, payload: () => 'failed' };
  for (const [after, words, now] of [
    ['', 'take its status away', 'it has no status now'],
    ['pending-upgrade', 'hide it from Helm', 'Helm does not find it any more'],
    ['failed', 'make it failed', 'it is failed now'],
  ] as const) {
    const { review, events } = world({ holder: ALICE });
    const verdict = await review(update(after, { ...bob, ...hidden }));
    t.match(verdict, { denial: { message: new RegExp(`only its holder may ${words}\\.`) } });
    t.match(events, [{ message: new RegExp(`^bob was refused to ${words}: `) }]);
    const unknown = world({});
    await unknown.review(update(after, { ...bob, ...hidden }));
    t.match(unknown.events, [{ message: new RegExp(`was ended by bob: ${now}; its holder is unknown$`) }]);
  }
});

t.test('a write by another client that may end the lock is reported', async (t) => {
  const dead: Judgement = { verdict: 'dead-holder', reason: 'its pod is gone', staleInSeconds: 0 };
  const rows: [string, World, RecordUpdate, string][] = [
    ['it says deployed, as its payload does', { holder: ALICE }, update('deployed', bob), 'another-client'],
    ['nobody knows the holder', {}, update('failed', bob), 'unknown-holder'],
    ['the lock is stale', { holder: ALICE, judgement: dead }, update('failed', bob), 'another-client'],
    [
      'the record is marked',
      { holder: ALICE },
      update('failed', { ...bob, isMarked: true }),
      'another-client',
    ],
  ];
  for (const [name, given, written, relation] of rows) {
    const { review, events, ends, logs } = world(given);
    t.same(await review(written), { allowed: true, warnings: [] }, name);
    t.match(events, [
      { reason: 'Ended', message: /revision 6 \(pending-upgrade\) of release api was ended by bob/ },
    ]);
    t.strictSame(ends, [{ relation, status: written.after }]);
    t.match(logs.lines, [
      { msg: 'a client that is not known to hold the lock ended it', level: 40, relation },
    ]);
  }
});

t.test('a holder that only the live read names ends its lock in silence', async (t) => {
  const { review, events, ends } = world({ storedHolder: ALICE });
  t.same(await review(update('failed')), { allowed: true, warnings: [] });
  t.strictSame(events, []);
  t.strictSame(ends, [{ relation: 'same-client', status: 'failed' }]);
});

t.test('what is no lock any more is nobody’s concern', async (t) => {
  const { review, events, ends } = world({ holder: ALICE, read: async () => undefined });
  t.same(await review(update('failed', bob)), { allowed: true, warnings: [] });
  t.strictSame([events, ends], [[], []]);
});

t.test('a label that lies is refused to everybody but Lockkeeper', async (t) => {
  const lie = { payload: () => 'pending-upgrade' };
  const text =
    'The label status of sh.helm.release.v1.api.v6 would say deployed, but the release in it is pending-upgrade. ' +
    'Nothing was changed: it stays pending-upgrade. Helm reads the release and not the label, so the release would ' +
    'stay locked. To clear the lock: kubectl delete ';
  for (const who of [{}, bob]) {
    const { review, events, ends } = world({ holder: ALICE });
    const message = `${text}rlock api -n prod`;
    t.same(await review(update('deployed', { ...who, ...lie })), {
      allowed: false,
      denial: { code: 400, message },
    });
    t.strictSame([events, ends], [[], []]);
  }
  const unlisted = world({ isListed: false });
  t.match(await unlisted.review(update('', { ...bob, ...lie, isVisible: false })), {
    denial: {
      code: 400,
      message:
        /^The label status of \S+ would not be there, .* kubectl delete secret sh\.helm\.release\.v1\.api\.v6 -n prod$/,
    },
  });
  const configmap = update('failed', {
    ...lie,
    release: { driver: 'configmaps', namespace: 'prod', name: 'api' },
  });
  t.match(await unlisted.review(configmap), { denial: { message: /kubectl delete configmap sh/ } });
  const { review } = world({ holder: ALICE });
  t.same(await review(update('failed', { ...lie, client: { user: 'lockkeeper', pod: undefined } })), {
    allowed: true,
    warnings: [],
  });
});

t.test('a payload that nobody can read proves no success', async (t) => {
  const { review } = world({ holder: ALICE, payloadStatus: undefined });
  t.match(await review(update('deployed', bob)), { allowed: false, denial: { code: 409 } });
  t.match(await review(update('deployed')), { allowed: true }, 'its holder may');
});

t.test('a dry run leaves no trace but the log of a refusal', async (t) => {
  for (const [given, written] of [
    [{ holder: ALICE }, update('failed')],
    [{ holder: ALICE }, update('failed', bob)],
    [{}, update('failed', bob)],
  ] as const) {
    const { review, events, ends } = world(given);
    await review({ ...written, dryRun: true });
    t.strictSame([events, ends], [[], []]);
  }
});

t.test('a cluster that cannot be read is no permission', async (t) => {
  const { review } = world({
    holder: ALICE,
    read: async () => {
      throw new Error('connect ECONNREFUSED');
    },
  });
  await t.rejects(review(update('failed', bob), undefined), { message: 'connect ECONNREFUSED' });
});
