/** What an UPDATE means for the lock of a release, as far as its review tells. */
import t from 'tap';
import { parseAdmissionReview, type Review } from '../../src/gate/admission-review.ts';
import { KUBERNETES } from '../../src/gate/decision.ts';
import { screenUpdate } from '../../src/gate/screen-update.ts';
import { DRIVERS, isPending } from '../../src/helm/release.ts';
import { deployReview, fixture, fixtureNames, type WireReview } from '../fixtures/reviews.ts';

function reviewOf(wire: unknown): Review {
  const parsed = parseAdmissionReview(wire);
  if (!('review' in parsed)) throw new Error(parsed.problem);
  return parsed.review;
}

type Labels = Record<string, string | undefined>;

interface Change {
  readonly before?: Labels;
  readonly after?: Labels;
  readonly change?: (wire: WireReview) => void;
}

/** An update of revision 7 of prod/api, which is pending-upgrade unless the labels say otherwise; undefined takes one away. */
function update({ before = {}, after = {}, change = () => {} }: Change): WireReview {
  const wire = deployReview({ uid: 'uid-of-7' });
  const { request } = wire;
  const { object } = request;
  if (object === null) throw new Error('a fixture without an object');
  const labelled = (labels: Labels) => {
    const all: Labels = { ...object.metadata.labels, ...labels };
    const kept = Object.entries(all).filter((label): label is [string, string] => label[1] !== undefined);
    return { ...object, metadata: { ...object.metadata, labels: Object.fromEntries(kept) } };
  };
  Object.assign(request, { operation: 'UPDATE', oldObject: labelled(before), object: labelled(after) });
  change(wire);
  return wire;
}

function kindOf(change: Change, gated = DRIVERS): string | undefined {
  return screenUpdate(reviewOf(update(change)), gated)?.kind;
}

t.test('the updates that a real API server sent for real Helm commands', async (t) => {
  const updates = fixtureNames.filter((name) => /-update-/.test(name));
  for (const name of updates) {
    const wire = fixture(name);
    const [before = '', after = ''] = [wire.request.oldObject, wire.request.object].map(
      (object) => object?.metadata.labels.status,
    );
    const ends = isPending(before) && !isPending(after);
    const expected = after === 'uninstalling' ? 'uninstall' : ends ? 'end' : undefined;
    t.equal(screenUpdate(reviewOf(wire), DRIVERS)?.kind, expected, `${name}: ${before} to ${after}`);
  }
  t.ok(updates.length > 10, 'there are fixtures');
});

t.test('which writes end a lock, and which pass it', async (t) => {
  const configmap = (wire: WireReview) => Object.assign(wire.request.resource, { resource: 'configmaps' });
  const rows: [string, Change, string | undefined][] = [
    ['a hook is recorded', {}, undefined],
    ['another pending status', { after: { status: 'pending-rollback' } }, undefined],
    ['it is deployed', { after: { status: 'deployed' } }, 'end'],
    ['it is failed', { after: { status: 'failed' } }, 'end'],
    ['it is superseded', { after: { status: 'superseded' } }, 'end'],
    ['it is uninstalled', { after: { status: 'uninstalled' } }, 'end'],
    ['a status that Helm does not have', { after: { status: 'lunch' } }, 'end'],
    ['its status is taken away', { after: { status: undefined } }, 'end'],
    ['its owner is taken away', { after: { owner: undefined } }, 'end'],
    ['it gets another owner', { after: { owner: 'flux' } }, 'end'],
    ['its release is taken away', { after: { name: undefined } }, 'end'],
    ['it gets the name of another release', { after: { name: 'web' } }, 'end'],
    ['out of sight while it is uninstalled', { after: { status: 'uninstalling', owner: 'flux' } }, 'end'],
    ['an uninstall begins', { after: { status: 'uninstalling' } }, 'uninstall'],
    [
      'at a deployed revision',
      { before: { status: 'deployed' }, after: { status: 'uninstalling' } },
      'uninstall',
    ],
    [
      'at a record without a status',
      { before: { status: undefined }, after: { status: 'uninstalling' } },
      'uninstall',
    ],
    [
      'and records a hook',
      { before: { status: 'uninstalling' }, after: { status: 'uninstalling' } },
      undefined,
    ],
    [
      'an older revision is superseded',
      { before: { status: 'deployed' }, after: { status: 'superseded' } },
      undefined,
    ],
    ['an older revision fails', { before: { status: 'deployed' }, after: { status: 'failed' } }, undefined],
    [
      'a record without an owner is labelled',
      { before: { owner: undefined }, after: { status: 'deployed' } },
      'restore',
    ],
    ['a record is taken over from another owner', { before: { owner: 'flux' } }, 'restore'],
    [
      'a record loses all its labels, and had none',
      { before: { owner: undefined }, after: { owner: undefined } },
      undefined,
    ],
    ['in a ConfigMap', { after: { status: 'failed' }, change: configmap }, 'end'],
  ];
  for (const [name, change, expected] of rows) t.equal(kindOf(change), expected, name);
  t.equal(
    kindOf({ after: { status: 'failed' } }, ['configmaps']),
    undefined,
    'in a driver that is not gated',
  );
});

