/**
 * The rule of the product, as two pure functions: one deploy of a release at a time.
 *
 * Helm numbers a new revision R = newest + 1, so a release is locked exactly when the newest revision below
 * R is pending. A pending revision further down is shadowed: Helm leaves one behind for ever when a rollback
 * repairs a dead upgrade, and it locks nothing.
 *
 * Storage refuses a second R, but not an R that comes too late: another client may have made R, failed, and
 * pruned it with `--history-max` on its way to R + 1. So whatever is stored at R or above refuses R, too.
 *
 * A lock whose holder is dead gives way to any deploy. One whose holder has been silent for too long gives way to a
 * rollback, the remedy that Helm's users know. And a holder that failed may roll back what it left pending itself.
 */
import {
  type Driver,
  isPending,
  isSelectable,
  isUnderWay,
  type PendingStatus,
  parseRecordName,
  parseRevisionNumber,
  type Release,
} from '../helm/release.ts';
import type { Denial, Review } from './admission-review.ts';
import { isStale, passageOf } from './doors.ts';
import { isAddressable, isHelmRecord } from './helm-record.ts';
import type { Client, Judgement, Lock } from './lock.ts';
import { ALLOW_DELETE, isMarked } from './marks.ts';
import { relationOf } from './same-client.ts';
import { judge, type StaleLimits } from './verdict.ts';
import { lostTheRace, malformed, ungated } from './words.ts';

/** The creation of a pending revision: what the gate is about. */
export interface Deploy {
  readonly release: Release;
  /** R, the revision to be created. */
  readonly revision: number;
  readonly status: PendingStatus;
  /** The uid that the record will have once it is stored. */
  readonly uid: string;
  readonly client: Client;
  readonly dryRun: boolean;
  readonly payload: () => string;
}

export type Screening =
  | { readonly kind: 'allow'; readonly warnings: readonly string[] }
  | { readonly kind: 'deny'; readonly denial: Denial }
  | { readonly kind: 'deploy'; readonly deploy: Deploy }
  | { readonly kind: 'restore'; readonly restore: Restore };

/**
 * A record that comes into being with a status that Helm never begins with: a backup is restored, a migration writes the next
 * revision, or labels are put on what was no record.
 */
export interface Restore {
  readonly driver: Driver;
  readonly namespace: string;
  /** The releases that it may belong to: as its name says, and as its label says. */
  readonly names: readonly string[];
  /** As its name says; undefined if it says none, so that it may be above any other. */
  readonly revision: number | undefined;
  /** The name of the record itself. */
  readonly record: string;
  readonly status: string;
  readonly uid: string;
  readonly client: Client;
  readonly dryRun: boolean;
}

/** What can be said of a review without asking the cluster. */
export function screen(review: Review, gated: readonly Driver[]): Screening {
  const { driver, labels, operation } = review;
  if (driver === undefined || operation !== 'CREATE' || !isHelmRecord(review)) {
    return { kind: 'allow', warnings: [] };
  }
  if (!isPending(labels.status)) {
    const restore = gated.includes(driver) ? restoreOf(review) : undefined;
    return restore ? { kind: 'restore', restore } : { kind: 'allow', warnings: [] };
  }
  if (!gated.includes(driver)) return { kind: 'allow', warnings: [ungated(driver)] };

  const record = identify(review);
  if (typeof record === 'string') {
    return { kind: 'deny', denial: { code: 400, message: malformed(review.name, record) } };
  }
  return {
    kind: 'deploy',
    deploy: {
      release: { driver, namespace: review.namespace, name: record.release },
      revision: record.revision,
      status: labels.status,
      uid: review.objectUid,
      client: review.client,
      dryRun: review.dryRun,
      payload: review.payload,
    },
  };
}

