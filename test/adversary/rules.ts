/**
 * What must never be seen in the log, one function for each rule. Each is pure: a history in, violations out. Where the log
 * leaves open what came first, no rule is broken.
 */
import { type History, historyOf } from './history.ts';
import type { Entry } from './log.ts';
import {
  noDeployBesideAnUninstall,
  nothingMadeBesideALock,
  onePendingAtATime,
} from './rules-of-creations.ts';
import {
  clearedForAReason,
  endedByItsHolder,
  labelsTellTheTruth,
  nothingLost,
  nothingMangled,
  uninstallsWait,
  whatHasEndedStaysEnded,
} from './rules-of-ends.ts';
import { everyLockEnds, locksNameTheirHolder } from './rules-of-locks.ts';
import { alwaysAsked, holdersMayEnd, refusedForAReason } from './rules-of-refusals.ts';
import type { Violation } from './violation.ts';

const RULES: readonly ((history: History) => Violation[])[] = [
  onePendingAtATime,
  nothingMadeBesideALock,
  noDeployBesideAnUninstall,
  whatHasEndedStaysEnded,
  endedByItsHolder,
  uninstallsWait,
  labelsTellTheTruth,
  clearedForAReason,
  nothingMangled,
  nothingLost,
  refusedForAReason,
  holdersMayEnd,
  alwaysAsked,
  everyLockEnds,
  locksNameTheirHolder,
];

/** @param entries in the order of the log */
export function check(entries: readonly Entry[]): Violation[] {
  const history = historyOf(entries);
  return RULES.flatMap((rule) => rule(history));
}
