/**
 * Bounds on the structure of a review, checked in one pass over its bytes, before anything is made of them.
 *
 * JSON.parse makes up to 100 bytes of one: 7 MiB of `[{},{},…` keep a replica busy for a second and take 190 MB. So a body is
 * parsed only after it was seen that it is built like a review. What is not JSON is measured as something or other, never as less than JSON.parse
 * would read of it before it fails.
 */

/**
 * Each bound is several times what an API server sends for a record of Helm or a ReleaseLock, of which the largest that was seen has 250
 * marks and a depth of 10 (test/fixtures/admission-reviews).
 */
export const REVIEW_BOUNDS = {
  /** Of `{`, `[`, `:` and `,` outside of strings. A user may be in 10,000 groups, a record may have as many labels. */
  marks: 20_000,
  depth: 32,
  /** Bytes of a string outside of `data`. Kubernetes allows 256 KiB for all annotations of an object. */
  stringBytes: 256 * 1024,
  /** Bytes of a name in an object. A label or an annotation has 317, and managedFields put two before them. */
  nameBytes: 1_024,
  /** Bytes of a number, of `true`, `false` or `null`. Go writes numbers with 25. */
  literalBytes: 64,
  /** Bytes of space between two of these. Go writes none, but at the end. */
  spaceBytes: 1_024,
} as const;

/** With the uid of the review, as far as it was seen. */
export type ReviewStructure =
  | { readonly kind: 'bounded'; readonly marks: number; readonly uid: string | undefined }
  /** `problem` is the first thing that is too much, in words that follow a colon. */
  | { readonly kind: 'excessive'; readonly problem: string; readonly uid: string | undefined };

/** Where in a review the payload of a record is: these members of an object may have strings of any length. */
const OBJECTS: readonly string[] = ['object', 'oldObject'];
const PAYLOADS: readonly string[] = ['data', 'binaryData'];
const DEPTH_OF_PAYLOADS = 4;

/** Names that matter here are shorter, and a uid of Kubernetes has 36 characters. */
const MAX_TOLD_BYTES = 64;

const UID = /^[A-Za-z0-9-]+$/;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const [SPACE, TAB, LINE_FEED, CARRIAGE_RETURN] = [0x20, 0x09, 0x0a, 0x0d];
const [OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST] = [0x7b, 0x7d, 0x5b, 0x5d];
const LETTER_U = 0x75;

const ENDS_LITERAL: ReadonlySet<number> = new Set([
  ...[QUOTE, COMMA, COLON, OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST],
  ...[SPACE, TAB, LINE_FEED, CARRIAGE_RETURN],
]);

interface Walk {
  readonly bytes: Uint8Array;
  at: number;
  marks: number;
  depth: number;
  /** Whether the next string is a name, of a member of an object. */
  isNameNext: boolean;
  /** Of each container that is open, by its depth: whether it is an object. */
  readonly isObject: boolean[];
  /** The member that each of the outer objects has come to, by its depth. */
  readonly names: string[];
  /** Whether what is read belongs to a payload. */
  isPayload: boolean;
  uid: string | undefined;
}

export function measureReview(bytes: Uint8Array): ReviewStructure {
  const walk: Walk = {
    bytes,
    at: 0,
    marks: 0,
    depth: 0,
    isNameNext: false,
    isObject: [],
    names: [],
    isPayload: false,
    uid: undefined,
  };
  while (walk.at < bytes.length) {
    const problem = step(walk, bytes[walk.at] as number);
    if (problem !== undefined) return { kind: 'excessive', problem, uid: walk.uid };
  }
  return { kind: 'bounded', marks: walk.marks, uid: walk.uid };
}

/** Reads one thing, whose first byte this is. Returns what is too much about it. */
function step(walk: Walk, byte: number): string | undefined {
  switch (byte) {
    case QUOTE:
      return readString(walk);
    case OPEN_OBJECT:
    case OPEN_LIST:
      return open(walk, byte === OPEN_OBJECT);
    case CLOSE_OBJECT:
    case CLOSE_LIST:
      return close(walk);
    case COMMA:
    case COLON:
      walk.at += 1;
      walk.isNameNext = byte === COMMA && walk.isObject[walk.depth] === true;
      return count(walk);
    case SPACE:
    case TAB:
    case LINE_FEED:
    case CARRIAGE_RETURN:
      return skipSpace(walk);
    default:
      return readLiteral(walk);
  }
}

function count(walk: Walk): string | undefined {
  walk.marks += 1;
  return walk.marks > REVIEW_BOUNDS.marks ? `it has more than ${REVIEW_BOUNDS.marks} parts` : undefined;
}

