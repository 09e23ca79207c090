/**
 * The members of a JSON object and where they lie in its text, for edits that leave every other byte alone. The
 * text is bytes, each as one character. Never blocks for long, whatever it is given.
 */
import { promisify } from 'node:util';

/** Its message is a clause for a person, to follow a colon; it never quotes the text. */
export class Refusal extends Error {
  /** The status of a release that is not pending, one of Helm's. */
  readonly status: string | undefined;

  constructor(reason: string, status?: string) {
    super(reason);
    this.status = status;
  }
}

/**
 * The most that JSON may have of `{`, `[`, `:` and `,` outside its strings. JSON.parse was seen to need up to
 * 0.4 µs and 70 bytes for each, so that these keep the process busy for some 0.1 s. Charts have thousands:
 * their templates and manifests are strings, and a values.yaml of 1 MiB has some 40 000 lines.
 */
export const MAX_JSON_MARKS = 200_000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Characters that are read before others get a turn: some 5 ms. */
const STRETCH = 1024 * 1024;
const othersTurn = promisify(setImmediate);

/** A member of an object: its name, quoted and escaped as it stands, and where its value lies in the text. */
export interface Member {
  readonly quoted: string;
  readonly start: number;
  readonly end: number;
}

/** By JSON.parse, as strict as Go; its error quotes the text, and so goes no further. */
export function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** The one member that Go decodes into the field `name`: case is nothing to it, and of several the last wins. */
export function findMember(name: string, members: readonly Member[]): Member | undefined {
  const alike = new RegExp(`^${name}$`, 'iu');
  const [member, ...others] = members.filter(({ quoted }) => alike.test(unquoted(quoted)));
  if (others.length > 0) throw new Refusal(`it has ${name} more than once`);
  if (member && unquoted(member.quoted) !== name) throw new Refusal(`it has ${name} in other letters`);
  return member;
}

function unquoted(name: string): string {
  return JSON.parse(Buffer.from(name, 'latin1').toString());
}

/** The members of the object that begins at `start`. What is not JSON is read as something or other. */
export async function membersOf(json: string, start: number): Promise<Member[]> {
  const members: Member[] = [];
  let quoted = '';
  let from = start;
  for (const seam of await seamsOf(json, start)) {
    const text = json.slice(from, seam);
    if (json[seam] === ':') quoted = text;
    else if (quoted !== '') {
      members.push({ quoted, start: seam - text.trimStart().length, end: from + text.trimEnd().length });
    }
    from = seam + 1;
  }
  return members;
}

/**
 * Where the object that begins at `start` has its own `{`, `:`, `,` and `}`, and not those of its values.
 * Reads no less of a text than JSON.parse would before it fails, so that its count holds for JSON.parse.
 */
async function seamsOf(json: string, start: number): Promise<number[]> {
  const seams: number[] = [];
  let depth = 0;
  let marks = 0;
  let pause = start + STRETCH;
  for (let at = start; at < json.length; at += 1) {
    if (at >= pause) {
      await othersTurn();
      pause = at + STRETCH;
    }
    switch (json[at]) {
      case '"':
        at = endOfString(json, at);
        continue;
      case '{':
      case '[':
        depth += 1;
        break;
      case '}':
      case ']':
        depth -= 1;
        if (depth > 0) continue;
        seams.push(at);
        await othersTurn();
        return seams;
      case ':':
      case ',':
        break;
      default:
        continue;
    }
    marks += 1;
    if (marks > MAX_JSON_MARKS) throw new Refusal('it has more values than a release can have');
    if (depth === 1) seams.push(at);
  }
  return seams;
}

/** Where the string that begins at `start` has its second quote. */
function endOfString(json: string, start: number): number {
  let at = start + 1;
  while (at < json.length && json.charCodeAt(at) !== QUOTE) at += json.charCodeAt(at) === BACKSLASH ? 2 : 1;
  return at;
}
