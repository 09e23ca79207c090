/** The command line as people have it: a process, on a cluster, beside real Helm. */
import { dirname } from 'node:path';
import type { Test } from 'tap';
import { program } from '../../src/cli/program.ts';
import { createTerminal } from '../../src/cli/terminal.ts';
import type { ApiClient } from '../clusters/client.ts';
import type { Cluster, User } from '../clusters/cluster.ts';
import { startCluster } from '../clusters/start.ts';
import { type Writes, watchWrites } from '../clusters/writes.ts';
import { type HelmVersion, helmBinary } from '../tools/binaries.ts';
import { helmEnvironment, type RunningProgram, type RunResult, start, startHelm } from '../tools/run.ts';

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;

export const CHART = new URL('../fixtures/charts/app', import.meta.url).pathname;

const ALICE: User = { username: 'alice' };

export interface CliOptions {
  /** Beside those that Helm needs; an empty one is taken away. */
  readonly env?: Readonly<Record<string, string>>;
  readonly user?: User;
}

export interface Running extends RunningProgram {
  /** The first output, past or to come, that has these words in it. */
  says(words: string | RegExp): Promise<string>;
}

export interface CliWorld {
  readonly cluster: Cluster;
  readonly admin: ApiClient;
  readonly writes: Writes;
  /** Starts `lockkeeper` with `helm` on the PATH, as alice in `prod`. */
  start(args: readonly string[], options?: CliOptions): Promise<Running>;
  cli(args: readonly string[], options?: CliOptions): Promise<RunResult>;
  /** The same in this process, which need not start: for what is not about processes. */
  call(args: readonly string[], options?: CliOptions): Promise<Pick<RunResult, 'code' | 'stdout' | 'stderr'>>;
  /** Starts Helm, as alice in `prod`. */
  helm(...args: string[]): RunningProgram;
  /** Revision and status of each stored revision. */
  history(release?: string): Promise<string[]>;
}

export async function cliWorld(t: Test, version: HelmVersion = '3.17.3', on?: Cluster): Promise<CliWorld> {
  const cluster = on ?? (await startCluster(t));
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  const writes = await watchWrites(admin);
  t.teardown(() => writes.stop());
  const binaries = await helmBinary(version);
  const atWork = new Set<RunningProgram>();
  t.teardown(async () => {
    for (const program of atWork) program.kill('SIGKILL');
    await Promise.all([...atWork].map(({ done }) => done));
  });
  async function environment(user: User): Promise<Record<string, string>> {
    return helmEnvironment({
      folder: cluster.folder,
      kubeconfig: await cluster.kubeconfig({ user, namespace: 'prod' }),
    });
  }
  const alices = await environment(ALICE);
  const remember = <T extends RunningProgram>(running: T): T => {
    atWork.add(running);
    void running.done.finally(() => atWork.delete(running));
    return running;
  };

  async function begin(
    args: readonly string[],
    { env = {}, user = ALICE }: CliOptions = {},
  ): Promise<Running> {
    let output = '';
    const listeners = new Set<() => void>();
    const own = user === ALICE ? alices : await environment(user);
    const running = start(process.execPath, [MAIN, ...args], {
      // Its coverage counts, and what measures it is told by the environment.
      env: withoutEmpty({
        ...inherited(),
        ...own,
        PATH: `${dirname(binaries.helm)}:${process.env.PATH}`,
        ...env,
      }),
      onOutput(text) {
        output += text;
        for (const listener of listeners) listener();
      },
    });
    const says = (words: string | RegExp) =>
      new Promise<string>((resolve) => {
        const look = () => {
          if (!(typeof words === 'string' ? output.includes(words) : words.test(output))) return;
          listeners.delete(look);
          resolve(output);
        };
        listeners.add(look);
        look();
      });
    return remember({ ...running, says });
  }

  async function call(args: readonly string[], { env = {}, user = ALICE }: CliOptions = {}) {
    const output = { stdout: '', stderr: '' };
    const own = user === ALICE ? alices : await environment(user);
    const terminal = createTerminal(
      { env: { ...own, ...env }, home: cluster.folder },
      {
        out(text) {
          output.stdout += text;
        },
        error(text) {
          output.stderr += text;
        },
      },
    );
    const code = (await program(args, terminal, '0.0.0')) ?? null;
    return { code, ...output };
  }

  return {
    cluster,
    admin,
    writes,
    start: begin,
    call,
    cli: async (args, options) => (await begin(args, options)).done,
    helm: (...args) => remember(startHelm(binaries.helm, args, { env: alices })),
    async history(release = 'api') {
      const query = `labelSelector=owner%3Dhelm,name%3D${release}`;
      const records = await admin.list(`/api/v1/namespaces/prod/secrets?${query}`);
      return records
        .map(({ metadata: { labels } }) => `${labels?.version} ${labels?.status}`)
        .sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
    },
  };
}

/** What tap tells the processes that its tests start. */
function inherited(): Record<string, string> {
  const names = Object.keys(process.env).filter((name) => /^(NODE_|TAP|_TAPJS)/.test(name));
  return Object.fromEntries(names.map((name) => [name, process.env[name] ?? '']));
}

function withoutEmpty(env: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
}

/** The Job of a hook has been made: Helm waits for its end, which `completeJob` writes. */
export async function hookOf({ writes }: Pick<CliWorld, 'writes'>, name = 'api-pre'): Promise<void> {
  await writes.next(({ verb, object }) => verb === 'ADDED' && object.metadata.name === name);
}
