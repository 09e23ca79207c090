import t from 'tap';
import type { Chapter } from '../../src/gate/story.ts';
import { createStoryteller } from '../../src/locks/storyteller.ts';
import { testLog } from '../support/log.ts';

const record = { driver: 'secrets', namespace: 'prod', name: 'sh.helm.release.v1.api.v6', uid: 'u' } as const;
const chapter = (message: string, reason: Chapter['reason'] = 'Held'): Chapter => ({
  reason,
  record,
  message,
});

t.test(
  'one after another, in order, and the same only once; one that fails costs a line of the log',
  async (t) => {
    const { log, lines } = testLog();
    const written: unknown[] = [];
    const all = Promise.withResolvers<void>();
    const storyteller = createStoryteller(
      {
        async record(subject, text) {
          if (text.message === 'odd') throw new Error('no');
          if (written.push({ ...subject, ...text }) === 2) all.resolve();
        },
      },
      log,
    );
    storyteller.tell(chapter('a'));
    storyteller.tell(chapter('odd'));
    storyteller.tell(chapter('a'));
    storyteller.tell({ ...chapter('b', 'Refused'), record: { ...record, driver: 'configmaps' } });
    await all.promise;
    t.match(written, [
      { kind: 'Secret', name: record.name, uid: 'u', type: 'Normal', reason: 'Held', message: 'a' },
      { kind: 'ConfigMap', type: 'Warning', reason: 'Refused', message: 'b' },
    ]);
    t.match(lines, [{ msg: 'no Event could be recorded', event: 'Held', reason: 'Error: no' }]);
    await storyteller.stop();
  },
);

t.test(
  'too many are dropped with one line, and what is not told at the end is dropped without',
  async (t) => {
    const { log, messages } = testLog();
    let calls = 0;
    const storyteller = createStoryteller(
      {
        record: (_subject, _text, signal) => {
          calls++;
          return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
        },
      },
      log,
    );
    for (let count = 0; count < 110; count++) storyteller.tell(chapter(String(count)));
    await storyteller.stop();
    storyteller.tell(chapter('too late'));
    t.equal(calls, 1);
    t.same(messages(), ['too many Events at once: some are not recorded']);
  },
);
