import t from 'tap';
import { progressLine } from './progress.ts';

function written(isTTY: boolean) {
  const pieces: string[] = [];
  let now = 0;
  const stream = { isTTY, write: (piece: string) => pieces.push(piece) > 0 };
  const after = (milliseconds: number) => {
    now += milliseconds;
  };
  return { line: progressLine(stream, () => now), after, text: () => pieces.join('') };
}

t.test('on a terminal each line takes the place of the one before', async (t) => {
  const { line, text } = written(true);
  line.show('1 of 3');
  line.show('2 of 3');
  line.end();
  t.equal(text(), '\r\x1b[2K1 of 3\r\x1b[2K2 of 3\n');
});

t.test('in a log there is one now and then, and the last', async (t) => {
  const { line, after, text } = written(false);
  line.show('1 of 4');
  after(14_999);
  line.show('2 of 4');
  t.equal(text(), '1 of 4\n');
  after(1);
  line.show('3 of 4');
  line.show('4 of 4');
  line.end();
  t.equal(text(), '1 of 4\n3 of 4\n4 of 4\n');
});

for (const isTTY of [true, false]) {
  t.test('nothing is written when nothing was to be done', async (t) => {
    const { line, text } = written(isTTY);
    line.end();
    t.equal(text(), '');
  });
}
