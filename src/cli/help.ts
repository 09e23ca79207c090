/** `--help`, in the order that kubectl has: a line, examples, options, exit codes. */
import type { Flag } from './arguments.ts';
import type { Command } from './commands.ts';
import { type ExitCode, MEANINGS } from './exit.ts';
import { table } from './table.ts';

export function commandHelp({ about, examples, flags, exits, usage }: Command): readonly string[] {
  return linesOf([
    about,
    `Examples:\n${examples.map(([why, command]) => `  # ${why}\n  ${command}\n`).join('\n')}`.trimEnd(),
    `Options:\n${indent(table(flags.map((flag) => [signature(flag), flag.text])))}`,
    `Usage:\n  ${usage}`,
    ...(exits.length > 0 ? [`Exit codes:\n${exitCodes(exits)}`] : []),
  ]);
}

export function overview(commands: readonly Command[]): readonly string[] {
  return linesOf([
    'One Helm deploy at a time, for every release in a Kubernetes cluster.',
    `Commands:\n${indent(table(commands.map(({ name, line }) => [name, line])))}`,
    'Usage:\n  lockkeeper COMMAND [options]',
    'Use "lockkeeper COMMAND --help" for more about a command, and "lockkeeper --version" for the version.',
  ]);
}

function linesOf(paragraphs: readonly string[]): readonly string[] {
  return paragraphs.join('\n\n').split('\n');
}

export function exitCodes(codes: readonly ExitCode[]): string {
  return indent(table(codes.map((code) => [String(code), MEANINGS[code]])));
}

/** `-n, --namespace=NAMESPACE`, as kubectl shows it. */
function signature({ name, short, value }: Flag): string {
  return `${short ? `-${short}, ` : '    '}--${name}${value ? `=${value}` : ''}`;
}

function indent(lines: readonly string[]): string {
  return lines.map((line) => `  ${line}`).join('\n');
}
