/** ReleaseLocks as the watch tells them. */
import t from 'tap';
import type { ReleaseLock } from '../../src/kubernetes/release-locks.ts';
import { createRecordedReader } from '../../src/locks/read-recorded.ts';
import { createRecordedLocks } from '../../src/locks/recorded.ts';
import { testLog } from '../support/log.ts';
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

t.test('an entry that a live read found counts until the watch tells of it', async (t) => {
  const { recorded, changed } = harness();
  const six = revision(6, 'pending-upgrade');
  recorded.learn(entry('api', { ...SPEC, holder: { user: 'bob' } }));
  t.match(recorded.recordOf(six), { holder: { user: 'bob' } });
  t.equal(recorded.recordOf({ ...six, uid: 'another' }), undefined, 'of that record alone');
  t.same(changed, [], 'and is no news of the cluster');
  recorded.follow.onList([entry('api', { ...SPEC, holder: { user: 'alice' } })]);
  t.match(recorded.recordOf(six), { holder: { user: 'alice' } });
});

t.test(
  'a ReleaseLock is read only where none is known, and one that cannot be read changes nothing',
  async (t) => {
    const { recorded } = harness();
    const logs = testLog();
    const asked: object[] = [];
    let answer = async () => ({ items: [entry('api', { ...SPEC, holder: { user: 'bob' } })] });
    const read = createRecordedReader({
      store: {
        list: async (_resource, selection) => {
          asked.push(selection);
          return { resourceVersion: '1', continueToken: undefined, ...(await answer()) };
        },
      },
      recorded,
      log: logs.log,
    });
    const six = revision(6, 'pending-upgrade');
    const good = answer;
    answer = () => Promise.reject(new Error('no answer'));
    await read(six, new AbortController().signal);
    t.equal(recorded.recordOf(six), undefined);
    t.match(logs.lines, [{ msg: 'the ReleaseLock cannot be read', reason: 'Error: no answer' }]);
    await t.rejects(read(six, AbortSignal.abort(new Error('hung up'))), /hung up/);
    answer = good;
    await read(six, new AbortController().signal);
    t.match(recorded.recordOf(six), { holder: { user: 'bob' } });
    t.match(asked.at(-1), { namespace: 'prod', fieldSelector: 'metadata.name=api' });
    const before = asked.length;
    await read(six, new AbortController().signal);
    t.equal(asked.length, before, 'it is known now');
  },
);
