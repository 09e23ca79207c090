/** Events of what happens at the locks: on the record and on its ReleaseLock, in order, and each only once. */
import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import type { Chapter } from '../../src/gate/story.ts';
import type { EventRecorder, EventSubject } from '../../src/kubernetes/events.ts';
import { createStoryteller } from '../../src/locks/storyteller.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { testLog } from '../support/log.ts';

const record = { driver: 'secrets', namespace: 'prod', name: 'sh.helm.release.v1.api.v6', uid: 'u' } as const;
const RELEASE_LOCK: EventSubject = {
  kind: 'ReleaseLock',
  namespace: 'prod',
  name: 'api',
  uid: 'of-the-lock',
};

const chapter = (message: string, reason: Chapter['reason'] = 'Held'): Chapter => ({
  reason,
  record,
  message,
});

function start(recorder?: EventRecorder['record']) {
  const clock = fakeClock();
  const logs = testLog();
  const written: string[] = [];
  const entries = new Map<string, EventSubject>();
  const storyteller = createStoryteller({
    events: {
      record:
        recorder ??
        (async ({ kind, name, uid }, { type, reason, message }) => {
          if (message === 'odd') throw new Error('no');
          written.push(`${kind} ${name} ${uid}: ${type} ${reason} ${message}`);
        }),
    },
    subjectFor: ({ uid }) => entries.get(uid),
    now: clock.now,
    log: logs.log,
  });
  return {
    storyteller,
    clock,
    logs,
    entries,
    /** What was written since it was last asked. */
    written: async () => {
      await setImmediate();
      return written.splice(0);
    },
  };
}

const ON_RECORD = 'Secret sh.helm.release.v1.api.v6 u:';
const ON_LOCK = 'ReleaseLock api of-the-lock:';

t.test(
  'one after another, in order, and the same only once; one that fails costs a line of the log',
  async (t) => {
    const { storyteller, written, logs } = start();
    storyteller.tell(chapter('a'));
    storyteller.tell(chapter('odd'));
    storyteller.tell(chapter('a'));
    storyteller.tell({ ...chapter('b', 'Refused'), record: { ...record, driver: 'configmaps' } });
    t.same(await written(), [
      `${ON_RECORD} Normal Held a`,
      'ConfigMap sh.helm.release.v1.api.v6 u: Warning Refused b',
    ]);
    t.match(logs.lines, [{ msg: 'no Event could be recorded', event: 'Held', reason: 'Error: no' }]);
    await storyteller.stop();
  },
);

t.test('what somebody should look at is a warning', async (t) => {
  const { storyteller, written } = start();
  for (const [reason, type] of [
    ['Held', 'Normal'],
    ['Admitted', 'Normal'],
    ['Refused', 'Warning'],
    ['Fenced', 'Warning'],
    ['Ended', 'Warning'],
    ['Stale', 'Warning'],
  ] as const) {
    storyteller.tell(chapter('a', reason));
    t.same(await written(), [`${ON_RECORD} ${type} ${reason} a`]);
  }
  await storyteller.stop();
});

t.test('each is told on the ReleaseLock, too: at once, or when there is one', async (t) => {
  const { storyteller, written, entries, clock } = start();
  entries.set('u', RELEASE_LOCK);
  storyteller.tell(chapter('a'));
  t.same(await written(), [`${ON_RECORD} Normal Held a`, `${ON_LOCK} Normal Held a`]);

  entries.clear();
  storyteller.tell(chapter('b'));
  storyteller.wake();
  t.same(await written(), [`${ON_RECORD} Normal Held b`], 'there is none yet');
  entries.set('u', RELEASE_LOCK);
  storyteller.wake();
  storyteller.wake();
  t.same(await written(), [`${ON_LOCK} Normal Held b`], 'once');

  entries.clear();
  storyteller.tell(chapter('c'));
  clock.advance(4_999);
  storyteller.wake();
  clock.advance(1);
  storyteller.wake();
  entries.set('u', RELEASE_LOCK);
  storyteller.wake();
  t.same(await written(), [`${ON_RECORD} Normal Held c`], 'it was not there in time');

  entries.clear();
  storyteller.tell(chapter('d'));
  await written();
  await storyteller.stop();
  entries.set('u', RELEASE_LOCK);
  storyteller.wake();
  t.same(await written(), [], 'nothing is told after the end');
});

t.test(
  'too many are dropped with one line, and what is not told at the end is dropped without',
  async (t) => {
    let calls = 0;
    const { storyteller, logs, entries } = start((_subject, _text, signal) => {
      calls++;
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    });
    for (let count = 0; count < 210; count++) storyteller.tell(chapter(String(count)));
    entries.set('u', RELEASE_LOCK);
    storyteller.wake();
    await storyteller.stop();
    storyteller.tell(chapter('too late'));
    t.equal(calls, 1);
    t.same(logs.messages(), ['too many Events at once: some are not recorded']);
  },
);

t.test('so are those that wait for a ReleaseLock', async (t) => {
  const { storyteller, written, entries } = start();
  for (let count = 0; count < 210; count++) {
    storyteller.tell(chapter(String(count)));
    await setImmediate();
  }
  t.equal((await written()).length, 210);
  entries.set('u', RELEASE_LOCK);
  storyteller.wake();
  t.equal((await written()).length, 200);
  await storyteller.stop();
});
