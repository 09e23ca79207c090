import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { fakeGo } from './fake-go.ts';
import { GoIsMissing, type GoProgram, goProgram } from './go.ts';
import { run } from './run.ts';

async function setUp(t: Test) {
  const folder = t.testdir({ source: { 'main.go': 'package main', 'go.mod': 'module a', 'beside.ts': '' } });
  const go = await fakeGo(folder);
  const source = join(folder, 'source');
  const program: GoProgram = { name: 'tool', from: { folder: source } };
  return { folder, go, source, program, options: { env: go.env } };
}

t.test('a program is built once, and kept outside the checkout', async (t) => {
  const { go, program, options } = await setUp(t);
  const path = await goProgram(program, options);
  t.equal(dirname(path), go.cache);
  t.match(await run(path, []), {
    code: 0,
    stdout: /^build -v -trimpath .* -ldflags -s -w -o .*\/tool \.\n$/,
  });
  t.equal(await goProgram(program, options), path);
  t.equal((await go.calls()).length, 1);
  t.equal((await go.cached()).length, 1, 'and nothing beside it');
});

t.test('it is built again when something changes that goes into it', async (t) => {
  const { go, source, program, options } = await setUp(t);
  const paths = new Set([await goProgram(program, options)]);
  const write = (name: string, content: string) => writeFile(join(source, name), content);
  const changes: { what: string; change?: () => Promise<void>; program?: Partial<GoProgram> }[] = [
    { what: 'a source', change: () => write('main.go', 'package main // changed') },
    { what: 'a new file', change: () => write('embedded.json', '{}') },
    { what: 'the name of a file', change: () => rename(join(source, 'main.go'), join(source, 'b.go')) },
    { what: 'a linker flag', program: { linkerFlags: ['-X main.version=1'] } },
    { what: 'the package', program: { from: { folder: source, package: 'example.com/other' } } },
    { what: 'another program', program: { name: 'other' } },
  ];
  for (const { what, change, program: changed } of changes) {
    await change?.();
    const path = await goProgram({ ...program, ...changed }, options);
    t.notOk(paths.has(path), what);
    paths.add(path);
  }
  const calls = await go.calls();
  t.equal(calls.length, 1 + changes.length);
  t.match(calls, [
    / \.$/,
    / \.$/,
    / \.$/,
    / \.$/,
    /-w -X main\.version=1 /,
    / example\.com\/other$/,
    /\/other \.$/,
  ]);
});

t.test('it is not built again for what does not go into it', async (t) => {
  const { folder, go, source, program, options } = await setUp(t);
  const path = await goProgram(program, options);
  await writeFile(join(source, 'beside.ts'), 'changed');
  await writeFile(join(source, 'new.ts'), '');
  await mkdir(join(source, 'folder'));
  t.equal(await goProgram(program, options), path, 'TypeScript, folders');
  const elsewhere = join(folder, 'elsewhere');
  await rename(source, elsewhere);
  t.equal(await goProgram({ ...program, from: { folder: elsewhere } }, options), path, 'another checkout');
  t.equal((await go.calls()).length, 1);
});

t.test('a released program is installed', async (t) => {
  const { go, options } = await setUp(t);
  const released = 'helm.sh/helm/v3/cmd/helm@v3.8.0';
  const path = await goProgram({ name: 'helm-3.8.0', from: { released } }, options);
  t.match(await run(path, []), { stdout: /^install .* helm\.sh\/helm\/v3\/cmd\/helm@v3\.8\.0\n$/ });
  t.equal(await goProgram({ name: 'helm-3.8.0', from: { released } }, options), path);
  t.same([(await go.calls()).length, (await go.cached()).length], [1, 1]);
});

t.test(
  'a build that fails tells the end of what Go said, leaves nothing, and may work the next time',
  async (t) => {
    const { go, program, options } = await setUp(t);
    await go.first('i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo "line $i" >&2; done; exit 1');
    const failure = (await goProgram(program, options).catch((error: Error) => error)) as Error;
    t.match(failure.message, /^tool could not be built:\nline 11\n(.*\n)*line 30$/);
    t.same(await go.cached(), []);
    await go.first('');
    t.match(await run(await goProgram(program, options), []), { code: 0 });
  },
);

t.test('a build can be ended', async (t) => {
  const { go, program, options } = await setUp(t);
  // With its input closed and its output open, it stays until it is killed.
  await go.first('echo example.com/a >&2; exec tail -f /dev/null');
  const controller = new AbortController();
  const { signal } = controller;
  const ended = goProgram(program, { ...options, signal, onProgress: () => controller.abort() });
  await t.rejects(ended, { message: /^tool could not be built:/ });
  t.same(await go.cached(), []);
});

t.test('without Go it says what is missing, unless the program was built before', async (t) => {
  const { folder, program, options, go } = await setUp(t);
  const env = { ...options.env, PATH: join(folder, 'cache') };
  const missing = await goProgram(program, { env }).catch((error) => error);
  t.ok(missing instanceof GoIsMissing);
  t.match(missing, { message: 'there is no Go to build tool with' });
  t.same(await go.cached(), []);
  const path = await goProgram(program, options);
  t.equal(await goProgram(program, { env }), path);
});

t.test('it tells how far it is', async (t) => {
  const { go, program, options } = await setUp(t);
  await go.first(`echo 'go: downloading example.com/a v1.0.0
go: downloading example.com/b v1.0.0
example.com/a
# example.com/a
example.com/b
example.com/c' >&2`);
  const told: string[] = [];
  await goProgram(program, { ...options, onProgress: (line) => told.push(line) });
  t.match(told.at(-1), /^building tool: 2 modules fetched, 3 packages compiled, \d+s$/);
});

t.test('two processes may want it at once', async (t) => {
  const { go, program } = await setUp(t);
  // None ends before both have begun.
  await go.first('while [ $(wc -l < "$FAKE_GO/calls") -lt 2 ]; do sleep 0.01; done');
  const script = `
    import { goProgram } from ${JSON.stringify(import.meta.resolve('./go.ts'))};
    console.log(await goProgram(${JSON.stringify(program)}));`;
  const build = () => run(process.execPath, ['--input-type=module', '-e', script], { env: go.env });
  const [one, two] = await Promise.all([build(), build()]);
  t.match(one, { code: 0, stderr: '' });
  t.same(one, two);
  t.match(await run(one.stdout.trim(), []), { code: 0 });
  t.same([(await go.calls()).length, (await go.cached()).length], [2, 1]);
});
