/** `lockkeeper run` */
import { systemClock } from '../clock.ts';
import { isPending } from '../helm/release.ts';
import type { Arguments } from './arguments.ts';
import { type Cluster, withCluster } from './cluster.ts';
import { EXIT, Failure } from './exit.ts';
import { STALE_AFTER_SECONDS } from './flags.ts';
import { tidyUp } from './run/aftermath.ts';
import { catchSignals, type Ending, exitCodeOfChild, runChild, type Signals } from './run/child.ts';
import { createTeller } from './run/held-words.ts';
import { CLUSTER_VARIABLES, type HelmCommand, readHelmCommand } from './run/helm-command.ts';
import { writeKubeconfig } from './run/kubeconfig.ts';
import { type HelmProxy, startProxy } from './run/proxy.ts';
import type { Terminal } from './terminal.ts';
import { waitForTurn } from './turn.ts';
import { WAIT_SECONDS } from './wait.ts';
import { judgedAndWhatNow } from './words.ts';

/** GitHub sends SIGTERM 7.5 s after SIGINT, and kills 2.5 s later; the lock is to be cleared by then. */
const GRACE_SECONDS = 5;

const OF_CLUSTER: ReadonlySet<string> = new Set(Object.values(CLUSTER_VARIABLES));

type Deploy = Extract<HelmCommand, { kind: 'deploy' }>;

interface Run {
  readonly program: string;
  readonly args: readonly string[];
  readonly deploy: Deploy;
  readonly graceMs: number;
  readonly withProxy: boolean;
  readonly staleAfterSeconds: number;
  readonly clearStale: boolean;
  /** By the clock of waits: nobody waits for a turn after it. */
  readonly deadline: number;
  readonly signals: Signals;
  readonly terminal: Terminal;
}

export async function runHelm(
  args: Arguments,
  terminal: Terminal,
  after: readonly string[],
): Promise<number> {
  const [program, ...helmArgs] = after;
  if (program === undefined || args.positionals.length > 0) {
    throw new Failure(
      EXIT.usage,
      'the command of Helm comes after "--": lockkeeper run -- helm upgrade api ./chart',
    );
  }
  const seconds = args.duration('timeout', WAIT_SECONDS);
  const graceMs = args.duration('grace', GRACE_SECONDS) * 1000;
  const staleAfterSeconds = args.duration('stale-after', STALE_AFTER_SECONDS);
  const signals = catchSignals();
  try {
    const deploy = readHelmCommand(helmArgs, terminal.env);
    if (deploy.kind === 'other') {
      terminal.note(`${deploy.why}: it runs as it is`);
      const { env, note } = terminal;
      return exitCodeOfChild(await runChild(program, helmArgs, { env, graceMs, signals, note }));
    }
    const run: Run = {
      program,
      args: helmArgs,
      deploy,
      graceMs,
      withProxy: !args.has('no-proxy'),
      staleAfterSeconds,
      clearStale: !args.has('no-clear-stale'),
      deadline: systemClock.now() + seconds * 1000,
      signals,
      terminal,
    };
    return await withCluster(deploy.choice, terminal, (cluster) => takeTurns(cluster, run));
  } finally {
    signals.release();
  }
}

/** Between the wait and Helm's own look somebody may slip in: then Helm has changed nothing, and waits once more. */
async function takeTurns(cluster: Cluster, run: Run): Promise<number> {
  for (;;) {
    const refusal = await waitForAll(cluster, run);
    if (refusal !== undefined) return refusal;
    const { ending, isWorthAnotherTurn } = await runOnce(cluster, run);
    if (!isWorthAnotherTurn || systemClock.now() >= run.deadline) return exitCodeOfChild(ending);
    run.terminal.note('another deploy was first, and nothing was changed: waiting for the next turn');
  }
}

/** Undefined when it is our turn; else how to end. */
async function waitForAll(cluster: Cluster, run: Run): Promise<number | undefined> {
  const { deploy, deadline, signals, terminal } = run;
  const namespace = deploy.namespace ?? cluster.namespace;
  for (const name of deploy.releases) {
    const seconds = Math.max(0, (deadline - systemClock.now()) / 1000);
    const { note } = terminal;
    const turn = { ...run, command: 'lockkeeper run', namespace, name, seconds, note, signal: signals.first };
    try {
      const left = await waitForTurn(cluster, turn);
      if (left === undefined) continue;
      note(`Helm was not started: ${judgedAndWhatNow(left, cluster.connection.date())}`);
      return EXIT.locked;
    } catch (error) {
      if (!signals.first.aborted) throw error;
      terminal.note('Helm was not started');
      return exitCodeOfChild({ code: null, signal: signals.first.reason });
    }
  }
  return undefined;
}

async function runOnce(cluster: Cluster, run: Run): Promise<{ ending: Ending; isWorthAnotherTurn: boolean }> {
  const { deploy, terminal, withProxy, signals } = run;
  const namespace = deploy.namespace ?? cluster.namespace;
  const releases = deploy.releases.map((name) => ({ driver: deploy.driver, namespace, name }));
  const proxy = withProxy ? await startProxy({ ...cluster, onHeld: createTeller(terminal.note) }) : undefined;
  try {
    const ending = await (proxy ? runBehind(proxy, cluster, run) : runDirectly(run));
    await proxy?.close();
    await tidyUp({ cluster, releases, made: proxy?.made, ending, note: terminal.note });
    const isUntouched =
      proxy !== undefined && !proxy.hasWritten() && ending.code !== 0 && !signals.first.aborted;
    return {
      ending,
      isWorthAnotherTurn: isUntouched && (proxy.hasLost() || (await isLocked(cluster, releases))),
    };
  } finally {
    await proxy?.close();
  }
}

async function isLocked(
  { reader }: Cluster,
  releases: Parameters<Cluster['reader']['all']>[0][],
): Promise<boolean> {
  const signal = AbortSignal.timeout(10_000);
  for (const release of releases) {
    const [newest] = await reader.all(release, signal);
    if (isPending(newest?.status)) return true;
  }
  return false;
}

function runDirectly({ program, args, graceMs, signals, terminal: { env, note } }: Run): Promise<Ending> {
  return runChild(program, args, { env, graceMs, signals, note });
}

/** Helm is told of the proxy by its kubeconfig, and of nothing else. */
async function runBehind(proxy: HelmProxy, { kubeConfig, namespace }: Cluster, run: Run): Promise<Ending> {
  const { program, deploy, graceMs, signals, terminal } = run;
  const context = { name: kubeConfig.getCurrentContext(), namespace };
  const throwAway = await writeKubeconfig(proxy, context);
  const others = Object.entries(terminal.env).filter(([name]) => !OF_CLUSTER.has(name));
  const env = { ...Object.fromEntries(others), KUBECONFIG: throwAway.path };
  try {
    return await runChild(program, deploy.withoutCluster, { env, graceMs, signals, note: terminal.note });
  } finally {
    await throwAway.remove();
  }
}
