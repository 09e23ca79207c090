/** The command line, read by a table of flags: what `--help` tells is what is taken. */
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { parseDuration } from './duration.ts';
import { EXIT, Failure } from './exit.ts';

export interface Flag {
  readonly name: string;
  readonly short?: string;
  /** What stands for its value in `--help`; left out for a flag that has none. */
  readonly value?: string;
  readonly text: string;
  /** All values that are taken. */
  readonly oneOf?: readonly string[];
}

export interface Arguments {
  readonly positionals: readonly string[];
  has(flag: string): boolean;
  /** The value of a flag that has one; undefined when it was not given. */
  text(flag: string): string | undefined;
  /** In seconds. */
  duration(flag: string, byDefault: number): number;
  /** A whole number above 0. */
  number(flag: string): number | undefined;
}

/** @throws Failure when there is a flag that is not in the table, or one that lacks its value */
export function readArguments(flags: readonly Flag[], words: readonly string[]): Arguments {
  const { values, positionals } = parse(flags, words);
  const text = (name: string) => values.get(name);
  const wrong = (name: string, mustBe: string) =>
    new Failure(EXIT.usage, `--${name} is ${JSON.stringify(text(name))}, but must be ${mustBe}`);
  for (const { name, oneOf } of flags) {
    const value = text(name);
    if (oneOf && value !== undefined && !oneOf.includes(value)) throw wrong(name, oneOf.join(' or '));
  }
  return {
    positionals,
    has: (name) => values.has(name),
    text,
    duration(name, byDefault) {
      const value = text(name);
      const seconds = value === undefined ? byDefault : parseDuration(value);
      if (seconds === undefined) throw wrong(name, 'a duration such as 90s, 10m or 1h30m');
      return seconds;
    },
    number(name) {
      const value = text(name);
      if (value !== undefined && !/^[1-9]\d{0,14}$/.test(value)) throw wrong(name, 'a whole number above 0');
      return value === undefined ? undefined : Number(value);
    },
  };
}

/** The name of the one release that a command is about. */
export function onlyRelease({ positionals }: Arguments): string {
  const [release, ...others] = positionals;
  if (release === undefined) throw new Failure(EXIT.usage, 'the name of the release is missing');
  if (others.length > 0) throw new Failure(EXIT.usage, `one release, and not ${positionals.join(' and ')}`);
  return release;
}

function parse(flags: readonly Flag[], words: readonly string[]) {
  const options: ParseArgsOptionsConfig = {};
  for (const { name, short, value } of flags) {
    options[name] = { type: value === undefined ? 'boolean' : 'string', ...(short && { short }) };
  }
  try {
    const { values, positionals } = parseArgs({ args: [...words], options, allowPositionals: true });
    // `-n=prod` is what kubectl takes as well.
    const texts = Object.entries(values).map(
      ([name, value]) => [name, String(value).replace(/^=/, '')] as const,
    );
    return { values: new Map(texts), positionals };
  } catch (error) {
    const [first = ''] = (error as Error).message.split(/\. |\n/);
    throw new Failure(
      EXIT.usage,
      first.replace(/^./, (letter) => letter.toLowerCase()),
    );
  }
}
