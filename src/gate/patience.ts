/**
 * Since when each client has been waiting, over all the calls that it made. Helm sends the same record again
 * after each 429, under a new uid; only the payload, which carries nanosecond timestamps, tells that it is
 * the same client.
 */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { releaseKey } from '../helm/release.ts';
import type { Deploy } from './decision.ts';

export interface Patience {
  /** Counts a call, made at `at`, of a client that has to wait. Returns when its first one was made. */
  wait(deploy: Deploy, at: number): number;
  /** Returns the same for a client that need not wait any more, which is then forgotten; undefined if it never had to. */
  end(deploy: Deploy): number | undefined;
}

/** Clients remembered at once; one that is pushed out by a flood starts to wait anew. */
const MAX_CLIENTS = 10_000;

/** @param idleMs how long after its last call a client is forgotten */
export function createPatience(idleMs: number, now: () => number): Patience {
  const waiting = new LRUCache<string, number>({
    max: MAX_CLIENTS,
    ttl: idleMs,
    ttlResolution: 0,
    perf: { now },
  });

  return {
    wait(deploy, at) {
      const key = clientKey(deploy);
      const first = waiting.get(key) ?? at;
      waiting.set(key, first);
      return first;
    },
    end(deploy) {
      waiting.purgeStale();
      if (waiting.size === 0) return undefined; // the usual case is worth no hash of a megabyte
      const key = clientKey(deploy);
      const first = waiting.get(key);
      waiting.delete(key);
      return first;
    },
  };
}

function clientKey({ release, revision, client, payload }: Deploy): string {
  const hash = createHash('sha256');
  hash.update(JSON.stringify([releaseKey(release), revision, client.user, client.pod?.uid]));
  return hash.update(payload()).digest('base64');
}
