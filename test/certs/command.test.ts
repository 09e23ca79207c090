/** The command as a person runs it, and a client that trusts what it wrote. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readKeyPair } from '../../src/tls/files.ts';
import { serve } from '../tls/serve.ts';

interface Exit {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function certs(...args: string[]): Promise<Exit> {
  const { promise, resolve } = Promise.withResolvers<Exit>();
  const child = execFile(process.execPath, ['certs/main.ts', ...args], (_error, stdout, stderr) =>
    resolve({ code: child.exitCode, stdout, stderr }),
  );
  return promise;
}

t.test('what `npm run certs` writes serves HTTPS to a client that trusts ca.crt only', async (t) => {
  const folder = join(t.testdir(), 'issued');
  const hosts = [
    '--host',
    'lockkeeper.lockkeeper.svc',
    '--host',
    '*.apps.example.com',
    '--host',
    '127.0.0.1',
  ];
  const { code, stdout, stderr } = await certs(...hosts, '--out', folder);
  t.equal(stderr, '');
  t.equal(code, 0);
  t.match(stdout, folder);

  const call = await serve(t, await readKeyPair(join(folder, 'tls.crt'), join(folder, 'tls.key')));
  const ca = readFileSync(join(folder, 'ca.crt'), 'utf8');
  t.equal(await call({ ca, servername: 'lockkeeper.lockkeeper.svc' }), 'served', 'by its name');
  t.equal(await call({ ca, servername: 'a.apps.example.com' }), 'served', 'by a name of the wildcard');
  t.equal(await call({ ca }), 'served', 'by its IP address');
  const other = await call({ ca, servername: 'other.lockkeeper.svc' });
  t.equal(other, 'ERR_TLS_CERT_ALTNAME_INVALID', 'and by no other name');

  const again = await certs('--out', folder);
  t.equal(again.code, 1, 'a second run');
  t.match(again.stderr, 'already holds ca.crt, ca.key, tls.crt, tls.key.', 'replaces nothing');
  t.equal(readFileSync(join(folder, 'ca.crt'), 'utf8'), ca);
});

t.test('given an unknown flag, it exits with 2', async (t) => {
  t.strictSame(await certs('--hosts'), {
    code: 2,
    stdout: '',
    stderr: '--hosts is not a flag of this command\nNothing was written. For help: npm run certs -- --help\n',
  });
});
