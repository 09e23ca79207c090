/** Runs programs, and says what Helm and kubectl may see of this machine: nothing. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';

export interface RunOptions {
  /** The whole environment; nothing is inherited but PATH. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Written to standard input, which is then closed. */
  readonly input?: string;
  /** Kills with SIGKILL. */
  readonly signal?: AbortSignal;
  /** Out of reach of the signals that a terminal sends to everything in its foreground. */
  readonly ownGroup?: boolean;
  /** Only root may choose. */
  readonly user?: { readonly uid: number; readonly gid: number };
  /** Called with each piece of output as it comes. */
  readonly onOutput?: (text: string, stream: 'stdout' | 'stderr') => void;
}

export interface RunResult {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningProgram {
  readonly pid: number | undefined;
  /** Rejects only when the program could not be started. */
  readonly done: Promise<RunResult>;
  kill(signal?: NodeJS.Signals): void;
}

/** Starts a program and keeps its handle. */
export function start(program: string, args: readonly string[], options: RunOptions = {}): RunningProgram {
  const child = spawn(program, args, {
    // A Helm lives for a second: what it would spend on collecting garbage (a fifth of its time), a suite waits for.
    env: { PATH: process.env.PATH ?? '', ...options.env },
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    detached: options.ownGroup ?? false,
    ...options.user,
  });
  const output = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      output[stream] += text;
      options.onOutput?.(text, stream);
    });
  }
  // A program that ends without reading its input is no error of ours.
  child.stdin.on('error', () => {}).end(options.input ?? '');
  const kill = (signal: NodeJS.Signals = 'SIGTERM') => void child.kill(signal);
  const onAbort = () => kill('SIGKILL');
  options.signal?.addEventListener('abort', onAbort, { once: true });
  const done = new Promise<RunResult>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      options.signal?.removeEventListener('abort', onAbort);
      resolve({ code, signal, ...output });
    });
  });
  return { pid: child.pid, done, kill };
}

/**
 * Starts Helm, which fetches no OpenAPI document to check a chart by: that is half of the time of an upgrade on a real
 * cluster, and our charts are known to be right. Where the check matters, `start` lets it: in the life of our own chart.
 */
export function startHelm(program: string, args: readonly string[], options: RunOptions): RunningProgram {
  const checks = args[0] === 'install' || args[0] === 'upgrade';
  return start(program, [...args, ...(checks ? ['--disable-openapi-validation'] : [])], options);
}

/** Runs a program to its end. Rejects only when it could not be started, whatever its exit code is. */
export function run(program: string, args: readonly string[], options?: RunOptions): Promise<RunResult> {
  return start(program, args, options).done;
}

export interface HelmEnvironmentOptions {
  /** Throw-away folder for caches and configuration. */
  readonly folder: string;
  readonly kubeconfig: string;
  /** Where Helm keeps its records. */
  readonly driver?: 'secret' | 'configmap';
}

/** For Helm and kubectl: no configuration, cache or plugin of this machine, and no KUBECONFIG or HELM_* of its user. */
export function helmEnvironment({ folder, kubeconfig, driver = 'secret' }: HelmEnvironmentOptions) {
  return {
    HOME: folder,
    KUBECONFIG: kubeconfig,
    HELM_DRIVER: driver,
    HELM_CACHE_HOME: join(folder, 'helm/cache'),
    HELM_CONFIG_HOME: join(folder, 'helm/config'),
    HELM_DATA_HOME: join(folder, 'helm/data'),
    // They end before it pays to tidy up: it was up to a fifth of their time.
    GOGC: '400',
  };
}
