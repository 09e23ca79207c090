/** What an app is built from, for tests that are about a part of it. */
import { systemClock } from '../../src/clock.ts';
import type { AppOptions } from '../../src/http/app.ts';
import type { Locks } from '../../src/http/locks.ts';

async function unexpected(): Promise<never> {
  throw new Error('this test does not reach the cluster');
}

const locks: Locks = {
  list: unexpected,
  find: unexpected,
  wait: unexpected,
  clear: unexpected,
  judge: () => ({ verdict: 'live', reason: 'unknown', staleInSeconds: 1 }),
  waiting: () => 0,
  waits: () => 0,
};

/** Everything but the webhook's part: a guard and a cluster that nobody is to ask. */
export const bystanders = {
  guard: { review: unexpected },
  rest: { locks, reviews: { whose: unexpected, may: unexpected }, clock: systemClock },
  onClose: () => {},
} satisfies Partial<AppOptions>;
