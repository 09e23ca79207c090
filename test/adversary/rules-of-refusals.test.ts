/** The checker: refusals, and whom they meet. */
import {
  byTheGate,
  byTheGuard,
  byUpdates,
  checkStories,
  create,
  fault,
  jsonOf,
  named,
  pod,
  podGone,
  put,
  refused,
  remove,
  type Story,
  unanswered,
} from './stories.ts';

const POD = { podUid: 'pod-2' };
const IN_VAIN = 'refused without a reason';
const HOLDER = 'a holder may end its lock';
const PASSED_OVER = 'a webhook was passed over';

const byTheFence = refused(
  put(2, 'deployed'),
  "ValidatingAdmissionPolicy 'lockkeeper-fence' with binding … denied request: …",
);
const outOfReach = refused(create(2), 'failed calling webhook "gate.lockkeeper.dev": EOF', { code: 500 });
const byBob = (status: string) => put(2, status, { by: 'bob' });

const ofAlice: Story = [create(2), named(2, { user: 'alice' }), 2];
const ofJobPod: Story = [
  pod('pod-2'),
  create(2, undefined, POD),
  named(2, { user: 'alice', pod: { uid: 'pod-2' }, podKind: 'job' }),
  2,
];
const ofGateway: Story = [
  pod('pod-2', 'ReplicaSet'),
  create(2, undefined, POD),
  named(2, { user: 'alice', pod: { uid: 'pod-2' }, podKind: 'gateway' }),
  2,
];

