/**
 * Which authorities there are, and when one takes the place of another: the rules of the overlap, without I/O.
 *
 * A replica may serve a certificate only after every API server trusts the authority that signed it, and an API server
 * must trust an authority for as long as any replica may serve what it signed. So a new authority is first made known
 * (`next`), signs later, and the old one is trusted until it expires.
 */

import { renewalOf, validityOf } from './certificate.ts';
import type { KeyPair } from './issue.ts';

export interface Authorities {
  /** Signs the serving certificates. */
  readonly signing: KeyPair;
  /** Is made known, and will sign. */
  readonly next?: KeyPair;
  /** PEM certificates of those that signed before, or of others that are to be trusted. */
  readonly previous: readonly string[];
}

/** What to do with the authorities now. */
export type Step =
  /** Nothing, until then (milliseconds since 1970), if nothing changes. */
  | { readonly kind: 'wait'; readonly until: number }
  /** Make the one that will sign next. */
  | { readonly kind: 'introduce' }
  /** Have it sign from now on. */
  | { readonly kind: 'promote'; readonly next: KeyPair }
  /** Too late for any overlap: have a new one sign from now on. */
  | { readonly kind: 'replace' }
  /** Leave out certificates that have expired. */
  | { readonly kind: 'forget' };

/** API servers hear of a new bundle by a watch, within a second; one that was cut off for longer has to list anew. */
const PUBLISHED_MS = 60_000;

/** An authority that lives for an hour or so has no time for that. */
const PUBLISHED_SHARE = 1 / 24;

/**
 * @param now milliseconds since 1970
 * @param publishedSince when it was first seen that API servers are told to trust `next`; undefined if they are not
 */
export function nextStep(
  { signing, next, previous }: Authorities,
  now: number,
  publishedSince: number | undefined,
): Step {
  const life = validityOf(signing.certificate);
  if (now >= life.to) return next === undefined ? { kind: 'replace' } : { kind: 'promote', next };
  if (next !== undefined) {
    const until = promotionOf(life, publishedSince);
    return now >= until ? { kind: 'promote', next } : { kind: 'wait', until };
  }
  const until = renewalOf(signing.certificate);
  if (now >= until) return { kind: 'introduce' };
  const endings = previous.map((certificate) => validityOf(certificate).to);
  return endings.some((end) => now >= end)
    ? { kind: 'forget' }
    : { kind: 'wait', until: Math.min(until, ...endings) };
}

/**
 * When the next one is known for long enough. Nobody may tell: the bundle is managed by somebody else, or there is no
 * webhook configuration now. Then it signs when half of the time is over that is left after two thirds.
 */
function promotionOf({ from, to }: { from: number; to: number }, publishedSince: number | undefined): number {
  const latest = from + ((to - from) * 5) / 6;
  if (publishedSince === undefined) return latest;
  return Math.min(latest, publishedSince + Math.min(PUBLISHED_MS, (to - from) * PUBLISHED_SHARE));
}

export function introduce({ signing, previous }: Authorities, next: KeyPair): Authorities {
  return { signing, next, previous };
}

export function promote({ signing, previous }: Authorities, next: KeyPair): Authorities {
  return { signing: next, previous: [signing.certificate, ...previous] };
}

export function forget(authorities: Authorities, now: number): Authorities {
  const previous = authorities.previous.filter((certificate) => now < validityOf(certificate).to);
  return { ...authorities, previous };
}

/** PEM of all that API servers are to trust, the one that signs first: the `caBundle`, and `ca.crt` for other clients. */
export function bundleOf({ signing, next, previous }: Authorities): string {
  const all = [signing.certificate, ...(next ? [next.certificate] : []), ...previous];
  return all.map((certificate) => `${certificate.trim()}\n`).join('');
}
