import t from 'tap';
import { createTeller } from '../../../src/cli/run/held-words.ts';

t.test('words are told once, and again when more than the time has changed', async (t) => {
  const told: string[] = [];
  const tell = createTeller((line) => told.push(line));
  const gate = 'secrets "x" is forbidden: admission webhook "gate.lockkeeper.dev" denied the request: ';
  tell(`${gate}release prod/api is locked by revision 6 (pending-upgrade, 42s, alice).`);
  tell(`${gate}release prod/api is locked by revision 6 (pending-upgrade, 1m2s, alice).`);
  tell(`${gate}release prod/api is locked by revision 7 (pending-upgrade, 1s, bob).`);
  tell('too many requests');
  t.same(told, [
    'Helm waits: release prod/api is locked by revision 6 (pending-upgrade, 42s, alice).',
    'Helm waits: release prod/api is locked by revision 7 (pending-upgrade, 1s, bob).',
    'Helm waits: too many requests',
  ]);
});
