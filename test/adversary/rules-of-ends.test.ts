/** The checker: how locks end, and by whom. */
import {
  byUpdates,
  checkStories,
  clear,
  create,
  fault,
  jsonOf,
  MINUTE,
  named,
  pod,
  podGone,
  put,
  remove,
  type Story,
  timePasses,
  told,
  unanswered,
  type Write,
} from './stories.ts';
import { LOCKKEEPER } from './violation.ts';

const POD = { podUid: 'pod-2' };
const ALICE = { user: 'alice' };
const IN_JOB_POD = { user: 'alice', pod: { uid: 'pod-2' }, podKind: 'job' };
const IN_GATEWAY = { user: 'alice', pod: { uid: 'pod-2' }, podKind: 'gateway' };

const STAYS_ENDED = 'what has ended stays ended';
const CLEARED = 'a live lock was cleared';
const LOST = 'the record of a live lock was lost';
const ENDED = 'a live lock was ended by another client';
const UNINSTALL = 'an uninstall waits for a live deploy';
const LABEL = 'a label tells the truth';

/** Its holder is known to everybody. */
const ofAlice: Story = [create(2), named(2, ALICE), 2];
const ofJobPod: Story = [pod('pod-2'), create(2, undefined, POD), named(2, IN_JOB_POD), 2];
const ofGateway: Story = [pod('pod-2', 'ReplicaSet'), create(2, undefined, POD), named(2, IN_GATEWAY), 2];

const byBob = (status: string, options: Write = {}) => put(2, status, { by: 'bob', ...options });
const marks = (status: string) => byBob(status, { json: jsonOf('pending-upgrade') });
const hides = (labels: Write['labels']) => byBob('pending-upgrade', { labels: { ...labels } });

