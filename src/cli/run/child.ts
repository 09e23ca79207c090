/** Helm as a child: it has the terminal, gets our signals, and is killed if it does not heed them. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { EXIT, Failure } from '../exit.ts';

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ChildOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** From the first signal until it is killed. */
  readonly graceMs: number;
  readonly signals: Signals;
  readonly note: (line: string) => void;
}

/** Those that cancel a job. */
const CANCELLING = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/** Signals to us, from the beginning of a command to its end. */
export interface Signals {
  /** Is aborted by the first one, whose name is its reason. */
  readonly first: AbortSignal;
  /** The listener is told of the first one as well if that came before. */
  on(listener: (signal: NodeJS.Signals) => void): void;
  /** Lets them end us again. */
  release(): void;
}

/** @param source of signals */
export function catchSignals(source: NodeJS.EventEmitter = process): Signals {
  const first = new AbortController();
  const listeners: ((signal: NodeJS.Signals) => void)[] = [(signal) => first.abort(signal)];
  const onSignal = (signal: NodeJS.Signals) => {
    for (const listener of listeners) listener(signal);
  };
  for (const signal of CANCELLING) source.on(signal, onSignal);
  return {
    first: first.signal,
    on(listener) {
      listeners.push(listener);
      if (first.signal.aborted) listener(first.signal.reason);
    },
    release: () => {
      for (const signal of CANCELLING) source.off(signal, onSignal);
    },
  };
}

/** @throws Failure when it cannot be started */
export function runChild(program: string, args: readonly string[], options: ChildOptions): Promise<Ending> {
  const { env, graceMs, signals, note } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...args], { stdio: 'inherit', env: { ...env } });
    let timer: NodeJS.Timeout | undefined;
    signals.on((signal) => {
      child.kill(signal);
      timer ??= setTimeout(() => {
        note(`Helm did not end within ${graceMs / 1000}s of ${signal}, and is killed`);
        child.kill('SIGKILL');
      }, graceMs);
    });
    child.on('error', ({ message }) =>
      reject(new Failure(EXIT.failed, `Helm cannot be started: ${message}`)),
    );
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal });
    });
  });
}

/** Helm's own; of a signal as a shell has it. */
export function exitCodeOfChild({ code, signal }: Ending): number {
  return code ?? 128 + constants.signals[signal as NodeJS.Signals];
}
