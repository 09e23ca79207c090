/** The clients that wait for a release: in a held call, or between two calls, because they were told to come back. */
import { type Release, releaseKey } from '../helm/release.ts';
import type { ClientKey } from './patience.ts';

export interface Waiters {
  /** A call of this client is held. */
  hold(client: ClientKey, release: Release): void;
  /** This client was sent away, and comes back after this time. */
  sendAway(client: ClientKey, release: Release, backInMs: number): void;
  /** This client goes on, has given up, or has hung up. */
  leave(client: ClientKey, release: Release): void;
  /** How many clients wait for this release. */
  waiting(release: Release): number;
  /** Counts nobody from now on: the clients come back to other replicas. */
  close(): void;
}

/** Clients counted at once. */
const MAX_CLIENTS = 10_000;

/**
 * A client that is later than this came back to another replica, which counts it now, or was killed. Helm sleeps for exactly as long
 * as it was told to.
 */
const LATE_MS = 2_000;

const SWEEP_MS = 1_000;

export function createWaiters(now: () => number): Waiters {
  /** Until when each client counts, by its key, for each release. */
  const releases = new Map<string, Map<string, number>>();
  let size = 0;
  let sweptAt = Number.NEGATIVE_INFINITY;
  let isClosed = false;

  function drop(release: string, clients: Map<string, number>, client: string): void {
    if (clients.delete(client)) size -= 1;
    if (clients.size === 0) releases.delete(release);
  }

  function dropLate(release: string, clients: Map<string, number>): void {
    for (const [client, until] of clients) if (until <= now()) drop(release, clients, client);
  }

  /** Nobody asks for a release that is free: what was counted for it goes when there is no room. */
  function hasRoom(): boolean {
    if (size >= MAX_CLIENTS && now() - sweptAt >= SWEEP_MS) {
      sweptAt = now();
      for (const [release, clients] of releases) dropLate(release, clients);
    }
    return size < MAX_CLIENTS;
  }

  function count(client: ClientKey, release: Release, until: number): void {
    const [key, name] = [client(), releaseKey(release)];
    const clients = releases.get(name) ?? new Map<string, number>();
    if (isClosed || !(clients.has(key) || hasRoom())) return;
    if (!clients.has(key)) size += 1;
    releases.set(name, clients.set(key, until));
  }

  return {
    hold: (client, release) => count(client, release, Number.POSITIVE_INFINITY),
    sendAway: (client, release, backInMs) => count(client, release, now() + backInMs + LATE_MS),
    leave(client, release) {
      const name = releaseKey(release);
      const clients = releases.get(name);
      if (clients !== undefined) drop(name, clients, client());
    },
    waiting(release) {
      const name = releaseKey(release);
      const clients = releases.get(name);
      if (clients !== undefined) dropLate(name, clients);
      return clients?.size ?? 0;
    },
    close() {
      isClosed = true;
      releases.clear();
      size = 0;
    },
  };
}
