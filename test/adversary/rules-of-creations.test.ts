/** The checker: records that come into being. */
import {
  byTheGate,
  checkStories,
  create,
  fault,
  MINUTE,
  named,
  pod,
  podGone,
  put,
  remove,
  SECOND,
  timePasses,
  unanswered,
} from './stories.ts';

const POD = { podUid: 'pod-2' };

const ONE_PENDING = 'one pending revision at a time';
const BESIDE_A_LOCK = 'nothing is made beside a lock';
const BESIDE_AN_UNINSTALL = 'no deploy begins beside an uninstall';

checkStories([
  [
    'one deploy after the other',
    [create(1), put(1, 'deployed'), create(2), put(1, 'superseded'), put(2, 'deployed')],
  ],
  ['two at once', [create(1), create(2)], ONE_PENDING],
  ['one below another', [create(3), create(2)], ONE_PENDING],
  ['over one that is shadowed', [create(1), ...timePasses(16 * MINUTE), create(3, 'failed'), create(4)]],
  [
    'a rollback by the same job pod',
    [pod('pod-2', 'Job'), create(2, 'pending-upgrade', POD), create(3, 'pending-rollback', POD)],
  ],
  [
    'an upgrade by the same job pod',
    [pod('pod-2'), create(2, 'pending-upgrade', POD), create(3, 'pending-upgrade', POD)],
    ONE_PENDING,
  ],
  [
    'a rollback by the same gateway pod',
    [pod('pod-2', 'ReplicaSet'), create(2, 'pending-upgrade', POD), create(3, 'pending-rollback', POD)],
    ONE_PENDING,
  ],
  [
    'a rollback by a gateway pod that says that Helm runs in it',
    [
      pod('pod-2', 'ReplicaSet', { 'lockkeeper.dev/runs-helm': 'true' }),
      create(2, 'pending-upgrade', POD),
      create(3, 'pending-rollback', POD),
    ],
  ],
  [
    'a rollback by a job pod that says that Helm runs elsewhere',
    [
      pod('pod-2', 'Job', { 'lockkeeper.dev/runs-helm': 'false' }),
      create(2, 'pending-upgrade', POD),
      create(3, 'pending-rollback', POD),
    ],
    ONE_PENDING,
  ],
  [
    'a rollback by another job pod of the same user',
    [
      pod('pod-2'),
      pod('pod-3'),
      create(2, 'pending-upgrade', POD),
      create(3, 'pending-rollback', { podUid: 'pod-3' }),
    ],
    ONE_PENDING,
  ],
  [
    'a rollback by somebody else who names the same job pod',
    [pod('pod-2'), create(2, 'pending-upgrade', POD), create(3, 'pending-rollback', { ...POD, by: 'bob' })],
    ONE_PENDING,
  ],
  ['a rollback by the same person', [create(2), create(3, 'pending-rollback')], ONE_PENDING],
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
  ['the one below may have ended', [create(1), unanswered(put(1, 'deployed')), create(2)]],
  ['the one below may have gone', [create(1), unanswered(remove(1)), create(2)]],
  [
    'the one below had not ended',
    [create(1), unanswered(put(1, 'deployed')), put(1, 'pending-install'), create(2)],
    ONE_PENDING,
  ],
  ['the one below may have been shadowed', [create(1), unanswered(create(2, 'failed')), create(3)]],

  ['a record is restored, and nothing is at work', [create(1), put(1, 'deployed'), create(2, 'deployed')]],
  ['a record is restored beside a live lock', [create(1), create(2, 'deployed')], BESIDE_A_LOCK],
  ['… by its holder', [create(1), create(2, 'deployed', { by: 'alice' })], BESIDE_A_LOCK],
  ['… with another status', [create(1), create(7, 'superseded')], BESIDE_A_LOCK],
  ['… and it may have ended', [create(1), unanswered(put(1, 'failed')), create(2, 'deployed')]],
  ['a record is restored below a live lock', [create(2), create(1, 'deployed')]],
  [
    'a record is restored over a lock that is shadowed',
    [create(1), unanswered(create(2, 'failed')), create(3, 'deployed')],
  ],
  [
    'a record is restored beside a stale lock',
    [create(1), ...timePasses(16 * MINUTE), create(2, 'deployed')],
  ],
  [
    'a record is restored beside the lock of a job pod that runs',
    [
      pod('pod-1'),
      create(1, undefined, { podUid: 'pod-1' }),
      named(1, { user: 'alice', pod: { uid: 'pod-1' }, podKind: 'job' }),
      ...timePasses(16 * MINUTE),
      create(2, 'deployed', { by: 'bob' }),
    ],
    BESIDE_A_LOCK,
  ],
  [
    'a record is restored beside the lock of a job pod that is gone',
    [
      pod('pod-1'),
      create(1, undefined, { podUid: 'pod-1' }),
      podGone('pod-1'),
      15,
      create(2, 'deployed', { by: 'bob' }),
    ],
  ],
  [
    'a record is restored beside an uninstall',
    [create(1), put(1, 'deployed'), put(1, 'uninstalling'), create(2, 'deployed')],
    BESIDE_A_LOCK,
  ],

  [
    'a deploy beside an uninstall',
    [create(1), put(1, 'deployed'), put(1, 'uninstalling', { by: 'bob' }), create(2)],
    BESIDE_AN_UNINSTALL,
  ],
  ['… after it', [create(1), put(1, 'deployed'), put(1, 'uninstalling'), put(1, 'uninstalled'), create(2)]],
  [
    '… beside one that broke off',
    [create(1), put(1, 'deployed'), put(1, 'uninstalling'), ...timePasses(16 * MINUTE), create(2)],
  ],
  [
    '… beside one that is not old enough to have broken off, though the job of the revision is gone',
    [
      pod('pod-1'),
      create(1, undefined, { podUid: 'pod-1' }),
      put(1, 'failed', { podUid: 'pod-1' }),
      podGone('pod-1'),
      20,
      put(1, 'uninstalling', { by: 'bob' }),
      create(2, 'pending-rollback', { by: 'carol' }),
    ],
    BESIDE_AN_UNINSTALL,
  ],
  [
    '… by the job pod that uninstalls',
    [
      pod('pod-1'),
      create(1),
      put(1, 'deployed'),
      put(1, 'uninstalling', { podUid: 'pod-1' }),
      create(2, undefined, { podUid: 'pod-1' }),
    ],
  ],
  ['refused beside an uninstall', [create(1), put(1, 'failed'), put(1, 'uninstalling'), byTheGate(2)]],
]);
