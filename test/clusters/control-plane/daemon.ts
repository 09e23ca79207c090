/** A server that runs beside us, writes to a log, and does not outlive us. */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';

export interface Daemon {
  /** Rejects when it ends without being asked to, with the end of the log; never resolves. */
  readonly failed: Promise<never>;
  /** What is wrong with it, and the end of the log. */
  complaint(what: string): Promise<string>;
  /** Asks it to end, insists after a while, by default 2 s, and waits until it has. */
  stop(graceMs?: number): Promise<void>;
}

const GRACE_MS = 2_000;

const LOG_LINES = 20;

export function startDaemon(program: string, args: readonly string[], log: string): Daemon {
  const output = openSync(log, 'a');
  // Nothing of our environment: etcd takes every ETCD_* for a flag.
  const child = spawn(program, args, { stdio: ['ignore', output, output], env: {} });
  closeSync(output);
  const kill = () => void child.kill('SIGKILL');
  // Of last resort, for an exception that nobody catches; before whoever removes the folder it writes to.
  process.prependOnceListener('exit', kill);

  let isStopping = false;
  const ended = new Promise<string>((resolve) => {
    child.once('error', ({ message }) => resolve(`cannot be started: ${message}`));
    child.once('exit', (code, signal) => resolve(`ended: ${signal ?? `code ${code}`}`));
  });
  const complaint = async (what: string) => `${basename(program)} ${what}\n${await lastLines(log)}`;
  const failed = ended.then(async (what): Promise<never> => {
    if (isStopping) return new Promise<never>(() => {});
    throw new Error(await complaint(what));
  });
  // Whether anybody still listens or not.
  failed.catch(() => {});

  return {
    failed,
    complaint,
    async stop(graceMs = GRACE_MS) {
      isStopping = true;
      child.kill();
      const insist = setTimeout(kill, graceMs);
      await ended;
      clearTimeout(insist);
      process.off('exit', kill);
    },
  };
}

async function lastLines(path: string): Promise<string> {
  const content = await readFile(path, 'utf8');
  return content.trim().split('\n').slice(-LOG_LINES).join('\n');
}