checkStories([
  ['a zombie writes', [create(1), put(1, 'failed'), put(1, 'deployed')], STAYS_ENDED],
  ['a zombie starts a hook', [create(1), put(1, 'failed'), put(1, 'pending-install')], STAYS_ENDED],
  ['an old copy', [create(1), put(1, 'deployed'), put(1, 'pending-install')], STAYS_ENDED],
  ['Helm supersedes what failed', [create(1), put(1, 'failed'), put(1, 'superseded')]],

  ['its holder ends it', [...ofAlice, put(2, 'failed')]],
  ['somebody else marks it failed', [...ofAlice, byBob('failed')], ENDED],
  ['… superseded', [...ofAlice, byBob('superseded')], ENDED],
  ['… uninstalled', [...ofAlice, byBob('uninstalled')], ENDED],
  ['… unknown', [...ofAlice, byBob('unknown')], ENDED],
  ['… deployed', [...ofAlice, byBob('deployed')]],
  ['… deployed, and says failed inside', [...ofAlice, byBob('deployed', { json: jsonOf('failed') })], ENDED],
  ['… again as it is', [...ofAlice, byBob('pending-upgrade')]],
  ['somebody else hides it from Helm', [...ofAlice, hides({ owner: 'bob' })], ENDED],
  ['… under another name', [...ofAlice, hides({ name: 'web' })], ENDED],
  ['… as if it were deployed', [...ofAlice, byBob('deployed', { labels: { owner: 'bob' } })], ENDED],
  ['somebody else ends one that is shadowed', [...ofAlice, unanswered(create(3, 'failed')), byBob('failed')]],
  ['… one whose holder nobody knows', [create(2), byBob('failed')]],
  ['… one whose holder not everybody knows yet', [create(2), named(2, ALICE), byBob('failed')]],
  ['… one that may have ended', [...ofAlice, unanswered(put(2, 'failed')), byBob('failed')]],
  ['… a stale one', [...ofAlice, ...timePasses(16 * MINUTE), byBob('failed')]],
  ['… while Lockkeeper is away', [...ofAlice, fault('begins'), byBob('failed')]],
  [
    '… and Lockkeeper could not be asked',
    [...ofAlice, byBob('failed', { failedOpen: ['updates.lockkeeper.dev'] })],
    'a webhook was passed over',
  ],
  ['its job pod ends it', [...ofJobPod, put(2, 'failed', POD)]],
  ['another job pod of the same user ends it', [...ofJobPod, put(2, 'failed', { podUid: 'pod-3' })], ENDED],
  ['somebody else ends it who names that pod', [...ofJobPod, byBob('failed', POD)], ENDED],
  [
    'somebody else ends it whose job pod runs, and was silent for 16 minutes',
    [...ofJobPod, ...timePasses(16 * MINUTE), byBob('failed')],
    ENDED,
  ],
  ['… and for 31 minutes', [...ofJobPod, ...timePasses(31 * MINUTE), byBob('failed')]],
  ['… and whose pod is gone', [...ofJobPod, podGone('pod-2'), 15, byBob('failed')]],
  [
    'the next pod of its gateway ends it',
    [...ofGateway, podGone('pod-2'), put(2, 'failed', { podUid: 'x' })],
  ],
  ['somebody else behind that gateway ends it', [...ofGateway, byBob('failed', POD)], ENDED],

  ['a label lies', [...ofAlice, put(2, 'failed', { json: jsonOf('pending-upgrade') })], LABEL],
  ['a label lies, by somebody else', [...ofJobPod, marks('deployed')], ENDED, LABEL],
  ['a label lies, and nobody knows the holder', [create(2), marks('deployed')], LABEL],
  ['a label lies, while Lockkeeper is away', [create(2), fault('begins'), marks('deployed')]],
  ['a label that lies is refused', [...ofAlice, byUpdates(marks('deployed'), 400)]],

  ['an uninstall', [create(1), put(1, 'deployed'), put(1, 'uninstalling', { by: 'bob' })]],
  ['an uninstall of what failed', [create(1), put(1, 'failed'), put(1, 'uninstalling', { by: 'bob' })]],
  ['an uninstall in the midst of a deploy', [create(2), byBob('uninstalling')], UNINSTALL],
  ['… by the same person', [create(2), put(2, 'uninstalling')], UNINSTALL],
  [
    '… that read the history before it',
    [create(1), put(1, 'deployed'), create(2), put(1, 'uninstalling', { by: 'bob' })],
    UNINSTALL,
  ],
  [
    '… that was admitted elsewhere at the same moment',
    [
      create(1),
      put(1, 'deployed'),
      create(2, undefined, { took: 0.8 }),
      put(1, 'uninstalling', { by: 'bob' }),
    ],
  ],
  ['… by the same gateway pod', [...ofGateway, put(2, 'uninstalling', POD)], UNINSTALL],
  ['… by the same job pod', [...ofJobPod, put(2, 'uninstalling', POD)]],
  ['… that is stale', [create(2), ...timePasses(16 * MINUTE), byBob('uninstalling')]],
  ['… while Lockkeeper is away', [create(2), fault('begins'), byBob('uninstalling')]],
  ['… that may have ended', [create(2), unanswered(put(2, 'failed')), byBob('uninstalling')]],
  ['an uninstall that began goes on', [create(1), put(1, 'failed'), put(1, 'uninstalling'), remove(1)]],
  [
    'an uninstall that began writes again beside a deploy',
    [
      create(1),
      put(1, 'failed'),
      put(1, 'uninstalling'),
      ...timePasses(16 * MINUTE),
      create(2),
      put(1, 'uninstalling'),
    ],
  ],

  ['a live lock is cleared', [create(2), clear(2)], CLEARED],
  ['a live lock is deleted by Lockkeeper', [create(2), remove(2, LOCKKEEPER)], CLEARED],
  ['by force', [create(2), told({ what: 'force', uid: 'uid-2' }), clear(2)]],
  ['by force, meant for another', [create(2), told({ what: 'force', uid: 'uid-1' }), clear(2)], CLEARED],
  ['its job pod is gone for 16 s', [...ofJobPod, podGone('pod-2'), 15, clear(2, 'lockkeeper')]],
  ['its job pod is gone for 11 s', [...ofJobPod, podGone('pod-2'), 10, clear(2, 'lockkeeper')], CLEARED],
  ['its gateway pod is gone', [...ofGateway, podGone('pod-2'), 60, clear(2, 'lockkeeper')], CLEARED],
  ['another pod is gone', [...ofJobPod, pod('pod-3'), podGone('pod-3'), 15, clear(2)], CLEARED],
  [
    'its job pod was gone, and is there again',
    [...ofJobPod, podGone('pod-2'), 10, told({ what: 'pod returned', uid: 'pod-2' }), 5, clear(2)],
    CLEARED,
  ],
  [
    '… a moment before',
    [...ofJobPod, podGone('pod-2'), 15, told({ what: 'pod returned', uid: 'pod-2' }), clear(2)],
  ],
  [
    '… and is gone again',
    [
      ...ofJobPod,
      podGone('pod-2'),
      told({ what: 'pod returned', uid: 'pod-2' }),
      5,
      podGone('pod-2'),
      15,
      clear(2),
    ],
  ],
  ['it was silent for 16 minutes', [create(2), ...timePasses(16 * MINUTE), clear(2)]],
  ['it wrote since', [create(2), ...timePasses(16 * MINUTE), put(2, 'pending-upgrade'), clear(2)], CLEARED],
  ['it was silent for ten minutes', [create(2), ...timePasses(10 * MINUTE), clear(2)], CLEARED],
  [
    'it was silent, and nobody asked',
    [create(2), ...timePasses(16 * MINUTE), clear(2, 'lockkeeper')],
    CLEARED,
  ],
  [
    'its job pod runs, and was silent for 16 minutes',
    [...ofJobPod, ...timePasses(16 * MINUTE), clear(2)],
    CLEARED,
  ],
  ['its job pod runs, and was silent for 31 minutes', [...ofJobPod, ...timePasses(31 * MINUTE), clear(2)]],
  [
    'its job pod runs, and no ReleaseLock says so',
    [pod('pod-2'), create(2, undefined, POD), ...timePasses(16 * MINUTE), clear(2)],
  ],
  [
    'its gateway pod runs, and was silent for 16 minutes',
    [...ofGateway, ...timePasses(16 * MINUTE), clear(2)],
  ],
  ['a deployed one is marked', [create(2), put(2, 'deployed'), clear(2)], 'cleared what was no lock'],
  [
    'the client that made it was told that it took too long, and is dead',
    [
      pod('pod-2'),
      unanswered(create(2, undefined, POD)),
      put(2, 'pending-upgrade', POD),
      podGone('pod-2'),
      15,
      clear(2, 'lockkeeper'),
    ],
  ],
  [
    'the client that made it was told that it took too long, and lives',
    [
      pod('pod-2'),
      unanswered(create(2, undefined, POD)),
      put(2, 'pending-upgrade', POD),
      clear(2, 'lockkeeper'),
    ],
    CLEARED,
  ],

  [
    'a clear rounds a number',
    [
      create(2),
      told({ what: 'force', uid: 'uid-2' }),
      clear(2, 'bob', { json: jsonOf('failed').replace('890}', '900}') }),
    ],
    'a record was mangled',
  ],
  [
    'somebody else may have changed it before a clear',
    [
      create(2),
      told({ what: 'force', uid: 'uid-2' }),
      unanswered(put(2, 'pending-upgrade', { json: jsonOf('pending-upgrade').replace('890}', '900}') })),
      clear(2, 'bob', { json: jsonOf('failed').replace('890}', '900}') }),
    ],
  ],

  ['the record of a live lock is deleted', [create(2), remove(2)], LOST],
  ['… by its holder', [create(2), remove(2, 'alice')]],
  ['… by the next pod of its gateway', [...ofGateway, remove(2, 'alice', { podUid: 'pod-3' })]],
  ['… by another job pod of the same user', [...ofJobPod, remove(2, 'alice', { podUid: 'pod-3' })], LOST],
  ['… while Lockkeeper is away', [create(2), fault('begins'), remove(2)]],
  ['… soon after', [create(2), fault('begins'), fault('ends'), remove(2)]],
  ['… long after', [create(2), fault('begins'), fault('ends'), 60, remove(2)], LOST],
  ['the record of a stale lock is deleted', [create(2), ...timePasses(16 * MINUTE), remove(2)]],
  ['the record of a lock whose job pod is gone is deleted', [...ofJobPod, podGone('pod-2'), 15, remove(2)]],
  [
    'the record of a lock whose gateway pod is gone is deleted',
    [...ofGateway, podGone('pod-2'), 15, remove(2)],
    LOST,
  ],
  ['a shadowed one is deleted', [create(2), unanswered(create(3, 'failed')), remove(2)]],
  ['an ended one is deleted', [create(2), put(2, 'deployed'), remove(2)]],
  ['it may have been deleted twice', [create(2), unanswered(remove(2)), remove(2)]],
]);