function open(walk: Walk, isObject: boolean): string | undefined {
  walk.at += 1;
  walk.depth += 1;
  if (walk.depth > REVIEW_BOUNDS.depth) return `it is nested more than ${REVIEW_BOUNDS.depth} deep`;
  walk.isObject[walk.depth] = isObject;
  walk.isNameNext = isObject;
  if (walk.depth === DEPTH_OF_PAYLOADS) walk.isPayload = isPayload(walk);
  return count(walk);
}

function isPayload({ names: [, first, second = '', third = ''] }: Walk): boolean {
  return first === 'request' && OBJECTS.includes(second) && PAYLOADS.includes(third);
}

/** One too many is no JSON: it is where JSON.parse ends. */
function close(walk: Walk): undefined {
  if (walk.depth === 0) {
    walk.at = walk.bytes.length;
    return;
  }
  walk.at += 1;
  walk.depth -= 1;
  walk.isNameNext = false;
  if (walk.depth < DEPTH_OF_PAYLOADS) {
    walk.isPayload = false;
    walk.names.length = Math.min(walk.names.length, walk.depth + 1);
  }
}

function readString(walk: Walk): string | undefined {
  const { bytes, isNameNext: isName, isPayload } = walk;
  const start = walk.at + 1;
  const end = isPayload && !isName ? endOfPayload(bytes, start) : endOfString(bytes, start, mostOf(isName));
  if (end === undefined) {
    return isName
      ? `it has a name of more than ${REVIEW_BOUNDS.nameBytes} bytes`
      : `it has a text of more than ${REVIEW_BOUNDS.stringBytes} bytes outside of data`;
  }
  walk.at = end + 1;
  walk.isNameNext = false;
  if (walk.depth < DEPTH_OF_PAYLOADS) remember(walk, isName, start, end);
  return undefined;
}

function mostOf(isName: boolean): number {
  return isName ? REVIEW_BOUNDS.nameBytes : REVIEW_BOUNDS.stringBytes;
}

/** The names that say where a payload is, and the uid that an answer needs. */
function remember(walk: Walk, isName: boolean, start: number, end: number): void {
  const { depth, names, bytes } = walk;
  const isTold = end - start <= MAX_TOLD_BYTES;
  const text = isTold ? String.fromCharCode(...bytes.subarray(start, end)) : '';
  if (isName) names[depth] = text;
  else if (depth === 2 && names[1] === 'request' && names[2] === 'uid' && UID.test(text)) walk.uid = text;
}

function isSpace(byte: number | undefined): boolean {
  return byte === SPACE || byte === LINE_FEED || byte === CARRIAGE_RETURN || byte === TAB;
}

function skipSpace(walk: Walk): string | undefined {
  const last = walk.at + REVIEW_BOUNDS.spaceBytes;
  while (isSpace(walk.bytes[walk.at])) {
    if (walk.at === last) return `it has a gap of more than ${REVIEW_BOUNDS.spaceBytes} bytes`;
    walk.at += 1;
  }
  return undefined;
}

/**
 * Where its second quote is, or where the bytes end; undefined if it has more bytes than that. What is escaped counts as one: Go
 * writes six bytes for each of `<`, `>` and `&`.
 */
function endOfString(bytes: Uint8Array, start: number, most: number): number | undefined {
  let at = start;
  for (let length = 0; at < bytes.length && bytes[at] !== QUOTE; length += 1) {
    if (length === most) return undefined;
    if (bytes[at] !== BACKSLASH) at += 1;
    else at += bytes[at + 1] === LETTER_U ? 6 : 2;
  }
  return Math.min(at, bytes.length);
}

/** The same for a megabyte of base64, in which nothing is escaped. */
function endOfPayload(bytes: Uint8Array, start: number): number | undefined {
  const quote = bytes.indexOf(QUOTE, start);
  const isPlain = quote >= start && bytes[quote - 1] !== BACKSLASH;
  return isPlain ? quote : endOfString(bytes, start, Number.POSITIVE_INFINITY);
}

/** A number, `true`, `false` or `null`, or what is no JSON. */
function readLiteral(walk: Walk): string | undefined {
  const last = walk.at + REVIEW_BOUNDS.literalBytes;
  while (walk.at < walk.bytes.length && !ENDS_LITERAL.has(walk.bytes[walk.at] as number)) {
    if (walk.at === last) return `it has a number of more than ${REVIEW_BOUNDS.literalBytes} bytes`;
    walk.at += 1;
  }
  return undefined;
}