checkStories([
  ['refused, and locked', [create(1), byTheGate(2)]],
  ['refused, and the number was taken', [create(2), put(2, 'deployed'), byTheGate(2)]],
  ['refused, and it had been locked', [create(1), byTheGate(2, { took: 5 }), put(1, 'deployed')]],
  ['refused, and free', [create(1), put(1, 'deployed'), byTheGate(2)], IN_VAIN],
  ['a restore is refused, and locked', [create(1), byTheGate(2, { by: 'bob' }, 'deployed')]],
  ['a restore is refused, and free', [create(1), put(1, 'failed'), byTheGate(2, {}, 'deployed')], IN_VAIN],
  ['refused by the guard', [create(2), byTheGuard()]],
  ['refused by the guard, and ended', [create(2), put(2, 'failed'), byTheGuard()], IN_VAIN],
  ['refused by the guard, to its holder', [...ofAlice, byTheGuard('alice')], IN_VAIN],
  ['refused by the guard, to its holder of whom nobody knows', [create(2), byTheGuard('alice')]],
  ['refused by the guard, to another job pod', [...ofJobPod, byTheGuard('alice', 'pod-3')]],
  ['refused by the guard, and long dead', [...ofJobPod, podGone('pod-2'), 90, byTheGuard()], IN_VAIN],
  ['refused by the guard, and its gateway is gone', [...ofGateway, podGone('pod-2'), 90, byTheGuard()]],
  ['refused by the fence', [create(2), put(2, 'failed'), byTheFence]],
  ['refused by the fence, and pending', [create(2), byTheFence], IN_VAIN],
  ['out of reach', [outOfReach], IN_VAIN],
  ['out of reach by a fault', [fault('begins'), outOfReach]],

  ['an end by somebody else is refused', [...ofAlice, byUpdates(byBob('failed'))]],
  ['… and it may have ended', [...ofAlice, unanswered(put(2, 'failed')), byUpdates(byBob('failed'))]],
  ['… and it had ended', [...ofAlice, put(2, 'failed'), byUpdates(byBob('superseded'))], IN_VAIN],
  [
    '… and its pod is gone for long',
    [...ofJobPod, podGone('pod-2'), 90, byUpdates(byBob('failed'))],
    IN_VAIN,
  ],
  ['the end of a lock is refused to its holder', [...ofAlice, byUpdates(put(2, 'failed'))], HOLDER],
  ['… to its job pod', [...ofJobPod, byUpdates(put(2, 'deployed', POD))], HOLDER],
  ['… to another job pod', [...ofJobPod, byUpdates(put(2, 'failed', { podUid: 'pod-3' }))]],
  [
    '… to the next pod of its gateway',
    [...ofGateway, podGone('pod-2'), byUpdates(put(2, 'failed', { podUid: 'pod-3' }))],
    HOLDER,
  ],
  [
    '… to a client whose record was lost, and is another client’s now',
    [
      create(2),
      unanswered(remove(2)),
      create(2, undefined, { by: 'bob', uid: 'uid-of-bob' }),
      byUpdates(put(2, 'failed')),
    ],
  ],
  [
    'a label that lies is refused',
    [...ofAlice, byUpdates(put(2, 'failed', { json: jsonOf('pending-upgrade') }), 400)],
  ],
  ['a label that tells the truth is refused', [...ofAlice, byUpdates(put(2, 'failed'), 400)], IN_VAIN],
  [
    'a patch of a label that lies is refused',
    [
      ...ofAlice,
      byUpdates(
        (at) => ({ ...byBob('failed')(at), asked: { metadata: { labels: { status: 'failed' } } } }),
        400,
      ),
    ],
  ],
  [
    'a patch of a label that tells the truth is refused',
    [
      ...ofAlice,
      put(2, 'failed'),
      1,
      byUpdates(
        (at) => ({ ...byBob('failed')(at), asked: { metadata: { labels: { status: 'failed' } } } }),
        400,
      ),
    ],
    IN_VAIN,
  ],

  ['an uninstall has to wait', [create(2), byUpdates(byBob('uninstalling'), 429)]],
  ['… of the same person', [...ofAlice, byUpdates(put(2, 'uninstalling'), 429)]],
  ['… for a newer revision', [create(2), put(2, 'failed'), create(3), byUpdates(byBob('uninstalling'), 429)]],
  [
    '… and a newer revision has come',
    [create(2), put(2, 'failed'), create(3, 'deployed'), byUpdates(byBob('uninstalling'))],
  ],
  ['… for nothing', [create(2), put(2, 'failed'), byUpdates(byBob('uninstalling'), 429)], IN_VAIN],
  ['… for its own job pod', [...ofJobPod, byUpdates(put(2, 'uninstalling', POD), 429)], IN_VAIN],
  [
    '… for its own job pod of which nobody knows',
    [pod('pod-2'), create(2, undefined, POD), byUpdates(put(2, 'uninstalling', POD), 429)],
  ],
  ['… for its own gateway pod', [...ofGateway, byUpdates(put(2, 'uninstalling', POD), 429)]],

  ['Lockkeeper could not be asked', [create(1), put(1, 'failed', { failedOpen: ['x'] })], PASSED_OVER],
  ['… by a fault', [create(1), fault('begins'), put(1, 'failed', { failedOpen: ['x'] })]],

  ['refused by the guard, and maybe created', [unanswered(create(2)), byTheGuard()]],
  ['refused by the gate, and maybe locked', [unanswered(create(1)), byTheGate(2)]],
  [
    'refused by the gate, and the lock is hidden by another label',
    [create(1), put(1, 'pending-upgrade', { labels: { owner: 'bob' } }), byTheGate(2)],
  ],
  [
    'refused by the guard, and deleted since it may have been created',
    [unanswered(create(2)), remove(2), byTheGuard()],
    IN_VAIN,
  ],
  [
    'refused by the gate, and what no webhook admitted was not created',
    [fault('begins'), outOfReach, fault('ends'), 60, byTheGate(2)],
    IN_VAIN,
  ],
  ['refused by the guard, and maybe ended', [create(2), unanswered(put(2, 'failed')), byTheGuard()]],
  ['refused by the fence, and maybe ended', [create(2), unanswered(put(2, 'failed')), byTheFence]],
]);
