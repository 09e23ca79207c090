/**
 * `npm run test:e2e`: everything that is proved on a real API server, with every Helm. Builds what it needs first, which
 * takes minutes once. Names of files after `--` run those only. `npm run test:cluster` tests that real API server itself: how
 * it starts, from which programs, that it leaves nothing behind, and that the embedded cluster answers as it does.
 *
 * A whole run must have seen what docs/helm-versions.md says of each Helm; `-- --write` writes it anew.
 */
import { spawn } from 'node:child_process';
import { createWriteStream, globSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startControlPlane } from '../clusters/control-plane/cluster.ts';
import { controlPlaneProgram } from '../clusters/control-plane/programs.ts';
import { builtHelmBinaries } from '../tools/binaries.ts';
import { GoIsMissing } from '../tools/go.ts';
import { helmVersionsPage, withoutSeconds } from './helm-versions.ts';
import { progressLine } from './progress.ts';

/** What runs on both clusters, and what only a real one can show. */
const SUITE = ['test/clusters/conformance/*.test.ts', 'test/e2e/*.test.ts', 'test/control-plane/*.e2e.ts'];

/** What holds of the cluster, and of the embedded one beside it. It changes with test/clusters, and not with Lockkeeper. */
const OF_THE_CLUSTER = /\/((assets-)?(start|end)\.e2e|conformance\/[\w-]+\.test)\.ts$/;

/**
 * Slow, and told on the real cluster by others: what comes next by the newest Helm, which Go builds; that the embedded
 * cluster is good enough for Helm, by all the stories. And people whose names no real cluster of a test knows.
 */
const EMBEDDED_ONLY = /\/(next-[\d.]+|helm|strangers)\.test\.ts$/;

/** They need a Helm that only Go can make, the oldest, and the newest of each line; or tell the rest beside those. */
const OF_BUILT_HELMS = /\/(helm-[\d.]+|holds)\.e2e\.ts$/;

/** The same stories by the Helms of npm, which lie between those. What must be shown with every Helm is in holds.e2e.ts. */
const OF_NPM_HELMS = /\/(delete|helm|stale)-[\d.]+\.test\.ts$/;

const PAGE = 'docs/helm-versions.md';

const HOW_TO_GET_IT =
  'install Go 1.26 or newer (https://go.dev/dl), or set KUBEBUILDER_ASSETS to a folder with kube-apiserver and etcd (setup-envtest use -p path)';

/** Files at once. Much of their time is spent in waiting, so one more than the smallest machine has cores; four take longer. */
const JOBS = 3;

/** Seconds for one file, on a machine that is busy with others. */
const TIMEOUT_SECONDS = 600;

/** In the folder of a run: what the files said, as it came. */
const OUTPUT = 'output.tap';

process.chdir(join(import.meta.dirname, '../..'));
// A Ctrl-C also ends whoever reads this through a pipe: that must not keep it from tidying up.
process.stdout.on('error', () => {});
const FLAGS = ['--write', '--cluster'];
const [write, ofTheCluster] = FLAGS.map((flag) => process.argv.includes(flag));
const chosen = process.argv.slice(2).filter((argument) => !FLAGS.includes(argument));
const withAllHelms = await build();
process.exitCode = await runSuite(chosen.length > 0 ? chosen : wholeSuite());

/** Returns whether there are all Helms. Ends the process, with one line about what is missing, if there is no cluster. */
async function build(): Promise<boolean> {
  const interrupted = new AbortController();
  const interrupt = () => interrupted.abort();
  process.once('SIGINT', interrupt);
  const progress = progressLine(process.stderr);
  const options = { onProgress: progress.show, signal: interrupted.signal };
  const whatIsMissing = (error: unknown): string => {
    progress.end();
    if (error instanceof GoIsMissing) return error.message;
    process.stderr.write(`${(error as Error).message}\n`);
    return process.exit(1);
  };
  const cluster = await controlPlaneProgram(options).catch(whatIsMissing);
  if (typeof cluster === 'string') {
    process.stderr.write(`test:e2e needs a real kube-apiserver, and ${cluster}: ${HOW_TO_GET_IT}\n`);
    return process.exit(1);
  }
  const helms = await builtHelmBinaries(options).catch(whatIsMissing);
  progress.end();
  process.off('SIGINT', interrupt);
  if (typeof helms !== 'string') return true;
  process.stderr.write(`only the Helms of npm are tried: ${helms}\n`);
  return false;
}

function wholeSuite(): string[] {
  const files = SUITE.flatMap((pattern) => globSync(pattern).sort()).filter(
    (file) => !EMBEDDED_ONLY.test(file),
  );
  const leftOut = withAllHelms ? OF_NPM_HELMS : OF_BUILT_HELMS;
  return files.filter((file) => OF_THE_CLUSTER.test(file) === ofTheCluster && !leftOut.test(file));
}

async function runSuite(files: readonly string[]): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'test-e2e-'));
  try {
    const code = await tap(files, folder);
    if (code !== 0 || chosen.length > 0 || ofTheCluster || !withAllHelms) return code;
    return await comparePage(helmVersionsPage(await readFile(join(folder, OUTPUT), 'utf8')));
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Runs files as `tap run` does; `folder` is for whatever it leaves. */
async function tap(files: readonly string[], folder: string): Promise<number> {
  const { isTTY } = process.stdout;
  const output = join(folder, OUTPUT);
  const planes = await Promise.all(Array.from({ length: JOBS }, () => startControlPlane()));
  // Where tap writes no report for people, it would write everything twice to standard output for an --output-file.
  const reporting = isTTY ? [`--output-file=${output}`] : ['--reporter=tap'];
  const options = [
    'run',
    '--disable-coverage',
    `--jobs=${JOBS}`,
    // Who asks for more runs than the test has by itself knows how long they take.
    `--timeout=${process.env.LOCKKEEPER_RUNS === undefined ? TIMEOUT_SECONDS : 0}`,
    ...reporting,
  ];
  const child = spawn('tap', [...options, ...files], {
    stdio: ['inherit', isTTY ? 'inherit' : 'pipe', 'inherit'],
    env: {
      ...process.env,
      LOCKKEEPER_TEST_CLUSTER: 'control-plane',
      // The files load mostly the same modules, thousands of them: only the first to do so has to compile them.
      NODE_COMPILE_CACHE: join(folder, 'compiled'),
      LOCKKEEPER_TEST_CONTROL_PLANES: JSON.stringify(planes.map(({ running }) => running)),
    },
  });
  child.stdout?.pipe(process.stdout);
  child.stdout?.pipe(createWriteStream(output));
  // A Ctrl-C reaches tap as well, and it ends the tests: this process ends after it, and takes away its folder.
  process.on('SIGINT', () => {});
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve(status ?? 1));
  });
  for (const plane of planes) await plane.stop();
  return code;
}

async function comparePage(page: string): Promise<number> {
  if (write) {
    await writeFile(PAGE, page);
    return 0;
  }
  if (withoutSeconds(await readFile(PAGE, 'utf8')) === withoutSeconds(page)) return 0;
  process.stderr.write(`${PAGE} does not say what this run saw: npm run test:e2e -- --write\n`);
  return 1;
}
