/**
 * Which path API servers are told of, without I/O.
 *
 * While Lockkeeper is upgraded from 0.1, or goes back to it, there are replicas that know no other path than the open one. They would
 * answer a secret one with 404, and deploys would fail: so it is told of only when none of them is there.
 */
import type { PathToTell } from './arm.ts';
import { OPEN_PATH, pathOfToken } from './client-config.ts';
import { type Tokens, tokensIn } from './tokens.ts';

export interface Situation {
  readonly tokens: Tokens;
  /** Of our webhooks in the configuration. */
  readonly paths: readonly string[];
  /** Whether API servers ask any of them about anything. */
  readonly isArmed: boolean;
  /** For how many milliseconds the configuration has had these paths. */
  readonly seenMs: number;
  /** Undefined if that cannot be told. */
  readonly isOlderReplicaThere: boolean | undefined;
}

export interface PathChoice {
  readonly path: PathToTell;
  /** When to choose again, if nothing else happens: after so many milliseconds. */
  readonly againMs: number;
}

/** An older replica ends as soon as a new one is ready, most often. */
const OLDER_AGAIN_MS = 2_000;

/** From an open path that somebody has put there to the pods of a Deployment that know no other: `helm rollback` to 0.1. */
const OPEN_MS = 15_000;

/** Whether older replicas are of any account: not while all paths are such as only newer ones know. */
export function isOpenToOlder(paths: readonly string[], tokens: Tokens): boolean {
  const secret = tokensIn(tokens).map(pathOfToken);
  return !paths.every((path) => secret.includes(path));
}

export function choosePath(situation: Situation): PathChoice {
  const { tokens, paths, isArmed, seenMs, isOlderReplicaThere } = situation;
  const { current, next } = tokens;
  const wanted = pathOfToken(current);
  // Another replica may be ahead of this one.
  const alsoFine = next === undefined ? [] : [pathOfToken(next)];
  if (isOlderReplicaThere !== false) {
    const stays = isOlderReplicaThere === undefined ? paths : [];
    return { path: { wanted: OPEN_PATH, alsoFine: stays }, againMs: OLDER_AGAIN_MS };
  }
  if (isArmed && paths.includes(OPEN_PATH) && seenMs < OPEN_MS) {
    return { path: { wanted, alsoFine: [...alsoFine, OPEN_PATH] }, againMs: OPEN_MS - seenMs };
  }
  return { path: { wanted, alsoFine }, againMs: Number.POSITIVE_INFINITY };
}
