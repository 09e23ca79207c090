import type { Revision } from '../helm/release.ts';

/** Who sent a request, as the API server vouches for it. */
export interface Client {
  readonly user: string;
  /** Of EKS (`canonicalArn` in `extra`): the same for all sessions of one role, whatever they are called. */
  readonly canonicalArn?: string;
  /** The pod that the user's token is bound to; undefined for people and for clients outside the cluster. */
  readonly pod: Pod | undefined;
}

/**
 * Whether a pod runs one job, or serves many. A gateway pod forwards requests: the Helm that it speaks for may run elsewhere,
 * so the end of the pod says nothing of the end of the deploy.
 */
export type PodKind = 'job' | 'gateway';

/** The client whose review named a pending revision, and what is known of its pod. */
export interface Holder extends Client {
  /** Left out without a pod, and for a pod whose metadata could not be read: such a pod counts as a gateway pod. */
  readonly podKind?: PodKind;
  /** Whether its pod matches `LOCKKEEPER_AUTO_CLEAR_EXCEPT`, so that nobody but a person clears its lock. */
  readonly neverAutoClear?: true;
}

/** A user as the API server names it; handed back to it as it came. */
export interface User {
  readonly username: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

export interface Pod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** A pending revision and, if it is known, the client that created it. */
export interface Lock {
  readonly revision: Revision;
  readonly holder: Holder | undefined;
  /** The proof that the holder's pod has ended; left out as long as it may be running. */
  readonly death?: Death | undefined;
  /** Whether `kubectl get releaselocks` shows it. */
  readonly isListed?: boolean;
  /**
   * Since when nobody has written to the record, in milliseconds by the clock that judges. Left out where that is the clock
   * which stamps the records: then the record's own times count.
   */
  readonly silentSince?: number;
}

/** A pod that has ended, as an API server says. */
export interface Death {
  /** In words that go on after the pod's name: `is gone`, `has finished (Failed)`. */
  readonly how: string;
  /** When an API server was first seen to say so, in milliseconds by the clock that judges. */
  readonly provenAt: number;
}

export const VERDICTS = ['live', 'ending', 'dead-holder', 'expired'] as const;

/**
 * Whether the holder of a lock may still be at work.
 *
 * - `live`: it may.
 * - `ending`: its pod has ended, and its last requests may still be under way. It counts as live.
 * - `dead-holder`: its pod has ended for long enough, which is a proof.
 * - `expired`: it has been silent for too long, which is an opinion: it may only be slow.
 */
export interface Judgement {
  readonly verdict: (typeof VERDICTS)[number];
  /** What the verdict rests on, for a person. */
  readonly reason: string;
  /** When a lock that counts as live will be stale, if nothing is written; 0 for one that is stale. */
  readonly staleInSeconds: number;
}
