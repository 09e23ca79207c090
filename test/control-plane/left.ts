/** What a control plane may leave behind, and looks that wait until it has not. */
import { access } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { run } from '../tools/run.ts';

/** Where a control plane is seen from outside. */
export interface Traces {
  readonly url: string;
  readonly etcd: string;
  readonly folder: string;
}

export interface Left {
  readonly apiServer: boolean;
  readonly etcd: boolean;
  readonly folder: boolean;
  /** Command lines that name the folder, and of children of this process. */
  readonly processes: readonly string[];
}

export const NOTHING: Left = { apiServer: false, etcd: false, folder: false, processes: [] };

export async function whatIsLeft({ url, etcd, folder }: Traces): Promise<Left> {
  return {
    apiServer: await answers(url),
    etcd: await answers(etcd),
    folder: await access(folder).then(
      () => true,
      () => false,
    ),
    processes: await processes(folder),
  };
}

const PATIENCE_MS = 15_000;

const PAUSE_MS = 50;

/** Looks until nothing is left, or for 15 s, which is what it returns then. */
export async function whatStays(traces: Traces): Promise<Left> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const left = await whatIsLeft(traces);
    const isNothing = !left.apiServer && !left.etcd && !left.folder && left.processes.length === 0;
    if (isNothing || Date.now() > deadline) return left;
    await delay(PAUSE_MS);
  }
}

/** Whether anybody listens there. */
function answers(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(Number(port), hostname, () => resolve(true)).on('error', () => resolve(false));
  return promise.finally(() => socket.destroy());
}

async function processes(folder: string): Promise<string[]> {
  const ps = await run('ps', ['-A', '-ww', '-o', 'ppid=,args=']);
  const own = new RegExp(`^\\s*${process.pid}\\s+(?!ps )`);
  return ps.stdout.split('\n').filter((line) => line.includes(folder) || own.test(line));
}
