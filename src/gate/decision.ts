/**
 * The rule of the product, as two pure functions: one deploy of a release at a time.
 *
 * Helm numbers a new revision R = newest + 1, so a release is locked exactly when the newest revision below
 * R is pending. A pending revision further down is shadowed: Helm leaves one behind for ever when a rollback
 * repairs a dead upgrade, and it locks nothing.
 *
 * Storage refuses a second R, but not an R that comes too late: another client may have made R, failed, and
 * pruned it with `--history-max` on its way to R + 1. So whatever is stored at R or above refuses R, too.
 */
import {
  type Driver,
  isPending,
  isRecordName,
  type PendingStatus,
  parseRecordName,
  parseRevisionNumber,
  RECORD_TYPE,
  type Release,
} from '../helm/release.ts';
import type { Denial, Review } from './admission-review.ts';
import type { Client, Lock } from './lock.ts';
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
  | { readonly kind: 'deploy'; readonly deploy: Deploy };

/** Rules 1 and 2: what can be said of a review without asking the cluster. */
export function screen(review: Review, gated: readonly Driver[]): Screening {
  const { driver, labels, operation } = review;
  if (driver === undefined || operation !== 'CREATE' || !isHelmRecord(review) || !isPending(labels.status)) {
    return { kind: 'allow', warnings: [] };
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

/** A Secret says so by its type; a ConfigMap has none, so its name and its owner must both say so. */
function isHelmRecord({ driver, type, labels, name }: Review): boolean {
  return (driver === 'secrets' && type === RECORD_TYPE) || (labels.owner === 'helm' && isRecordName(name));
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

export type Decision =
  | { readonly kind: 'allow' }
  | { readonly kind: 'deny'; readonly denial: Denial }
  | { readonly kind: 'hold'; readonly lock: Lock };

/**
 * Rules 3, 4 and 7.
 * @param now milliseconds since 1970, for the words only
 */
export function decide(deploy: Deploy, { rival, below }: ClusterFacts, now: number): Decision {
  if (rival !== undefined && rival.revision.uid !== deploy.uid) {
    return { kind: 'deny', denial: { code: 409, message: lostTheRace(rival, deploy.revision, now) } };
  }
  if (below === undefined || !isPending(below.revision.status)) return { kind: 'allow' };
  return { kind: 'hold', lock: below };
}
