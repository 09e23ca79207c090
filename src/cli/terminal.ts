/** What a command has of the process around it. */
import type { Place } from './kubeconfig.ts';

export interface Terminal extends Place {
  /** To stdout: what was asked for. */
  out(text: string): void;
  /** A line to stderr: what a person should know. */
  note(line: string): void;
}

export function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