/** Undefined for what Helm would not find: it looks for the labels `owner` and `name`. */
export function restoreOf(review: Review): Restore | undefined {
  const { driver, namespace, name, labels, objectUid, client, dryRun } = review;
  if (driver === undefined || labels.owner !== 'helm') return undefined;
  const parsed = parseRecordName(name);
  const names = [...new Set([parsed?.release ?? '', labels.name ?? ''])].filter(isSelectable);
  if (names.length === 0 || namespace === '') return undefined;
  const status = labels.status ?? '';
  return {
    driver,
    namespace,
    names,
    revision: parsed?.revision,
    record: name,
    status,
    uid: objectUid,
    client,
    dryRun,
  };
}

/** The deletion of a pending revision: what the guard is about. */
export interface Deletion {
  readonly release: Release;
  readonly revision: number;
  readonly uid: string;
  readonly client: Client;
  /** Whether somebody marked the record, so that it may be deleted whatever it locks. */
  readonly marked: boolean;
}

/**
 * Kubernetes itself, when it deletes a namespace or what nobody owns any more: the controllers under their own
 * names, or all of them under that of their manager (`--use-service-account-credentials=false`).
 */
export const KUBERNETES: readonly string[] = [
  'system:serviceaccount:kube-system:namespace-controller',
  'system:serviceaccount:kube-system:generic-garbage-collector',
  'system:kube-controller-manager',
];

/** The deletion that the guard has to look at; undefined when it may pass without asking the cluster. */
export function screenDeletion(review: Review, gated: readonly Driver[]): Deletion | undefined {
  const { driver, labels, annotations, operation, client } = review;
  const isAboutPending = operation === 'DELETE' && isHelmRecord(review) && isPending(labels.status);
  if (!isAboutPending || driver === undefined || !gated.includes(driver)) return undefined;
  if (KUBERNETES.includes(client.user)) return undefined;
  // Its name says what it locks, as it does when a deploy is judged: nobody ends a lock by editing the other labels.
  const record = parseRecordName(review.name);
  if (record === undefined || !isAddressable(review, record.release)) return undefined;
  const release = { driver, namespace: review.namespace, name: record.release };
  const marked = isMarked(annotations, ALLOW_DELETE);
  return { release, revision: record.revision, uid: review.objectUid, client, marked };
}

/** A write that the fence may refuse. */
export interface Overwrite {
  readonly release: Release;
  readonly revision: number;
  /** Helm's status, once it is written. */
  readonly becomes: string;
  readonly client: Client;
}

/** The write of a record that makes it deployed or pending; undefined for any other. */
export function screenOverwrite(review: Review, gated: readonly Driver[]): Overwrite | undefined {
  const { driver, labels, operation, namespace, name, client } = review;
  const record = parseRecordName(name);
  const becomes = labels.status ?? '';
  if (operation !== 'UPDATE' || driver === undefined || !gated.includes(driver) || record === undefined) {
    return undefined;
  }
  if (becomes !== 'deployed' && !isPending(becomes)) return undefined;
  return { release: { driver, namespace, name: record.release }, revision: record.revision, becomes, client };
}

const ENDED: readonly string[] = ['failed', 'superseded', 'uninstalling', 'uninstalled'];

/** Whether the fence refuses it; the rule itself is in deploy/chart/templates/fence.yaml. */
export function isFenced(was: string, becomes: string): boolean {
  return ENDED.includes(was) || (was === 'deployed' && isPending(becomes));
}

/** Rule 2: the release and revision that a record claims to be, or in words where it contradicts itself. */
function identify({
  name,
  labels,
  namespace,
  objectUid,
}: Review): { release: string; revision: number } | string {
  const record = parseRecordName(name);
  if (record === undefined) return 'its name is not sh.helm.release.v1.<release>.v<revision>';
  if (!isSelectable(record.release)) return 'no release can have that name';
  if (labels.owner !== 'helm') return 'it has no label owner=helm';
  if (!labels.name) return 'it has no label name, so it belongs to no release';
  if (labels.name !== record.release) return `its label name is ${JSON.stringify(labels.name)}`;
  const version = parseRevisionNumber(labels.version);
  if (version === undefined)
    return `its label version is ${JSON.stringify(labels.version)}, which is no revision`;
  if (version !== record.revision) return `its label version is ${version}`;
  if (namespace === '') return 'it has no namespace';
  if (objectUid === '') return 'it has no metadata.uid';
  return record;
}

