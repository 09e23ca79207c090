import t from 'tap';
import { table } from '../../src/cli/table.ts';

t.test('columns are as wide as what is in them, and no line ends in spaces', async (t) => {
  t.equal(table([['A', 'LONGER', 'C'], ['wide', 'b', ''], ['x']]), 'A      LONGER   C\nwide   b\nx\n');
  t.equal(table([]), '');
});
