/** What is typed first: help, the version, and what is none of it. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { COMMANDS } from '../../src/cli/commands.ts';
import { program } from '../../src/cli/program.ts';
import { createTerminal } from '../../src/cli/terminal.ts';

async function type(line: string) {
  const output = { stdout: '', stderr: '' };
  const terminal = createTerminal(
    { env: { KUBECONFIG: '/no/such/file' }, home: '/no/home' },
    {
      out(text) {
        output.stdout += text;
      },
      error(text) {
        output.stderr += text.replace(/^lockkeeper: /, '');
      },
    },
  );
  const code = await program(line.split(' ').filter(Boolean), terminal, '1.2.3');
  return { code, ...output };
}

const page = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8');

t.test('help, in each way to ask for it', async (t) => {
  t.match(await type('--version'), { code: 0, stdout: '1.2.3\n' });
  for (const line of ['help', '--help', '-h']) {
    t.match(
      await type(line),
      { code: 0, stdout: /Commands:\n {2}list {4}Shows which releases/, stderr: '' },
      line,
    );
  }
  t.match(await type(''), { code: 2, stdout: '', stderr: /Commands:/ });
  for (const { name } of COMMANDS) {
    const { code, stdout } = await type(`help ${name}`);
    t.equal(code, 0);
    t.same(await type(`${name} --help`), { code, stdout, stderr: '' }, name);
    t.ok(page.includes(stdout), `docs/cli.md shows what "lockkeeper ${name} --help" prints`);
  }
});

t.test('what does not exist', async (t) => {
  t.match(await type('lsit'), {
    code: 2,
    stderr: 'there is no command "lsit"; there are list, wait, clear, run, serve\nsee "lockkeeper --help"',
  });
  t.match(await type('help lsit'), { code: 2 });
  t.match(await type('list --watch'), { code: 2, stderr: /^unknown option '--watch'\nsee / });
  t.match(await type('list'), {
    code: 6,
    stderr: /^there is no kubeconfig: set KUBECONFIG, give --kubeconfig, or run in a pod\n$/,
  });
  t.match(await type('list --kubeconfig /no/file'), {
    code: 6,
    stderr: /^the kubeconfig \/no\/file cannot be read: ENOENT/,
  });
});
