/** `npm run certs`: what is written where, what is left alone, and what people read. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { FILES, issueToFolder } from '../../certs/issue-to-folder.ts';
import { run } from '../../certs/run.ts';
import { readKeyPair } from '../../src/tls/files.ts';

const now = new Date('2026-11-22T13:00:00.250Z');

async function certs(...args: string[]) {
  let stdout = '';
  let stderr = '';
  const code = await run(args, {
    now,
    print: (text) => {
      stdout += text;
    },
    complain: (text) => {
      stderr += text;
    },
  });
  return { code, stdout, stderr };
}

/** Everything in a folder: names, contents and modes. */
function snapshot(folder: string): object[] {
  return readdirSync(folder)
    .toSorted()
    .map((name) => {
      const path = join(folder, name);
      return { name, text: readFileSync(path, 'utf8'), mode: (statSync(path).mode & 0o777).toString(8) };
    });
}

function certificate(folder: string, file: string): X509Certificate {
  return new X509Certificate(readFileSync(join(folder, file)));
}

t.test('given a folder that is not there, it is made and holds four files', async (t) => {
  const folder = join(t.testdir(), 'new', 'issued');
  const { code, stdout, stderr } = await certs(
    '--out',
    folder,
    '--host',
    'a.example',
    '--host',
    '::1',
    '--days',
    '9',
  );

  t.equal(code, 0);
  t.equal(stderr, '');
  t.equal(
    stdout,
    `Wrote ca.crt, ca.key, tls.crt, tls.key to ${folder}
  for    a.example, ::1
  until  2026-12-01T13:00:00Z

To serve with them:
  export LOCKKEEPER_TLS_CERT_FILE=${folder}/tls.crt
  export LOCKKEEPER_TLS_KEY_FILE=${folder}/tls.key

The caBundle that makes a webhook configuration trust them:
  base64 < ${folder}/ca.crt | tr -d '\\n'

Keep ca.key to yourself: it can sign for any name.
`,
  );

  t.strictSame(readdirSync(folder).toSorted(), FILES, 'and nothing else');
  t.equal(statSync(folder).mode & 0o777, 0o700, 'that only its owner can list');
  for (const key of ['ca.key', 'tls.key']) {
    t.equal(statSync(join(folder, key)).mode & 0o777, 0o600, `${key} is for its owner only`);
  }
  const ca = certificate(folder, 'ca.crt');
  const serving = certificate(folder, 'tls.crt');
  t.ok(ca.ca && ca.verify(ca.publicKey), 'ca.crt is an authority');
  t.ok(ca.checkPrivateKey(createPrivateKey(readFileSync(join(folder, 'ca.key')))), 'ca.key is its key');
  t.ok(serving.checkIssued(ca) && serving.verify(ca.publicKey), 'tls.crt is signed by it');
  t.equal(serving.subjectAltName, 'DNS:a.example, IP Address:0:0:0:0:0:0:0:1');
  t.equal(serving.validTo, 'Dec  1 13:00:00 2026 GMT');
  t.equal(ca.validTo, serving.validTo, 'and no longer valid than its authority');
  await t.resolves(readKeyPair(join(folder, 'tls.crt'), join(folder, 'tls.key')), 'the service can use them');
});

t.test('given a folder with spaces and quotes, the lines to paste still name it', async (t) => {
  const folder = join(t.testdir(), "it's mine");
  const { stdout } = await certs('--out', folder, '--host', 'a.example');
  const inShell = `'${folder.replace("it's", "it'\\''s")}/tls.crt'`;
  t.match(stdout, `export LOCKKEEPER_TLS_CERT_FILE=${inShell}\n`);
});

