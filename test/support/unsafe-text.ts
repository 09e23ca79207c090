/** Text that strangers send to deceive a terminal, and whether a text may be shown on one. */
import fc from 'fast-check';

/** First and last code points, written down by hand: the code under test has its own list. */
const UNSAFE: readonly (readonly [number, number])[] = [
  [0x00, 0x1f], // C0
  [0x7f, 0x9f], // DEL and C1
  [0xad, 0xad], // soft hyphen
  [0x34f, 0x34f], // combining grapheme joiner
  [0x61c, 0x61c], // Arabic letter mark
  [0x115f, 0x1160], // Hangul fillers
  [0x180e, 0x180e], // Mongolian vowel separator
  [0x200b, 0x200f], // zero-width, and marks of direction
  [0x2028, 0x202e], // line and paragraph separators, bidi embeddings and overrides
  [0x2060, 0x206f], // invisible operators, bidi isolates
  [0x3164, 0x3164], // Hangul filler
  [0xd800, 0xdfff], // lone surrogates
  [0xfe00, 0xfe0f], // variation selectors
  [0xfeff, 0xfeff], // byte order mark
  [0xfff9, 0xfffb], // interlinear annotation
  [0xe0000, 0xe0fff], // tags
];

export function isUnsafe(character: string): boolean {
  const code = character.codePointAt(0) ?? 0;
  return UNSAFE.some(([first, last]) => first <= code && code <= last);
}

/** The first character that a terminal would not simply show, as `U+1B`; undefined if there is none. */
export function unsafeIn(text: string): string | undefined {
  const found = [...text].find(isUnsafe);
  return found && `U+${found.codePointAt(0)?.toString(16)}`;
}

/** The same, anywhere in a value: in its strings, and in the names of its members. */
export function unsafeInside(value: unknown): string | undefined {
  if (typeof value === 'string') return unsafeIn(value);
  if (typeof value !== 'object' || value === null) return undefined;
  const parts = Array.isArray(value) ? value : Object.entries(value).flat();
  return parts.map(unsafeInside).find(Boolean);
}

/** As the text should be shown, if there is no backslash in it. */
export function escaped(text: string): string {
  return [...text]
    .map((character) => (isUnsafe(character) ? `\\u{${character.codePointAt(0)?.toString(16)}}` : character))
    .join('');
}

const unsafeCharacters = fc
  .constantFrom(...UNSAFE)
  .chain(([first, last]) => fc.integer({ min: first, max: last }))
  .map((code) => String.fromCodePoint(code));

/** Pieces that do harm, or that read like what makes them harmless. */
const pieces = fc.oneof(
  unsafeCharacters,
  fc.constantFrom('\u001b[31m', '\u009b2J', '\u001b]0;title\u0007', '\r', '\n', '\u202e', '\u2066'),
  fc.constantFrom('\\', '\\\\', '\\u{1b}', '\\\\u{1b}', '\\u{', 'u{1b}', '\\u001b'),
  fc.constantFrom('alice', 'CORP\\bob', 'ü', '界', '👩', ' '),
);

/** What a stranger may be called, or may write. */
export const strangersText: fc.Arbitrary<string> = fc
  .array(pieces, { minLength: 1, maxLength: 8 })
  .map((parts) => parts.join(''));
