import type { Revision } from '../helm/release.ts';

/** Who sent a request, as the API server vouches for it. */
export interface Client {
  readonly user: string;
  /** The pod that the user's token is bound to; undefined for people and for clients outside the cluster. */
  readonly pod: Pod | undefined;
}

export interface Pod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** A pending revision and, if it is known, the client that created it. */
export interface Lock {
  readonly revision: Revision;
  readonly holder: Client | undefined;
}

/** Whether the holder of a lock may still be at work. `expired` is an opinion, not a proof: it may only be slow. */
export interface Judgement {
  readonly verdict: 'live' | 'expired';
  /** What the verdict rests on, for a person. */
  readonly reason: string;
  /** When a live lock will have expired, if nothing is written; 0 for one that has. */
  readonly staleInSeconds: number;
}
