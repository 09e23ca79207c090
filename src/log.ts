/** The log: lines of JSON, in which pino escapes control characters of ASCII, and this all else that a terminal would obey. */
import { type DestinationStream, type Logger, pino } from 'pino';
import { escapedInJson, replaceUnsafe } from './printable.ts';

export function createLog(level: string, destination: DestinationStream): Logger {
  return pino({ level, base: null, hooks: { streamWrite: escapeLine } }, destination);
}

/** JSON means the same afterwards. Outside of its strings there is nothing unsafe, but the end of the line. */
function escapeLine(line: string): string {
  return replaceUnsafe(line, (character) => (character === '\n' ? character : escapedInJson(character)));
}
