/** ReleaseLocks as the watch tells them. */
import t from 'tap';
import type { ReleaseLock } from '../../src/kubernetes/release-locks.ts';
import { createRecordedLocks } from '../../src/locks/recorded.ts';
import { revision } from '../support/revisions.ts';

function entry(name: string, spec?: ReleaseLock['spec']): ReleaseLock {
  return { metadata: { name, namespace: 'prod', uid: name, resourceVersion: '1' }, ...(spec && { spec }) };
}

const SPEC = { driver: 'secrets', revision: 6, status: 'pending-upgrade', recordUID: 'uid-of-6', since: '' };

function harness() {
  const changed: (string | undefined)[] = [];
  const recorded = createRecordedLocks((key) => changed.push(key));
  return { changed, recorded, names: () => [...recorded.entries.keys()] };
}

t.test('a list, and every change after it', async (t) => {
  const { recorded, changed, names } = harness();
  const { onList, onEvent, onMissing, resource } = recorded.follow;
  t.equal(resource, 'releaselocks');
  t.notOk(recorded.isComplete());
  onList([entry('api'), entry('web')]);
  t.ok(recorded.isComplete());
  onEvent('ADDED', entry('db'));
  onEvent('DELETED', entry('web'));
  t.same(names(), ['prod/api', 'prod/db']);
  onList([entry('api')]);
  t.same(names(), ['prod/api']);
  t.same(changed, [undefined, 'prod/db', 'prod/web', undefined]);
  onMissing?.();
  t.notOk(recorded.isComplete(), 'nobody serves them any more');
  t.same(names(), []);
});

t.test('Events about a record are about its ReleaseLock, too, also when that is gone', async (t) => {
  const { recorded } = harness();
  const { onList, onEvent, onMissing } = recorded.follow;
  const record = { namespace: 'prod', name: 'sh.helm.release.v1.api.v6', uid: 'uid-of-6' };
  const subject = { kind: 'ReleaseLock', namespace: 'prod', name: 'api', uid: 'api' };
  onList([]);
  t.equal(recorded.subjectFor(record), undefined);
  onEvent('ADDED', entry('api', SPEC));
  t.same(recorded.subjectFor(record), subject);
  t.equal(recorded.subjectFor({ ...record, uid: 'another' }), undefined, 'it tells of another record');
  t.equal(recorded.subjectFor({ ...record, name: 'no record' }), undefined);
  onEvent('DELETED', entry('api', SPEC));
  onEvent('DELETED', entry('web'));
  t.same(recorded.subjectFor(record), subject, 'a moment ago');
  onEvent('ADDED', entry('api', { ...SPEC, recordUID: 'uid-of-7' }));
  t.same(recorded.subjectFor(record), subject, 'also when there is another one');
  onMissing?.();
  t.same(recorded.subjectFor(record), subject);
});

t.test('what is recorded of a revision is recorded of its very record', async (t) => {
  const { recorded } = harness();
  const { onList } = recorded.follow;
  const six = revision(6, 'pending-upgrade');
  onList([]);
  t.equal(recorded.recordOf(six), undefined);
  onList([entry('api')]);
  t.equal(recorded.recordOf(six), undefined, 'an entry that says nothing');
  onList([entry('api', SPEC)]);
  t.strictSame(recorded.recordOf(six), { holder: undefined }, 'of nobody');
  t.equal(recorded.recordOf({ ...six, uid: 'another' }), undefined, 'of another record');
  t.equal(recorded.recordOf({ ...six, number: 7 }), undefined, 'of another revision');
  const inConfigMap = { ...six.release, driver: 'configmaps' } as const;
  t.equal(recorded.recordOf({ ...six, release: inConfigMap }), undefined, 'of another driver');
  const pod = { namespace: 'ci', name: 'runner-7f9c', uid: 'pod-1' };
  for (const [holder, client] of [
    [{ user: 'alice' }, { user: 'alice', pod: undefined }],
    [
      { user: 'runner', pod },
      { user: 'runner', pod },
    ],
    [
      { user: 'runner', canonicalArn: 'arn', pod, podKind: 'job', neverAutoClear: true },
      { user: 'runner', canonicalArn: 'arn', pod, podKind: 'job', neverAutoClear: true },
    ],
    [
      { user: 'alice', neverAutoClear: false },
      { user: 'alice', pod: undefined },
    ],
  ] as const) {
    onList([entry('api', { ...SPEC, holder })]);
    t.strictSame(recorded.recordOf(six), { holder: client });
  }
});