t.test('what is no record, or has no name that could be locked, passes', async (t) => {
  const failed = { status: 'failed' };
  const rename = (name: string) => (wire: WireReview) => {
    wire.request.name = name;
    for (const object of [wire.request.object, wire.request.oldObject])
      if (object) object.metadata.name = name;
  };
  const rows: [string, (wire: WireReview) => void][] = [
    ['a creation', (wire) => Object.assign(wire.request, { operation: 'CREATE' })],
    ['a pod', (wire) => Object.assign(wire.request.resource, { resource: 'pods' })],
    ['another name', rename('my-secret')],
    ['no release can have that name', rename('sh.helm.release.v1.a-.v7')],
    ['no namespace', (wire) => Object.assign(wire.request, { namespace: '' })],
    [
      'another type and another name',
      (wire) => {
        rename('settings')(wire);
        for (const object of [wire.request.object, wire.request.oldObject])
          Object.assign(object ?? {}, { type: 'Opaque' });
      },
    ],
  ];
  for (const [name, change] of rows) t.equal(kindOf({ after: failed, change }), undefined, name);
  const unlabelled = { before: { owner: undefined }, after: { status: 'deployed' } };
  t.equal(
    kindOf({
      ...unlabelled,
      change: (wire) => {
        rename('settings')(wire);
        for (const object of [wire.request.object, wire.request.oldObject])
          Object.assign(object ?? {}, { type: 'Opaque' });
      },
    }),
    undefined,
    'labels on what is no record',
  );
  for (const user of KUBERNETES) {
    const change = (wire: WireReview) => Object.assign(wire.request.userInfo, { username: user });
    t.equal(kindOf({ after: failed, change }), undefined, user);
  }
});

t.test('an update is what its review says', async (t) => {
  const wire = update({ after: { status: 'failed' } });
  Object.assign(wire.request.oldObject?.metadata ?? {}, {
    annotations: { 'lockkeeper.dev/allow-delete': 'true' },
  });
  const found = screenUpdate(reviewOf(wire), DRIVERS);
  t.match(found, {
    kind: 'end',
    update: {
      release: { driver: 'secrets', namespace: 'prod', name: 'api' },
      revision: 7,
      uid: 'uid-of-7',
      client: { user: 'alice', pod: undefined },
      dryRun: false,
      before: 'pending-upgrade',
      after: 'failed',
      isVisible: true,
      isMarked: true,
    },
  });
  t.match(screenUpdate(reviewOf(update({ after: { name: 'web' } })), DRIVERS), {
    update: { isVisible: false, isMarked: false },
  });
});
