/** The checker: a log in, violations out. Each story is told as the API server would log it. */
import t from 'tap';
import type { Entry, Told } from './log.ts';
import { encodePayload } from './payload.ts';
import { check, LOCKKEEPER } from './rules.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;

/** One line of a story; `at` is the second in which it was asked, and answered a little later. */
type Line = (at: number) => Entry;

interface Write {
  readonly uid?: string;
  readonly by?: string;
  readonly podUid?: string;
  readonly json?: string;
  /** Seconds that the answer took. */
  readonly took?: number;
  /** The order of the storage, where it is not that of the story. */
  readonly version?: number;
}

const JSON_OF = (status: string, description = 'x') =>
  `{"info":{"description":"${description}","status":"${status}"},"n":12345678901234567890}`;

function entry(at: number, changes: Partial<Entry>): Entry {
  return {
    verb: 'update',
    resource: 'secrets',
    name: '',
    user: 'alice',
    podUid: undefined,
    code: 200,
    message: '',
    askedAt: at * SECOND,
    answeredAt: at * SECOND + 100,
    asked: undefined,
    answer: undefined,
    ...changes,
  };
}

function record(revision: number, status: string, uid: string, json: string, version: number) {
  return {
    metadata: {
      name: `sh.helm.release.v1.api.v${revision}`,
      uid,
      resourceVersion: String(version),
      labels: { owner: 'helm', name: 'api', version: String(revision), status },
    },
    data: { release: encodePayload('secrets', json) },
  };
}

function write(revision: number, status: string, options: Write, verb: string): Line {
  const {
    uid = `uid-${revision}`,
    by = 'alice',
    podUid,
    json = JSON_OF(status),
    took = 0.1,
    version,
  } = options;
  return (at) =>
    entry(at, {
      verb,
      name: `sh.helm.release.v1.api.v${revision}`,
      user: by,
      podUid,
      answeredAt: (at + took) * SECOND,
      answer: record(revision, status, uid, json, version ?? at * 10),
    });
}

const create = (revision: number, status = 'pending-upgrade', options: Write = {}) =>
  write(revision, status, options, 'create');
const put = (revision: number, status: string, options: Write = {}) =>
  write(revision, status, options, 'update');

/** As Lockkeeper marks a record. */
const clear = (revision: number, by = 'bob', options: Write = {}) => {
  const json = JSON_OF('failed', `Cleared by ${by} at now, was pending-upgrade: why`);
  return put(revision, 'failed', { by: LOCKKEEPER, json, ...options });
};

const remove =
  (revision: number, by = 'bob'): Line =>
  (at) =>
    entry(at, {
      verb: 'delete',
      name: `sh.helm.release.v1.api.v${revision}`,
      user: by,
      answer: { details: { uid: `uid-${revision}` } },
    });

const podGone =
  (uid: string): Line =>
  (at) =>
    entry(at, { verb: 'delete', resource: 'pods', name: uid, answer: { metadata: { uid } } });

const told =
  (what: Told): Line =>
  (at) =>
    entry(at, {
      verb: 'patch',
      resource: 'configmaps',
      name: 'told',
      answer: { data: { told: JSON.stringify(what) } },
    });

const refused =
  (message: string, changes: Partial<Entry> = {}): Line =>
  (at) =>
    entry(at, { code: 409, message, name: 'sh.helm.release.v1.api.v2', ...changes });

const byTheGate =
  (revision: number, took = 0.1): Line =>
  (at) =>
    refused('admission webhook "gate.lockkeeper.dev" denied the request: …', {
      verb: 'create',
      answeredAt: (at + took) * SECOND,
      asked: { metadata: { labels: { name: 'api', version: String(revision) } } },
    })(at);

const byTheGuard = refused('admission webhook "guard.lockkeeper.dev" denied the request: …', {
  verb: 'delete',
});
const byTheFence = refused("ValidatingAdmissionPolicy 'lockkeeper-fence' with binding … denied request: …");
const outOfReach = refused('failed calling webhook "gate.lockkeeper.dev": EOF', {
  code: 500,
  verb: 'create',
});

/** Whoever asked was told that it took too long; it may have been done. */
const unanswered =
  (line: Line): Line =>
  (at) => {
    const { answer, ...rest } = line(at);
    const message = 'Timeout: request did not complete within requested timeout - context canceled';
    return { ...rest, code: 504, message, asked: answer, answer: { message } };
  };

const fault = (state: 'begins' | 'ends') => told({ what: 'fault', state });
const timePasses = (ms: number) => [
  told({ what: 'time', ms, state: 'begins' }),
  told({ what: 'time', ms, state: 'ends' }),
];
const POD = { podUid: 'pod-2' };

