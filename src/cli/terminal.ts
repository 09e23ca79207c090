/**
 * What a command has of the process around it. All that it prints goes through here: nothing that comes from a cluster, a
 * kubeconfig or the command line reaches a terminal as something other than text. Helm's own output does not come this way.
 */
import { escapedInJson, printable, replaceUnsafe } from '../printable.ts';
import type { Place } from './kubeconfig.ts';

export interface Terminal extends Place {
  /** To stdout, a line each: what was asked for. */
  out(...lines: readonly string[]): void;
  /** To stderr: what a person should know, in a line, and what belongs to it in more lines. */
  note(...lines: readonly string[]): void;
}

export interface Streams {
  readonly out: (text: string) => void;
  readonly error: (text: string) => void;
}

export function createTerminal({ env, home }: Place, { out, error }: Streams): Terminal {
  return {
    env,
    home,
    out: (...lines) => out(lines.map((line) => `${shown(line)}\n`).join('')),
    note: (...lines) => error(`lockkeeper: ${lines.map((line) => `${shown(line)}\n`).join('')}`),
  };
}

/**
 * The text on one line, with each unsafe character as `\u{1b}`. Unlike printable() it leaves such an escape as it is, so that
 * a name looks the same wherever it was made safe.
 */
export function shown(text: string): string {
  return replaceUnsafe(text, printable);
}

/** The lines of a value, with unsafe characters as JSON escapes them: a program reads the value as it is. */
export function json(value: unknown): readonly string[] {
  return JSON.stringify(value, null, 2)
    .split('\n')
    .map((line) => replaceUnsafe(line, escapedInJson));
}
