import t from 'tap';
import { parseDuration } from '../../src/cli/duration.ts';

t.test('durations as Go reads them', async (t) => {
  const table: [string, number | undefined][] = [
    ['0', 0],
    ['0s', 0],
    ['90s', 90],
    ['10m', 600],
    ['1h30m', 5400],
    ['1.5h', 5400],
    ['.5s', 0.5],
    ['250ms', 0.25],
    ['', undefined],
    ['10', undefined],
    ['-1m', undefined],
    ['1d', undefined],
    ['m', undefined],
    ['1m 30s', undefined],
    ['soon', undefined],
  ];
  for (const [text, seconds] of table) t.equal(parseDuration(text), seconds, JSON.stringify(text));
});
