/** Programs that are measured, each a process of its own; and what Linux tells of them. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createLogReader, type LogLine, type LogReader } from '../test/support/log.ts';
import { limitedTo, type MemoryLimit } from '../test/support/memory-limit.ts';

export interface Program {
  readonly pid: number;
  /** What it prints, a line of JSON each. */
  readonly logs: LogReader;
  readonly ended: Promise<unknown>;
  /** Resolves when it has ended. */
  stop(): Promise<void>;
}

export interface ProgramOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly limit?: MemoryLimit | undefined;
  /** Nobody reads what it prints. */
  readonly isQuiet?: boolean;
}

/** By the Node of this process, and without what this process was told by its environment. */
export function startProgram(
  file: string,
  { args = [], env = {}, cwd, limit, isQuiet = false }: ProgramOptions = {},
): Program {
  const child = spawn(...limitedTo(limit, process.execPath, [...args, file]), {
    stdio: ['ignore', isQuiet ? 'ignore' : 'pipe', 'inherit'],
    env: { PATH: process.env.PATH ?? '', ...env },
    ...(cwd !== undefined && { cwd }),
  });
  const logs = createLogReader();
  child.stdout?.setEncoding('utf8').on('data', logs.write);
  const ended = once(child, 'exit');
  // However this process ends, it leaves nothing behind.
  const kill = () => void child.kill('SIGKILL');
  process.once('exit', kill);
  void ended.then(() => process.off('exit', kill));
  return {
    pid: child.pid as number,
    logs,
    ended,
    async stop() {
      // What it would do before it ends is not measured.
      child.kill('SIGKILL');
      await ended;
      await limit?.remove();
    },
  };
}

/** What it says when it is so far. @throws Error with what it printed, when it ends before */
export async function untilLine({ logs, ended }: Program, message: string): Promise<LogLine> {
  const early = ended.then(() => {
    throw new Error(`a program ended before it said “${message}”: ${logs.text()}`);
  });
  early.catch(() => {});
  return Promise.race([logs.line(message), early]);
}

/** What a process has in memory. @throws when there is none of this number */
export async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  // A process that has ended and was not waited for yet has none.
  if (kibibytes === undefined) throw new Error('it ended by itself');
  return Number(kibibytes) * 1024;
}
