/** The command line on Node 20, which many runners still have: built as `npm run build` does it, and run there. */
import { cp, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import ts from 'typescript';
import { helmRecord, pathOf } from '../support/clearing.ts';
import { helmBinary } from '../tools/binaries.ts';
import { findNode20 } from '../tools/node-20.ts';
import { helmEnvironment, type RunResult, run, start } from '../tools/run.ts';
import { CHART, cliWorld } from './world.ts';

const ROOT = new URL('../../', import.meta.url).pathname;
const SOURCE = join(ROOT, 'src/');

/** The service has its own Node, and `serve` alone loads it. */
const SERVICE = join(SOURCE, 'main.ts');

/** What the compiler says of something that the chosen language does not have. */
const NEEDS_NEWER = [2339, 2550, 2551, 2583, 2584, 2585, 2693];

/** As tsconfig.build.json has it, in the language of Node 20, and without a look at the types of packages. */
function compile(outDir: string): { problems: string[]; sources: string[] } {
  const { config } = ts.readConfigFile(join(ROOT, 'tsconfig.json'), ts.sys.readFile);
  const language = { lib: ['es2023'], target: 'es2023', noEmit: false };
  const json = { compilerOptions: { ...config.compilerOptions, ...language }, files: [] };
  const options = { ...ts.parseJsonConfigFileContent(json, ts.sys, ROOT).options, rootDir: SOURCE, outDir };
  const host = ts.createCompilerHost(options);
  const { readFile } = host;
  host.readFile = (path) => (path === SERVICE ? 'export {};' : readFile(path));
  host.resolveModuleNameLiterals = (names, from) =>
    names.map(({ text }) =>
      text.startsWith('.') ? ts.resolveModuleName(text, from, options, host) : { resolvedModule: undefined },
    );
  const program = ts.createProgram([join(SOURCE, 'cli/main.ts')], options, host);
  const ours = program.getSourceFiles().filter(({ fileName }) => fileName.startsWith(SOURCE));
  const problems = ours
    .flatMap((file) => program.getSemanticDiagnostics(file))
    .filter(({ code }) => NEEDS_NEWER.includes(code))
    .map(
      ({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`,
    );
  program.emit();
  return {
    // What comes from a package is of no known type here.
    problems: problems.filter((problem) => !problem.includes("does not exist on type 'unknown'")),
    sources: ours.map(({ fileName }) => fileName.slice(SOURCE.length)),
  };
}

/** Resolves with the path of the built main.js. */
async function built(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'node-20-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const dist = join(folder, 'dist');
  const { problems, sources } = compile(dist);
  t.same(problems, [], 'it is written in the language of Node 20');
  for (const source of ['cli/run.ts', 'kubernetes/connection.ts', 'locks/find.ts', 'gate/sleepers.ts']) {
    t.ok(sources.includes(source), `${source} was looked at`);
  }
  await cp(join(ROOT, 'package.json'), join(folder, 'package.json'));
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const trimmed = await run(process.execPath, [join(ROOT, 'deploy/trim-client.ts'), dist]);
  t.equal(trimmed.code, 0, trimmed.stderr);
  return join(dist, 'cli/main.js');
}

t.test('every command', async (t) => {
  const node = findNode20();
  const main = await built(t);
  const w = await cliWorld(t, '3.17.3');
  const { helm } = await helmBinary('3.17.3');
  const kubeconfig = await w.cluster.kubeconfig({ user: { username: 'alice' }, namespace: 'prod' });
  const env = {
    ...helmEnvironment({ folder: w.cluster.folder, kubeconfig }),
    PATH: `${dirname(helm)}:${process.env.PATH}`,
  };
  const begin = (args: readonly string[], onOutput: (text: string) => void = () => {}) =>
    start(node.path, [...node.args, main, ...args], { env, onOutput });
  const lockkeeper = (...args: string[]): Promise<RunResult> => begin(args).done;

  t.match(await run(node.path, [...node.args, '-p', 'process.versions.node']), { stdout: /^20\./ });
  t.match(await lockkeeper('--version'), { code: 0, stdout: /^\d+\.\d+\.\d+/ });
  t.match(await lockkeeper('run', '--', 'helm', 'install', 'api', CHART), {
    code: 0,
    stdout: /STATUS: deployed/,
  });
  await w.admin.create(pathOf('secrets'), helmRecord(2, 'pending-upgrade'));
  t.match(await lockkeeper('list', '-A', '-o', 'json'), { code: 0, stdout: /"release": "api"/ });

  const waits = Promise.withResolvers<void>();
  const waiting = begin(['wait', 'api'], (text) => {
    if (text.includes('waiting: ')) waits.resolve();
  });
  await Promise.race([waits.promise, waiting.done]);
  t.match(await lockkeeper('clear', 'api', '--force'), { code: 0, stdout: /is marked as failed/ });
  t.match(await waiting.done, { code: 0, stderr: /waiting: release prod\/api is locked/ });
  t.match(await lockkeeper('run', '--', 'helm', 'upgrade', 'api', CHART), { code: 0 });
  t.same(await w.history(), ['1 superseded', '2 failed', '3 deployed']);

  t.match(await lockkeeper('serve'), {
    code: 1,
    stderr: /^lockkeeper: lockkeeper serve needs Node 22 or later, and this is Node 20\.\S+\n$/,
  });
});
