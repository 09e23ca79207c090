/** The checker: locks as such. */
import {
  checkStories,
  clear,
  create,
  fault,
  named,
  pod,
  podGone,
  put,
  type Story,
  told,
  unanswered,
} from './stories.ts';

const POD = { podUid: 'pod-2' };
const ENDS = 'every lock ends';
const NAMES = 'a ReleaseLock names its holder';

const CALM = told({ what: 'calm' });
const END = told({ what: 'end' });
const ALICE = { user: 'alice' };
const inPod = (uid: string, podKind?: string) => ({ ...ALICE, pod: { uid }, ...(podKind && { podKind }) });
const ofJobPod: Story = [pod('pod-2'), create(2, undefined, POD)];
const ofGateway: Story = [pod('pod-2', 'DaemonSet'), create(2, undefined, POD)];

checkStories([
  ['all locks have ended', [create(2), put(2, 'failed'), CALM, END]],
  ['one is left', [create(2), CALM, END], ENDS],
  ['one is left that may have ended', [create(2), unanswered(put(2, 'failed')), CALM, END]],
  [
    'one took too long',
    [...ofJobPod, named(2, inPod('pod-2', 'job')), podGone('pod-2'), CALM, 90, clear(2, 'lockkeeper'), END],
    ENDS,
  ],
  [
    'one took as long as it may',
    [...ofJobPod, named(2, inPod('pod-2', 'job')), podGone('pod-2'), CALM, 20, clear(2, 'lockkeeper'), END],
  ],
  [
    'one took long of whose holder nobody knew',
    [...ofJobPod, podGone('pod-2'), CALM, 90, clear(2, 'lockkeeper'), END],
  ],

  ['a ReleaseLock names its holder', [create(2), named(2, ALICE)]],
  ['… somebody else', [create(2), named(2, { user: 'bob' })], NAMES],
  ['… a pod for somebody without one', [create(2), named(2, inPod('pod-3'))], NAMES],
  ['… no pod for somebody in one', [...ofJobPod, named(2, ALICE)], NAMES],
  ['… another pod', [...ofJobPod, named(2, inPod('pod-3', 'job'))], NAMES],
  ['… somebody else in the end', [create(2), named(2, ALICE), named(2, { user: 'bob' })], NAMES],
  [
    '… the client that was told that it took too long',
    [unanswered(create(2)), put(2, 'failed', { by: 'bob' }), named(2, ALICE)],
  ],
  ['… its job pod', [...ofJobPod, named(2, inPod('pod-2', 'job'))]],
  ['… its job pod as a gateway', [...ofJobPod, named(2, inPod('pod-2', 'gateway'))], NAMES],
  ['… its job pod as nothing certain', [...ofJobPod, named(2, inPod('pod-2'))], NAMES],
  [
    '… its job pod, which nobody could look at any more',
    [...ofJobPod, podGone('pod-2'), named(2, inPod('pod-2'))],
  ],
  [
    '… its job pod, while the API server was away',
    [pod('pod-2'), fault('begins'), create(2, undefined, POD), named(2, inPod('pod-2'))],
  ],
  ['… its gateway pod', [...ofGateway, named(2, inPod('pod-2', 'gateway'))]],
  ['… its gateway pod as nothing certain', [...ofGateway, named(2, inPod('pod-2'))]],
  ['… its gateway pod as one that runs a job', [...ofGateway, named(2, inPod('pod-2', 'job'))], NAMES],
]);
