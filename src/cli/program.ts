/** Which command is meant, and what its end means. */
import { readArguments } from './arguments.ts';
import { COMMANDS, type Command } from './commands.ts';
import { EXIT, exitCodeOf, Failure } from './exit.ts';
import { HELP } from './flags.ts';
import { commandHelp, overview } from './help.ts';
import { CLI_NODE, demandNode } from './node-version.ts';
import type { Terminal } from './terminal.ts';

/** Resolves with the exit code; undefined where the process goes on. Whatever goes wrong is told on stderr. */
export async function program(
  words: readonly string[],
  terminal: Terminal,
  version: string,
): Promise<number | undefined> {
  try {
    return await dispatch(words, terminal, version);
  } catch (error) {
    terminal.note((error as Error).message, ...(error instanceof Failure ? error.details : []));
    const code = exitCodeOf(error);
    if (code === EXIT.usage) terminal.note('see "lockkeeper --help", or "lockkeeper COMMAND --help"');
    return code;
  }
}

async function dispatch(
  words: readonly string[],
  terminal: Terminal,
  version: string,
): Promise<number | undefined> {
  demandNode('lockkeeper', CLI_NODE, process.versions.node);
  const [first, ...rest] = words;
  if (first === '--version') {
    terminal.out(version);
    return EXIT.fine;
  }
  if (first === undefined || first === '--help' || first === '-h' || first === 'help') {
    return help(rest, first === undefined, terminal);
  }
  const command = commandNamed(first);
  const split = rest.indexOf('--');
  const [own, after] = split === -1 ? [rest, []] : [rest.slice(0, split), rest.slice(split + 1)];
  const args = readArguments(command.flags, own);
  if (args.has(HELP.name)) return help([first], false, terminal);
  return command.run(args, terminal, after);
}

/** Who asked for nothing is told the same on stderr, and it is wrong usage. */
function help([name]: readonly string[], isWrong: boolean, { out, note }: Terminal): number {
  if (isWrong) {
    note(...overview(COMMANDS));
    return EXIT.usage;
  }
  out(...(name === undefined ? overview(COMMANDS) : commandHelp(commandNamed(name))));
  return EXIT.fine;
}

function commandNamed(name: string): Command {
  const found = COMMANDS.find((command) => command.name === name);
  if (found) return found;
  const names = COMMANDS.map((command) => command.name).join(', ');
  throw new Failure(EXIT.usage, `there is no command ${JSON.stringify(name)}; there are ${names}`);
}
