/**
 * The doors of a lock: every request that could end a lock or pass it, and what it gets. This is the one place where the rule
 * stands; the handlers only find out what it asks for, and carry out what it answers.
 *
 * | while revision R is pending                   | its holder            | another client          | unknown holder   |
 * |-----------------------------------------------|-----------------------|-------------------------|------------------|
 * | CREATE above R, pending                       | hold ¹                | hold                    | hold             |
 * | CREATE above R, any other status              | refuse                | refuse                  | refuse           |
 * | UPDATE to uninstalling                        | hold ²                | hold                    | hold             |
 * | UPDATE R to deployed, as its payload says     | allow                 | allow and report        | allow and report |
 * | UPDATE R to any other status, or out of sight | allow                 | refuse                  | allow and report |
 * | DELETE R                                      | allow                 | refuse                  | refuse           |
 *
 * ¹ A rollback from the holder's own job pod passes: `helm upgrade --atomic` rolls back by itself.
 * ² From the holder's own job pod it passes, and so does the holder's uninstall of its own first install: `helm install --atomic` that
 *   fails uninstalls over its own `pending-install`, without writing `failed` before (pkg/action/install.go of Helm 3 and 4).
 *
 * An UPDATE whose label says that R has ended, while its payload says that it is pending, is refused to everybody. A stale lock,
 * and a record that somebody marked, stop nothing else.
 */
import { isPending } from '../helm/release.ts';
import type { Judgement } from './lock.ts';
import { isHolder, type Relation } from './same-client.ts';

export interface DoorRequest {
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE';
  /** Helm's status that the label says before the write. The empty string if there is no label, or no record yet. */
  readonly before: string;
  /** The same after the write. */
  readonly after: string;
  /** Whether Helm finds the record by its labels after the write. */
  readonly isVisible: boolean;
  /** The status in the payload after the write; undefined if nobody can read it. */
  readonly payloadStatus: string | undefined;
  readonly relation: Relation;
  readonly verdict: Judgement['verdict'];
  /** Whether the record carries the annotation that allows its end. */
  readonly isMarked: boolean;
}

export type Passage =
  | 'allow'
  /** Allowed, and worth an Event: nobody is certain that the holder asked for it. */
  | 'allow-and-report'
  /** Wait until the lock is free. */
  | 'hold'
  | 'refuse'
  /** The label would say that the lock has ended, and the payload that it has not. */
  | 'refuse-false-label';

export const STALE: readonly Judgement['verdict'][] = ['dead-holder', 'expired'];

/** Whether nobody is at work behind a lock any more, as far as that can be told. */
export function isStale({ verdict }: Pick<Judgement, 'verdict'>): boolean {
  return STALE.includes(verdict);
}

export function passageOf(request: DoorRequest): Passage {
  if (hasFalseLabel(request)) return 'refuse-false-label';
  if (request.isMarked || isStale(request)) return 'allow';
  switch (request.operation) {
    case 'CREATE':
      return passageOfCreate(request);
    case 'UPDATE':
      return passageOfUpdate(request);
    case 'DELETE':
      return isHolder(request.relation) ? 'allow' : 'refuse';
  }
}

function hasFalseLabel({ operation, before, after, payloadStatus }: DoorRequest): boolean {
  return operation === 'UPDATE' && isPending(before) && !isPending(after) && isPending(payloadStatus);
}

function passageOfCreate({ after, relation }: DoorRequest): Passage {
  if (!isPending(after)) return 'refuse';
  return after === 'pending-rollback' && relation === 'same-job-pod' ? 'allow' : 'hold';
}

function passageOfUpdate(request: DoorRequest): Passage {
  const { after, isVisible, payloadStatus, relation } = request;
  if (after === 'uninstalling' && isVisible) return uninstallsItself(request) ? 'allow' : 'hold';
  if (isHolder(relation)) return 'allow';
  const isSuccess = after === 'deployed' && payloadStatus === 'deployed' && isVisible;
  return isSuccess || relation === 'unknown-holder' ? 'allow-and-report' : 'refuse';
}

function uninstallsItself({ before, relation }: DoorRequest): boolean {
  return relation === 'same-job-pod' || (before === 'pending-install' && isHolder(relation));
}
