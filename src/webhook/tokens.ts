/**
 * The secrets that stand in the path of the webhook, and when one takes the place of another: the rules of the overlap, without I/O.
 *
 * A replica must take a token before any API server sends it, and for as long as any may send it. So a new token is first made known
 * to all replicas (`next`), is then told to API servers (`current`), and the old one is taken until all of them were told for a while.
 */

export interface Tokens {
  /** What API servers are told to send. */
  readonly current: string;
  /** What they will be told next; replicas take it already. */
  readonly next?: string;
  /** What they were told before, and may still send. */
  readonly previous: readonly string[];
  /** When the newest of them was made, in milliseconds since 1970, by the clock of whoever made it. */
  readonly madeAt: number;
}

/** What to do with the tokens now. */
export type TokenStep =
  /** Nothing, for so many milliseconds, if nothing changes. */
  | { readonly kind: 'wait'; readonly ms: number }
  /** Make the one that comes next. */
  | { readonly kind: 'introduce' }
  /** Tell API servers of it. */
  | { readonly kind: 'promote'; readonly next: string }
  /** Take the previous ones no more. */
  | { readonly kind: 'forget' };

export interface TokenTimes {
  /** Milliseconds since 1970. */
  readonly date: number;
  /** For how long this replica has known these very tokens. */
  readonly knownMs: number;
  /** For how long API servers have been told nothing but `current`; undefined if they are told something else, or it is unknown. */
  readonly publishedMs: number | undefined;
  /** For how long a token is used. */
  readonly periodMs: number;
}

/** Replicas and API servers hear of a change by a watch, within a second; one that was cut off for longer has to list anew. */
const OVERLAP_MS = 60_000;

/** A token that lives for a few minutes, as in a test, has no time for that. */
const OVERLAP_SHARE = 1 / 24;

export function overlapOf(periodMs: number): number {
  return Math.min(OVERLAP_MS, periodMs * OVERLAP_SHARE);
}

export function nextTokenStep({ next, previous, madeAt }: Tokens, times: TokenTimes): TokenStep {
  const { date, knownMs, publishedMs, periodMs } = times;
  const overlapMs = overlapOf(periodMs);
  if (next !== undefined) {
    return knownMs >= overlapMs ? { kind: 'promote', next } : { kind: 'wait', ms: overlapMs - knownMs };
  }
  if (previous.length > 0) {
    if (publishedMs === undefined) return { kind: 'wait', ms: Number.POSITIVE_INFINITY };
    return publishedMs >= overlapMs ? { kind: 'forget' } : { kind: 'wait', ms: overlapMs - publishedMs };
  }
  // A date that is far ahead was written by a clock that was wrong: it is of no use for ages.
  const age = Math.abs(date - madeAt);
  return age >= periodMs ? { kind: 'introduce' } : { kind: 'wait', ms: periodMs - age };
}

/** Beside one that is used: it is told to API servers later. */
export function introduceToken({ current, previous }: Tokens, next: string, date: number): Tokens {
  return { current, next, previous, madeAt: date };
}

export function promoteToken({ current, previous, madeAt }: Tokens, next: string): Tokens {
  return { current: next, previous: [current, ...previous], madeAt };
}

export function forgetTokens({ current, madeAt }: Tokens): Tokens {
  return { current, previous: [], madeAt };
}

/** All that are taken. */
export function tokensIn({ current, next, previous }: Tokens): readonly string[] {
  return [current, ...(next === undefined ? [] : [next]), ...previous];
}

/** Of a Secret: each value is base64. */
type SecretData = Readonly<Record<string, string>>;

/** The keys of a Secret that they are kept under, beside whatever else it keeps. */
const KEYS = {
  current: 'path.token',
  next: 'path.next',
  previous: 'path.previous',
  madeAt: 'path.made-at',
} as const;

/** What may stand in the path of a Service; and what an attacker cannot guess. */
const TOKEN = /^[a-z0-9]{20,100}$/;

/** The whole data of a Secret that has had this data before. */
export function writeTokens(tokens: Tokens, before: SecretData = {}): SecretData {
  const ours: readonly string[] = Object.values(KEYS);
  const others = Object.entries(before).filter(([key]) => !ours.includes(key));
  const { current, next, previous, madeAt } = tokens;
  return {
    ...Object.fromEntries(others),
    [KEYS.current]: encode(current),
    ...(next !== undefined && { [KEYS.next]: encode(next) }),
    ...(previous.length > 0 && { [KEYS.previous]: encode(previous.join('\n')) }),
    [KEYS.madeAt]: encode(new Date(madeAt).toISOString()),
  };
}

/** Undefined if there is none that could be used: what is there was emptied, or mistyped. */
export function readTokens(data: SecretData = {}): Tokens | undefined {
  const [current = ''] = tokensOf(data[KEYS.current]);
  if (current === '') return undefined;
  const [next] = tokensOf(data[KEYS.next]);
  const madeAt = Date.parse(decode(data[KEYS.madeAt]));
  return {
    current,
    ...(next !== undefined && { next }),
    previous: tokensOf(data[KEYS.previous]),
    // A date that is none is as good as a very old one.
    madeAt: Number.isNaN(madeAt) ? 0 : madeAt,
  };
}

function tokensOf(base64: string | undefined): string[] {
  return decode(base64)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => TOKEN.test(line));
}

function encode(text: string): string {
  return Buffer.from(text).toString('base64');
}

function decode(base64 = ''): string {
  return Buffer.from(base64, 'base64').toString();
}