/** Lines, one a second; a number lets so many seconds pass. */
type Story = readonly (Line | number)[];

const STORIES: readonly (readonly [name: string, story: Story, rule?: string])[] = [
  [
    'one deploy after the other',
    [create(1), put(1, 'deployed'), create(2), put(1, 'superseded'), put(2, 'deployed')],
  ],
  ['two at once', [create(1), create(2)], 'one pending revision at a time'],
  ['one below another', [create(3), create(2)], 'one pending revision at a time'],
  ['over one that is shadowed', [create(1), create(3, 'failed'), create(4)]],
  ['a rollback by the same pod', [create(2, 'pending-upgrade', POD), create(3, 'pending-rollback', POD)]],
  [
    'a rollback by another pod',
    [create(2, 'pending-upgrade', POD), create(3, 'pending-rollback', { podUid: 'pod-3' })],
    'one pending revision at a time',
  ],
  [
    'the log tells of a write later than of what rests on it',
    [
      create(1, 'pending-install', { version: 1 }),
      create(2, undefined, { version: 3 }),
      put(1, 'deployed', { version: 2 }),
    ],
  ],
  [
    'a deletion that may have been first',
    [create(1), fault('begins'), (at) => ({ ...remove(1)(at), answeredAt: (at + 2) * SECOND }), create(2)],
  ],

  ['a zombie writes', [create(1), put(1, 'failed'), put(1, 'deployed')], 'what has ended stays ended'],
  [
    'a zombie starts a hook',
    [create(1), put(1, 'failed'), put(1, 'pending-install')],
    'what has ended stays ended',
  ],
  ['an old copy', [create(1), put(1, 'deployed'), put(1, 'pending-install')], 'what has ended stays ended'],
  ['Helm supersedes what failed', [create(1), put(1, 'failed'), put(1, 'superseded')]],

  ['a live lock is cleared', [create(2), clear(2)], 'a live lock was cleared'],
  ['a live lock is deleted by Lockkeeper', [create(2), remove(2, LOCKKEEPER)], 'a live lock was cleared'],
  ['by force', [create(2), told({ what: 'force', uid: 'uid-2' }), clear(2)]],
  [
    'by force, meant for another',
    [create(2), told({ what: 'force', uid: 'uid-1' }), clear(2)],
    'a live lock was cleared',
  ],
  ['its pod is gone for 11 s', [create(2, undefined, POD), podGone('pod-2'), 10, clear(2, 'lockkeeper')]],
  [
    'its pod is gone for 5 s',
    [create(2, undefined, POD), podGone('pod-2'), 4, clear(2, 'lockkeeper')],
    'a live lock was cleared',
  ],
  [
    'another pod is gone',
    [create(2, undefined, POD), podGone('pod-3'), 10, clear(2)],
    'a live lock was cleared',
  ],
  ['it was silent for 16 minutes', [create(2), ...timePasses(16 * MINUTE), clear(2)]],
  [
    'it wrote since',
    [create(2), ...timePasses(16 * MINUTE), put(2, 'pending-upgrade'), clear(2)],
    'a live lock was cleared',
  ],
  [
    'it was silent for ten minutes',
    [create(2), ...timePasses(10 * MINUTE), clear(2)],
    'a live lock was cleared',
  ],
  [
    'it was silent, and nobody asked',
    [create(2), ...timePasses(16 * MINUTE), clear(2, 'lockkeeper')],
    'a live lock was cleared',
  ],
  ['a deployed one is marked', [create(2), put(2, 'deployed'), clear(2)], 'cleared what was no lock'],

  [
    'a clear rounds a number',
    [
      create(2),
      told({ what: 'force', uid: 'uid-2' }),
      clear(2, 'bob', { json: JSON_OF('failed').replace('890}', '900}') }),
    ],
    'a record was mangled',
  ],

  ['the record of a live lock is deleted', [create(2), remove(2)], 'the record of a live lock was lost'],
  ['… while Lockkeeper is away', [create(2), fault('begins'), remove(2)]],
  ['… soon after', [create(2), fault('begins'), fault('ends'), remove(2)]],
  [
    '… long after',
    [create(2), fault('begins'), fault('ends'), 60, remove(2)],
    'the record of a live lock was lost',
  ],
  ['the record of a stale lock is deleted', [create(2), ...timePasses(16 * MINUTE), remove(2)]],
  [
    'the record of a lock whose pod is gone is deleted',
    [create(2, undefined, POD), podGone('pod-2'), 10, remove(2)],
  ],
  ['a shadowed one is deleted', [create(2), create(3, 'failed'), remove(2)]],
  ['an ended one is deleted', [create(2), put(2, 'deployed'), remove(2)]],

  ['refused, and locked', [create(1), byTheGate(2)]],
  ['refused, and the number was taken', [create(2), put(2, 'deployed'), byTheGate(2)]],
  ['refused, and it had been locked', [create(1), (at) => byTheGate(2, 5)(at), put(1, 'deployed')]],
  ['refused, and free', [create(1), put(1, 'deployed'), byTheGate(2)], 'refused without a reason'],
  ['refused by the guard', [create(2), byTheGuard]],
  ['refused by the guard, and ended', [create(2), put(2, 'failed'), byTheGuard], 'refused without a reason'],
  [
    'refused by the guard, and long dead',
    [create(2, undefined, POD), podGone('pod-2'), 90, byTheGuard],
    'refused without a reason',
  ],
  ['refused by the fence', [create(2), put(2, 'failed'), byTheFence]],
  ['refused by the fence, and pending', [create(2), byTheFence], 'refused without a reason'],
  ['out of reach', [outOfReach], 'refused without a reason'],
  ['out of reach by a fault', [fault('begins'), outOfReach]],

  ['refused by the guard, and maybe created', [unanswered(create(2)), byTheGuard]],
  ['refused by the gate, and maybe locked', [unanswered(create(1)), byTheGate(2)]],
  [
    'refused by the guard, and deleted since it may have been created',
    [unanswered(create(2)), remove(2), byTheGuard],
    'refused without a reason',
  ],
  [
    'refused by the gate, and what no webhook admitted was not created',
    [fault('begins'), outOfReach, fault('ends'), 60, byTheGate(2)],
    'refused without a reason',
  ],
  ['refused by the guard, and maybe ended', [create(2), unanswered(put(2, 'failed')), byTheGuard]],
  ['refused by the fence, and maybe ended', [create(2), unanswered(put(2, 'failed')), byTheFence]],
  ['the one below may have ended', [create(1), unanswered(put(1, 'deployed')), create(2)]],
  ['the one below may have gone', [create(1), unanswered(remove(1)), create(2)]],
  [
    'the one below had not ended',
    [create(1), unanswered(put(1, 'deployed')), put(1, 'pending-install'), create(2)],
    'one pending revision at a time',
  ],
  ['the one below may have been shadowed', [create(1), unanswered(create(2, 'failed')), create(3)]],
  [
    'who made it was told that it took too long, and is dead',
    [
      unanswered(create(2, undefined, POD)),
      put(2, 'pending-upgrade'),
      podGone('pod-2'),
      10,
      clear(2, 'lockkeeper'),
    ],
  ],
  [
    'who made it was told that it took too long, and lives',
    [unanswered(create(2, undefined, POD)), put(2, 'pending-upgrade'), clear(2, 'lockkeeper')],
    'a live lock was cleared',
  ],
  [
    'somebody else may have changed it before a clear',
    [
      create(2),
      told({ what: 'force', uid: 'uid-2' }),
      unanswered(put(2, 'pending-upgrade', { json: JSON_OF('pending-upgrade').replace('890}', '900}') })),
      clear(2, 'bob', { json: JSON_OF('failed').replace('890}', '900}') }),
    ],
  ],
  ['it may have been deleted twice', [create(2), unanswered(remove(2)), remove(2)]],
  [
    'one is left that may have ended',
    [create(2), unanswered(put(2, 'failed')), told({ what: 'calm' }), told({ what: 'end' })],
  ],

  ['all locks have ended', [create(2), put(2, 'failed'), told({ what: 'calm' }), told({ what: 'end' })]],
  ['one is left', [create(2), told({ what: 'calm' }), told({ what: 'end' })], 'every lock ends'],
  [
    'one took too long',
    [
      create(2, undefined, POD),
      podGone('pod-2'),
      told({ what: 'calm' }),
      90,
      clear(2, 'lockkeeper'),
      told({ what: 'end' }),
    ],
    'every lock ends',
  ],
];

function entriesOf(story: Story): Entry[] {
  let at = 0;
  return story.flatMap((line) => {
    at += typeof line === 'number' ? line : 1;
    return typeof line === 'number' ? [] : [line(at)];
  });
}

for (const [name, story, rule] of STORIES) {
  t.test(name, async (t) => {
    const found = check(entriesOf(story));
    t.same([...new Set(found.map((violation) => violation.rule))], rule === undefined ? [] : [rule]);
  });
}
