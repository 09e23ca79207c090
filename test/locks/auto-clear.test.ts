/** What is cleared in a namespace with nobody asking: its annotation decides, and doubt clears nothing. */
import t from 'tap';
import { createAutoClear } from '../../src/locks/auto-clear.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { testLog } from '../support/log.ts';

const never = new AbortController().signal;
const ANNOTATION = 'lockkeeper.dev/auto-clear';

function world() {
  const clock = fakeClock();
  const logs = testLog();
  const asked: string[] = [];
  const state = { annotations: {} as Record<string, string>, error: undefined as Error | undefined };
  const autoClearIn = createAutoClear({
    fallback: 'dead-holder',
    readAnnotations: async (namespace) => {
      asked.push(namespace);
      if (state.error) throw state.error;
      return state.annotations;
    },
    now: clock.now,
    log: logs.log,
  });
  return { clock, logs, asked, state, autoClearIn };
}

t.test('a namespace says it, or LOCKKEEPER_AUTO_CLEAR does', async (t) => {
  const { clock, logs, asked, state, autoClearIn } = world();
  t.equal(await autoClearIn('prod', never), 'dead-holder');
  state.annotations = { [ANNOTATION]: 'off' };
  t.equal(await autoClearIn('prod', never), 'dead-holder', 'what was read is good for five seconds');
  for (const value of ['off', 'expired', 'dead-holder']) {
    state.annotations = { [ANNOTATION]: value };
    clock.advance(5_001);
    t.equal(await autoClearIn('prod', never), value);
  }
  t.equal(await autoClearIn('ci', never), 'dead-holder');
  t.strictSame(asked, ['prod', 'prod', 'prod', 'prod', 'ci'], 'each namespace by itself');
  t.strictSame(logs.lines, []);
});

t.test('what is wrong or cannot be read clears nothing, and is said once', async (t) => {
  const { clock, logs, state, autoClearIn } = world();
  state.annotations = { [ANNOTATION]: 'yes' };
  for (let time = 0; time < 2; time += 1) {
    t.equal(await autoClearIn('prod', never), 'off');
    clock.advance(5_001);
  }
  state.error = new Error('namespaces is forbidden');
  t.equal(await autoClearIn('prod', never), 'off');
  const msg = 'no lock of this namespace is cleared by itself';
  t.match(logs.lines, [
    { msg, namespace: 'prod', reason: /is "yes", but must be one of off, dead-holder, expired$/ },
    { msg, reason: 'Error: namespaces is forbidden' },
  ]);
  t.equal(logs.lines.length, 2);
});

t.test('a question that was given up is no answer', async (t) => {
  const { state, autoClearIn } = world();
  state.error = new Error('aborted');
  await t.rejects(autoClearIn('prod', AbortSignal.abort(new Error('stopping'))), { message: 'stopping' });
});
