/**
 * What a terminal obeys instead of showing it, or does not show at all: control characters (C0, DEL and C1, with which escape
 * sequences begin), format characters (bidi overrides and isolates, zero-width characters, tags), lone surrogates, line and
 * paragraph separators, and all else that is invisible by default.
 */
const UNSAFE = '[\\p{Cc}\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}\\p{Default_Ignorable_Code_Point}]';

const EACH_UNSAFE = new RegExp(UNSAFE, 'gu');

/** Where an escape begins, or seems to. */
const OPENS_ESCAPE = 'u{';

const ANY = new RegExp(`${UNSAFE}|\\\\u\\{`, 'u');
const PARTS = new RegExp(`\\\\+|${UNSAFE}`, 'gu');
const UNSAFE_NEXT = new RegExp(UNSAFE, 'uy');

/**
 * The text with each unsafe character written as `\u{1b}`. Different texts stay different: backslashes before an escape are
 * doubled, and so are those before what reads like one. All other text stays as it is.
 */
export function printable(text: string): string {
  if (!ANY.test(text)) return text;
  return text.replace(PARTS, (part: string, at: number) => {
    if (part.startsWith('\\')) return meetsEscape(text, at + part.length) ? part + part : part;
    return `\\u{${(part.codePointAt(0) as number).toString(16)}}`;
  });
}

function meetsEscape(text: string, at: number): boolean {
  UNSAFE_NEXT.lastIndex = at;
  return text.startsWith(OPENS_ESCAPE, at) || UNSAFE_NEXT.test(text);
}

/** The text with something else in place of each unsafe character, and all other text as it is. */
export function replaceUnsafe(text: string, replace: (character: string) => string): string {
  return text.replace(EACH_UNSAFE, replace);
}

/** The escape of a character in a string of JSON, which means the same. */
export function escapedInJson(character: string): string {
  const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
}
