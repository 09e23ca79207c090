import t from 'tap';
import type { EventSubject } from '../../src/kubernetes/events.ts';
import { alsoOnReleaseLocks } from '../../src/locks/lock-events.ts';

t.test('an Event about a record is recorded about its ReleaseLock as well, if there is one', async (t) => {
  const written: [EventSubject, string][] = [];
  const record: EventSubject = {
    kind: 'Secret',
    namespace: 'prod',
    name: 'sh.helm.release.v1.api.v6',
    uid: 'u',
  };
  const entry: EventSubject = { kind: 'ReleaseLock', namespace: 'prod', name: 'api', uid: 'of-the-lock' };
  let known: EventSubject | undefined;
  const events = alsoOnReleaseLocks(
    {
      async record(subject, { message }) {
        if (message === 'odd' && subject.kind === 'Secret') throw new Error('no');
        written.push([subject, message]);
      },
    },
    () => known,
  );
  const signal = new AbortController().signal;
  const text = { type: 'Normal', reason: 'Cleared' } as const;
  await events.record(record, { ...text, message: 'a' }, signal);
  known = entry;
  await events.record(record, { ...text, message: 'b' }, signal);
  await t.rejects(events.record(record, { ...text, message: 'odd' }, signal), { message: 'no' });
  t.same(written, [
    [record, 'a'],
    [record, 'b'],
    [entry, 'b'],
    [entry, 'odd'],
  ]);
});
