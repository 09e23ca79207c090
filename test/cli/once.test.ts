import t from 'tap';
import { tellOnce } from '../../src/cli/once.ts';

t.test('a line is told again when more than a time has changed', async (t) => {
  const told: string[] = [];
  const tell = tellOnce((line) => told.push(line));
  for (const line of [
    'locked for 42s',
    'locked for 1m2s',
    'stale for 1m2s',
    'stale for 1h5m',
    'locked for 3s',
  ]) {
    tell(line);
  }
  t.same(told, ['locked for 42s', 'stale for 1m2s', 'locked for 3s']);
});