/** What was read from the cluster for one deploy. */
export interface ClusterFacts {
  /** The newest revision from R on, when another client was first. */
  readonly rival: Lock | undefined;
  /** The newest revision below R. */
  readonly below: Lock | undefined;
}

/** Which locks are cleared with nobody asking: see `LOCKKEEPER_AUTO_CLEAR`. */
export const AUTO_CLEAR = ['off', 'dead-holder', 'expired'] as const;
export type AutoClear = (typeof AUTO_CLEAR)[number];

export interface Policy extends StaleLimits {
  readonly autoClear: AutoClear;
}

export type Decision =
  | { readonly kind: 'allow' }
  | { readonly kind: 'deny'; readonly denial: Denial }
  | { readonly kind: 'clear'; readonly lock: Lock; readonly judgement: Judgement }
  | { readonly kind: 'hold'; readonly lock: Lock; readonly judgement: Judgement };

/**
 * What becomes of a deploy.
 * @param now milliseconds since 1970, by the clock that stamps the records
 * @param judgeLock default: by `now` and the record's own times
 */
export function decide(
  deploy: Deploy,
  { rival, below }: ClusterFacts,
  policy: Policy,
  now: number,
  judgeLock: (lock: Lock) => Judgement = (lock) => judge(lock, policy, now),
): Decision {
  if (rival !== undefined && rival.revision.uid !== deploy.uid) {
    return { kind: 'deny', denial: { code: 409, message: lostTheRace(rival, deploy.revision, now) } };
  }
  if (below === undefined || !isUnderWay(below.revision.status)) return { kind: 'allow' };
  const judgement = judgeLock(below);
  const autoClear = autoClearOf(below, policy);
  // Nothing is cleared here: Helm itself goes on where an uninstall broke off.
  if (isUninstalling(below) && isStale(judgement)) return { kind: 'allow' };
  const isRollback = deploy.status === 'pending-rollback';
  if (maySweep(judgement, autoClear) || (isRollback && isRemedied(judgement, autoClear))) {
    return { kind: 'clear', lock: below, judgement };
  }
  const passage = passageOf({
    operation: 'CREATE',
    before: '',
    after: deploy.status,
    isVisible: true,
    payloadStatus: deploy.status,
    relation: relationOf(deploy.client, below.holder),
    // A stale lock that may not be cleared is in the way like a live one: Helm would leave it pending for ever.
    verdict: 'live',
    isMarked: false,
  });
  return passage === 'allow' ? { kind: 'allow' } : { kind: 'hold', lock: below, judgement };
}

function isUninstalling({ revision }: Lock): boolean {
  return revision.status === 'uninstalling';
}

/** What of a policy holds for a lock: some pods have another keeper, whose next attempt would be spoilt. */
export function autoClearOf({ holder }: Lock, { autoClear }: Pick<Policy, 'autoClear'>): AutoClear {
  return holder?.neverAutoClear === true ? 'off' : autoClear;
}

/** What may be cleared with nobody asking for it. */
export function maySweep({ verdict }: Judgement, autoClear: AutoClear): boolean {
  switch (verdict) {
    case 'live':
    case 'ending':
      return false;
    case 'dead-holder':
      return autoClear !== 'off';
    case 'expired':
      return autoClear === 'expired';
  }
}

/** A rollback is a person's deliberate act, and the remedy that everybody knows for a stale lock. */
function isRemedied(judgement: Judgement, autoClear: AutoClear): boolean {
  return isStale(judgement) && autoClear !== 'off';
}
