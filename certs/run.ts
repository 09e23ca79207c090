/** The command without its process: arguments in, words and an exit code out. */
import { issueToFolder } from './issue-to-folder.ts';
import { readOptions } from './options.ts';
import { HELP, issued, refused, wrong } from './words.ts';

export interface Surroundings {
  readonly now: Date;
  /** To stdout. */
  readonly print: (text: string) => void;
  /** To stderr. */
  readonly complain: (text: string) => void;
}

/** 2 is what a command answers to arguments that it cannot use, 1 to a task that it would not do. */
export type ExitCode = 0 | 1 | 2;

export async function run(
  args: readonly string[],
  { now, print, complain }: Surroundings,
): Promise<ExitCode> {
  const command = readOptions(args);
  switch (command.kind) {
    case 'help':
      print(HELP);
      return 0;
    case 'wrong':
      complain(wrong(command.problems));
      return 2;
    case 'issue':
  }

  const outcome = await issueToFolder({ ...command.options, now });
  switch (outcome.kind) {
    case 'issued':
      print(issued(outcome));
      return 0;
    case 'refused':
      complain(refused(outcome));
      return 1;
    case 'unusable':
      complain(wrong([`--out ${outcome.folder} cannot be written to as a folder: ${outcome.reason}`]));
      return 2;
  }
}
