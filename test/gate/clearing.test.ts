/** Design §4.3: the words that a clear leaves behind, and those for one that came too late. */
import t from 'tap';
import { describeClearing, tidyReason, whatBecameOf } from '../../src/gate/clearing.ts';
import { judge } from '../../src/gate/verdict.ts';
import type { Revision } from '../../src/helm/release.ts';
import { limits } from '../support/limits.ts';
import { revision } from '../support/revisions.ts';

const CREATED = Date.parse('2026-11-22T12:59:18Z');
const STALE = Date.parse('2026-11-22T13:20:00.789Z');
const LIVE = Date.parse('2026-11-22T13:00:00.000Z');

const lock = { revision: revision(6, 'pending-upgrade', { createdAt: CREATED }), holder: undefined };

t.test(
  'given a clear, when helm history shows it, then it says how, by whom, when, of what and why',
  async (t) => {
    const stale = 'no sign of life for 20m42s, and 15m are enough';
    const live = 'created 42s ago, stale in 14m18s unless it is written again';
    const cleared = 'by alice at 2026-11-22T13:20:00Z, was pending-upgrade';
    const early = 'by alice at 2026-11-22T13:00:00Z, was pending-upgrade';
    const rows: [string, number, boolean, string | undefined, string][] = [
      ['a stale lock', STALE, false, undefined, `Cleared ${cleared}: ${stale}`],
      [
        'with a reason',
        STALE,
        false,
        'the job was cancelled',
        `Cleared ${cleared}: ${stale}; the job was cancelled`,
      ],
      ['with an empty reason', STALE, false, '', `Cleared ${cleared}: ${stale}`],
      ['with a force that it did not need', STALE, true, undefined, `Cleared ${cleared}: ${stale}`],
      ['a live lock by force', LIVE, true, undefined, `Cleared by force ${early}: ${live}`],
      ['by force, with a reason', LIVE, true, 'INC-1', `Cleared by force ${early}: ${live}; INC-1`],
      ['a live lock, and nobody forced it', LIVE, false, undefined, `Cleared ${early}: ${live}`],
    ];
    for (const [given, now, force, reason, expected] of rows) {
      const target = lock.revision.release;
      const request = {
        target,
        strategy: 'mark-failed',
        trigger: 'rest',
        by: 'alice',
        force,
        reason,
      } as const;
      t.equal(describeClearing(request, lock, judge(lock, limits(), now), now), expected, given);
    }
  },
);

t.test(
  'given somebody who was first, when a clear comes too late, then it says what became of the lock',
  async (t) => {
    const rows: [string, Revision | undefined, boolean, string][] = [
      ['deleted', undefined, false, 'the record of revision 6 is gone: somebody deleted it'],
      [
        'deleted, and others are there',
        revision(5, 'deployed'),
        false,
        'the record of revision 6 is gone: somebody deleted it',
      ],
      ['shadowed', revision(7, 'pending-rollback'), true, 'there is revision 7 (pending-rollback) now'],
      ['ended', revision(6, 'deployed'), true, 'revision 6 is deployed now'],
      [
        'written to',
        revision(6, 'pending-upgrade', { resourceVersion: '99' }),
        true,
        'revision 6 was written to meanwhile',
      ],
    ];
    for (const [given, newest, isStored, expected] of rows) {
      t.equal(whatBecameOf(lock, newest, isStored), expected, given);
    }
  },
);

t.test('given a reason, then it is kept in one line, without what a terminal would obey', async (t) => {
  for (const [text, kept] of [
    ['job 4711 was cancelled', 'job 4711 was cancelled'],
    ['  job\t4711\r\nwas\u2028cancelled\u0085\n', 'job 4711 was cancelled'],
    ['\u001b[31mred\u001b[0m', '[31mred[0m'],
    ['\u202ecnac\u2066el\u200bled', 'cnacelled'],
    ['Grüße, 世界', 'Grüße, 世界'],
    ['👩'.repeat(201), '👩'.repeat(200)],
    [`${'x'.repeat(199)} y`, 'x'.repeat(199)],
    ['\u0000', undefined],
    ['', undefined],
  ] as const) {
    t.equal(tidyReason(text), kept, kept ?? 'nothing');
  }
});
