/** However a control plane and whoever started it end, nothing is left behind. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { startControlPlane } from '../clusters/control-plane/cluster.ts';
import { controlPlaneProgram } from '../clusters/control-plane/programs.ts';
import type { GoOptions } from '../tools/go.ts';
import { type RunningProgram, start } from '../tools/run.ts';
import { NOTHING, type Traces, whatIsLeft, whatStays } from './left.ts';

const KEEPER = join(import.meta.dirname, 'keeper.ts');

const RUNNING = { apiServer: true, etcd: true, folder: true };

type Death = readonly [what: string, die: (keeper: RunningProgram) => void, result: object];

const KILLED: Death = ['is killed', (keeper) => keeper.kill('SIGKILL'), { signal: 'SIGKILL' }];

/** To the program they are all one: its input ends. */
const DEATHS: readonly Death[] = [
  KILLED,
  ['gets Ctrl-C', (keeper) => process.kill(-(keeper.pid as number), 'SIGINT'), { signal: 'SIGINT' }],
  ['has a bug', (keeper) => keeper.kill('SIGUSR2'), { code: 1, stderr: /nobody catches this/ }],
];

/** @param isOther a program that those who start it use as they use the one of which all endings are told */
export function endings(options: GoOptions, { isOther = false } = {}): void {
  const environment = (options.env ?? process.env) as Record<string, string>;

  /** Starts a program that tells where its control plane is, with a folder of its own for what is temporary. */
  async function starting(t: Test, program: string, args: readonly string[]) {
    const temporary = t.testdir({});
    const told = Promise.withResolvers<Traces>();
    let line = '';
    const running = start(program, args, {
      env: { ...environment, TMPDIR: temporary },
      ownGroup: true,
      onOutput(text, stream) {
        if (stream === 'stdout') line += text;
        if (line.endsWith('\n')) told.resolve(JSON.parse(line));
      },
    });
    t.teardown(() => running.kill('SIGKILL'));
    running.done.then(({ stderr }) => told.reject(new Error(stderr)), told.reject);
    // Not every test waits until it is told.
    told.promise.catch(() => {});
    return { ...running, temporary, told: told.promise };
  }

  t.test('stop, which may be called twice', async (t) => {
    const cluster = await startControlPlane(options);
    t.match(await whatIsLeft(cluster), { ...RUNNING, processes: [/ /] });
    await Promise.all([cluster.stop(), cluster.stop()]);
    t.same(await whatIsLeft(cluster), NOTHING);
    await cluster.stop();
  });

  for (const [what, die, result] of isOther ? [KILLED] : DEATHS) {
    t.test(`whoever started it ${what}`, async (t) => {
      const keeper = await starting(t, process.execPath, [KEEPER]);
      const traces = await keeper.told;
      t.match(await whatIsLeft(traces), RUNNING);
      die(keeper);
      t.match(await keeper.done, result);
      t.same(await whatStays(traces), NOTHING);
      t.same(await readdir(keeper.temporary), []);
    });
  }

  t.test('whoever starts it is killed before it answers', async (t) => {
    const keeper = await starting(t, process.execPath, [KEEPER]);
    await until(async () => (await foldersIn(keeper.temporary)).length > 0);
    keeper.kill('SIGKILL');
    t.match(await keeper.done, { signal: 'SIGKILL', stdout: '' });
    await until(async () => (await foldersIn(keeper.temporary)).length === 0);
  });

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    t.test(`the program itself gets ${signal}`, async (t) => {
      const { program, args } = await controlPlaneProgram(options);
      const running = await starting(t, program, args);
      const traces = await running.told;
      t.match(
        await whatIsLeft(traces),
        RUNNING,
        'without -while-stdin, the end of its input is none of its own',
      );
      running.kill(signal);
      t.match(await running.done, { code: 0, stderr: '' });
      t.same(await whatIsLeft(traces), NOTHING);
    });
  }

  t.test('a start that fails says why', async (t) => {
    const { program, args } = await controlPlaneProgram(options);
    const failing = async (more: readonly string[]) => {
      const running = await starting(t, program, [...args, ...more]);
      const result = await running.done;
      t.same(await readdir(running.temporary), []);
      return result;
    };
    t.match(await failing(['-nonsense']), { code: /[12]/, stderr: /nonsense/, stdout: '' });
    t.match(await failing(['-user', '=devs']), {
      code: /[12]/,
      stderr: /a name, and groups after/,
      stdout: '',
    });

    const env = { ...environment, TMPDIR: '/dev/null/nowhere' };
    const keeper = start(process.execPath, [KEEPER], { env });
    const why = /the control plane did not start: control-plane: .*\/dev\/null\/nowhere/;
    t.match(await keeper.done, { code: 1, stderr: why, stdout: '' });
  });
}

/** The folders of control planes. */
async function foldersIn(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name.startsWith('control-plane-'));
}

/** Looks until it is so; the runner of the tests has the patience. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await delay(20);
}
