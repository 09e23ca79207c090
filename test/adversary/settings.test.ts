import t from 'tap';
import { parseSettings, readSettings } from './settings.ts';

t.test('given what a failure said, then the same operations are made again', async (t) => {
  t.match(parseSettings(['--seed', '7', '--path', '3:0:1']), { seed: 7, path: '3:0:1', bugs: false });
});

t.test('given nothing, then the seed is another one each time, and there are few operations', async (t) => {
  const [one, other] = [parseSettings([]), parseSettings([])];
  t.not(one.seed, other.seed);
  t.match(one, { path: undefined, operations: 150 });
});

t.test('given a word for a number, then it says so', async (t) => {
  t.throws(() => parseSettings(['--operations', 'many']), {
    message: '--operations is "many", but must be a whole number',
  });
  t.throws(() => parseSettings(['--speed', '2']), /--speed/);
});

t.test('given the name of a bug, then that one is looked for', async (t) => {
  t.match(parseSettings(['--bug', 'guard']), { bugs: true, bug: 'guard' });
  t.match(parseSettings(['--bugs']), { bugs: true, bug: '' });
});

t.test('what the command hands on is what its file reads', async (t) => {
  t.match(readSettings('{"seed":1,"operations":10}'), { seed: 1, path: undefined, operations: 10 });
  t.match(readSettings(), { operations: 150 });
});