t.test('given any of the files, nothing is written', async (t) => {
  const rows: [existing: string[], named: string][] = [
    ...FILES.map((file): [string[], string] => [[file], file]),
    [['tls.key', 'ca.crt'], 'ca.crt, tls.key'],
    [[...FILES], 'ca.crt, ca.key, tls.crt, tls.key'],
  ];
  for (const [existing, named] of rows) {
    const folder = t.testdir(Object.fromEntries(existing.map((name) => [name, `old ${name}`])));
    const before = snapshot(folder);
    t.strictSame(
      await certs('--out', folder),
      {
        code: 1,
        stdout: '',
        stderr: `${folder} already holds ${named}. Nothing was written.
To keep them, name another folder with --out. To replace all four, so that a new authority has to be trusted,
run the same command with --force (after the -- that npm wants).
`,
      },
      named,
    );
    t.strictSame(snapshot(folder), before, 'nothing was changed');
  }
});

t.test('given files and --force, all four are replaced and nothing else is', async (t) => {
  const folder = t.testdir({ 'ca.crt': 'old', 'tls.key': 'old', 'README.md': 'mine' });
  const { code } = await certs('--out', folder, '--force', '--host', 'a.example');
  t.equal(code, 0);
  t.strictSame(readdirSync(folder).toSorted(), ['README.md', ...FILES]);
  t.equal(readFileSync(join(folder, 'README.md'), 'utf8'), 'mine');
  t.equal(
    statSync(join(folder, 'tls.key')).mode & 0o777,
    0o600,
    'the new key is private, whatever the old was',
  );

  const old = certificate(folder, 'ca.crt');
  await certs('--out', folder, '--force', '--host', 'b.example');
  t.not(certificate(folder, 'ca.crt').fingerprint256, old.fingerprint256, 'the authority is a new one');
  t.notOk(certificate(folder, 'tls.crt').verify(old.publicKey), 'which signs from now on');
  await t.resolves(readKeyPair(join(folder, 'tls.crt'), join(folder, 'tls.key')));
});

t.test('given other files, they are left alone', async (t) => {
  const folder = t.testdir({ 'README.md': 'mine' });
  t.equal((await certs('--out', folder, '--host', 'a.example')).code, 0);
  t.strictSame(readdirSync(folder).toSorted(), ['README.md', ...FILES]);
});

t.test('given a place that cannot be written to, it is said why', async (t) => {
  const root = t.testdir({ file: 'mine', 'with-folder': { 'ca.key': {} } });
  const rows: [folder: string, reason: string][] = [
    ['file', `EEXIST: file already exists, mkdir '${root}/file'`],
    ['file/issued', `ENOTDIR: not a directory, mkdir '${root}/file/issued'`],
    ['with-folder', 'ca.key is a folder there'],
  ];
  for (const [name, reason] of rows) {
    const folder = join(root, name);
    t.strictSame(
      await certs('--out', folder, '--force'),
      {
        code: 2,
        stdout: '',
        stderr: `--out ${folder} cannot be written to as a folder: ${reason}
Nothing was written. For help: npm run certs -- --help
`,
      },
      name,
    );
  }
  t.equal(readFileSync(join(root, 'file'), 'utf8'), 'mine');
  t.strictSame(readdirSync(join(root, 'with-folder')), ['ca.key']);
});

t.test('given a mistake of the code, it is thrown, and nothing is written', async (t) => {
  const folder = t.testdir();
  await t.rejects(issueToFolder({ hosts: [], folder, days: 1, force: false, now }), RangeError);
  t.strictSame(readdirSync(folder), []);
});

t.test('given wrong arguments, all are said on stderr and nothing is written', async (t) => {
  const folder = join(t.testdir(), 'issued');
  const { code, stdout, stderr } = await certs('--out', folder, '--days', '0', '--host', 'a:1');
  t.equal(code, 2);
  t.equal(stdout, '');
  t.match(stderr, /^--host a:1 is neither .*\n--days is "0", .*\nNothing was written\. For help: .*\n$/);
  t.throws(() => statSync(folder), { code: 'ENOENT' });
});

t.test('given --help, everything that can be said is printed', async (t) => {
  const { code, stdout, stderr } = await certs('--help', '--days', '0');
  t.equal(code, 0);
  t.equal(stderr, '');
  for (const words of [
    '--host',
    '--days',
    '--out',
    '--force',
    '--help',
    '365',
    '3650',
    'localhost',
    ...FILES,
  ]) {
    t.ok(stdout.includes(words), words);
  }
});
