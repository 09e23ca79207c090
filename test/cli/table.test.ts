import t from 'tap';
import { table } from '../../src/cli/table.ts';

t.test('columns are as wide as what is in them, and no line ends in spaces', async (t) => {
  t.same(table([['A', 'LONGER', 'C'], ['wide', 'b', ''], ['x']]), ['A      LONGER   C', 'wide   b', 'x']);
  t.same(table([]), []);
});

t.test('a cell is as wide as what is shown of it, and never more than one line', async (t) => {
  t.same(
    table([
      ['a\nb', 'x'],
      ['\u001b[2J', 'y'],
    ]),
    ['a\\u{a}b     x', '\\u{1b}[2J   y'],
  );
});
