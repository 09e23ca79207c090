/** Which path API servers are told of: none that a replica beside this one would not know. */
import t from 'tap';
import { choosePath, isOpenToOlder, type Situation } from '../../src/webhook/choose-path.ts';
import type { Tokens } from '../../src/webhook/tokens.ts';

const tokens: Tokens = { current: 'b', next: 'c', previous: ['a'], madeAt: 0 };
const [OPEN, A, B, C] = ['/admission', '/admission/a', '/admission/b', '/admission/c'];

const situation: Situation = {
  tokens,
  paths: [B, B],
  isArmed: true,
  seenMs: 0,
  isOlderReplicaThere: false,
};

const SECRET = { path: { wanted: B, alsoFine: [C] }, againMs: Number.POSITIVE_INFINITY };

t.test('the path, and when to choose again', async (t) => {
  for (const [given, changes, choice] of [
    ['all is told', {}, SECRET],
    ['the old one is told', { paths: [A] }, SECRET],
    ['no path, as the chart installs it', { paths: ['/'], isArmed: false }, SECRET],
    ['no path, and asked: an upgrade of the chart took it away', { paths: ['/'] }, SECRET],
    ['the open path, and nobody asks', { paths: [OPEN], isArmed: false }, SECRET],
    [
      'the open path, just now: pods of 0.1 may be about to come',
      { paths: [OPEN], seenMs: 5_000 },
      { path: { wanted: B, alsoFine: [C, OPEN] }, againMs: 10_000 },
    ],
    ['the open path, for a while', { paths: [OPEN], seenMs: 15_000 }, SECRET],
    [
      'replicas of 0.1 are there',
      { paths: [OPEN], seenMs: 90_000, isOlderReplicaThere: true },
      { path: { wanted: OPEN, alsoFine: [] }, againMs: 2_000 },
    ],
    [
      'replicas of 0.1, and no path: they know the open one',
      { paths: ['/'], isOlderReplicaThere: true },
      { path: { wanted: OPEN, alsoFine: [] }, againMs: 2_000 },
    ],
    [
      'nobody can tell: what is there stays',
      { paths: [OPEN, '/'], isOlderReplicaThere: undefined },
      { path: { wanted: OPEN, alsoFine: [OPEN, '/'] }, againMs: 2_000 },
    ],
  ] as const) {
    t.strictSame(choosePath({ ...situation, ...changes }), choice, given);
  }
  const { next: _, ...settled } = tokens;
  t.strictSame(choosePath({ ...situation, tokens: settled }).path, { wanted: B, alsoFine: [] });
});

t.test('older replicas are looked for when a path is told that is none of the secret ones', async (t) => {
  for (const [paths, expected] of [
    [[A, B, C], false],
    [[], false],
    [[B, OPEN], true],
    [['/'], true],
    [['/admission/d'], true],
  ] as const) {
    t.equal(isOpenToOlder(paths, tokens), expected, paths.join());
  }
});
