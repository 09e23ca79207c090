import { EventEmitter } from 'node:events';
import t from 'tap';
import { catchSignals, exitCodeOfChild } from '../../../src/cli/run/child.ts';

t.test('a signal that came before there was a child is told to the child', async (t) => {
  const source = new EventEmitter();
  const signals = catchSignals(source);
  source.emit('SIGTERM', 'SIGTERM');
  source.emit('SIGINT', 'SIGINT');
  t.equal(signals.first.reason, 'SIGTERM');
  const told: string[] = [];
  signals.on((signal) => told.push(signal));
  source.emit('SIGINT', 'SIGINT');
  t.same(told, ['SIGTERM', 'SIGINT']);
  signals.release();
  t.equal(source.listenerCount('SIGTERM'), 0);
});

t.test('exit codes', async (t) => {
  t.equal(exitCodeOfChild({ code: 3, signal: null }), 3);
  t.equal(exitCodeOfChild({ code: null, signal: 'SIGKILL' }), 137);
});
