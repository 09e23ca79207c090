import t from 'tap';
import { helmEnvironment, run, start } from './run.ts';

const script = (code: string) => ['-e', code];

t.test('a program runs to its end, whatever its code is', async (t) => {
  const pieces: string[] = [];
  const result = await run(
    process.execPath,
    script('process.stdin.pipe(process.stdout); console.error("err"); process.exitCode = 3'),
    {
      input: 'hello',
      cwd: '/',
      onOutput: (text, stream) => pieces.push(`${stream} ${text.trim()}`),
    },
  );
  t.same(result, { code: 3, signal: null, stdout: 'hello', stderr: 'err\n' });
  t.same(pieces.sort(), ['stderr err', 'stdout hello']);
});

t.test('nothing is inherited but PATH, and what tap adds to watch its children', async (t) => {
  const { stdout } = await run(
    process.execPath,
    script('console.log(Object.keys(process.env).join("\\n"))'),
    {
      env: { A: 'b' },
    },
  );
  const names = stdout.trim().split('\n');
  t.same(names.filter((name) => !/^(NODE_OPTIONS|_?TAP.*)$/.test(name)).sort(), ['A', 'PATH']);
});

t.test('a program is killed on demand, and by a signal', async (t) => {
  const forever = script('console.log("ready"); setInterval(() => {}, 1000)');
  const program = start(process.execPath, forever, { onOutput: () => program.kill('SIGKILL') });
  t.type(program.pid, 'number');
  t.match(await program.done, { code: null, signal: 'SIGKILL', stdout: 'ready\n' });

  const polite = start(process.execPath, forever, { onOutput: () => polite.kill() });
  t.match(await polite.done, { signal: 'SIGTERM' });

  const controller = new AbortController();
  const aborted = run(process.execPath, forever, {
    signal: controller.signal,
    onOutput: () => controller.abort(),
  });
  t.match(await aborted, { signal: 'SIGKILL' });
});

t.test('a program that reads no input, and one that does not exist', async (t) => {
  t.match(await run(process.execPath, script(''), { input: 'x'.repeat(1_000_000) }), { code: 0 });
  await t.rejects(run('/nowhere/program', []), { code: 'ENOENT' });
});

t.test('Helm sees nothing of this machine', async (t) => {
  const env = helmEnvironment({ folder: '/f', kubeconfig: '/k' });
  t.match(env, { HOME: '/f', KUBECONFIG: '/k', HELM_DRIVER: 'secret', HELM_CACHE_HOME: '/f/helm/cache' });
  t.equal(helmEnvironment({ folder: '/f', kubeconfig: '/k', driver: 'configmap' }).HELM_DRIVER, 'configmap');
});
