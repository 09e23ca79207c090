/** Since when each client has been waiting, over all the calls that it made. */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { releaseKey } from '../helm/release.ts';
import type { Deploy } from './decision.ts';

export interface Patience {
  /** Counts a call, made at `at`, of a client that has to wait. Returns when its first one was made. */
  wait(client: ClientKey, at: number): number;
  /** Returns the same for a client that need not wait any more, which is then forgotten; undefined if it never had to. */
  end(client: ClientKey): number | undefined;
}

/** Tells a client from all others, whenever it calls; worked out when it is first asked for. */
export type ClientKey = () => string;

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
    wait(client, at) {
      const key = client();
      const first = waiting.get(key) ?? at;
      waiting.set(key, first);
      return first;
    },
    end(client) {
      waiting.purgeStale();
      if (waiting.size === 0) return undefined; // the usual case is worth no hash of a megabyte
      const key = client();
      const first = waiting.get(key);
      waiting.delete(key);
      return first;
    },
  };
}

/**
 * Helm sends the same record again after each 429, under a new uid; only the payload, which carries nanosecond timestamps,
 * tells that it is the same client. The payload is looked at once, and may be gone when the key is asked for again.
 */
export function keyOfClient({
  release,
  revision,
  client,
  payload,
}: Pick<Deploy, 'release' | 'revision' | 'client' | 'payload'>): ClientKey {
  let key: string | undefined;
  return () => {
    if (key !== undefined) return key;
    const hash = createHash('sha256');
    hash.update(JSON.stringify([releaseKey(release), revision, client.user, client.pod?.uid]));
    key = hash.update(payload()).digest('base64');
    return key;
  };
}
