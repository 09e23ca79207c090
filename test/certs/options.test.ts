/** `npm run certs`: what its arguments mean, and what is said of wrong ones. */
import { join } from 'node:path';
import t from 'tap';
import { readOptions } from '../../certs/options.ts';

const DEFAULTS = {
  hosts: [
    'lockkeeper.lockkeeper.svc',
    'lockkeeper.lockkeeper.svc.cluster.local',
    'localhost',
    '127.0.0.1',
    '::1',
  ],
  folder: join(import.meta.dirname, '../../certs/issued'),
  days: 365,
  force: false,
};

t.test('given good arguments', async (t) => {
  const rows: [args: string[], options: object][] = [
    [[], {}],
    [['--'], {}],
    [['--host', 'gate.example.com'], { hosts: ['gate.example.com'] }],
    [
      ['--host=a.example', '--host', '10.0.0.1', '--host', '::1'],
      { hosts: ['a.example', '10.0.0.1', '::1'] },
    ],
    [['--host', 'A.Example', '--host', 'a.example'], { hosts: ['a.example'] }],
    [['--host', '*.apps.example.com'], { hosts: ['*.apps.example.com'] }],
    [['--host', 'xn--zustndig-4za.example'], { hosts: ['xn--zustndig-4za.example'] }],
    [['--host', '1.example', '--host', 'a'], { hosts: ['1.example', 'a'] }],
    [['--host', `${'a'.repeat(63)}.${'b'.repeat(63)}`], { hosts: [`${'a'.repeat(63)}.${'b'.repeat(63)}`] }],
    [['--host', '::ffff:10.0.0.1', '--host', 'FD00::1'], { hosts: ['::ffff:10.0.0.1', 'fd00::1'] }],
    [['--out', 'some where'], { folder: 'some where' }],
    [['--out=-odd'], { folder: '-odd' }],
    [['--days', '1'], { days: 1 }],
    [['--days=3650'], { days: 3650 }],
    [['--days', '7', '--days', '8'], { days: 8 }],
    [['--force'], { force: true }],
    [['--force', '--host', 'a.example', '--force'], { force: true, hosts: ['a.example'] }],
  ];
  for (const [args, options] of rows) {
    t.strictSame(
      readOptions(args),
      { kind: 'issue', options: { ...DEFAULTS, ...options } },
      args.join(' ') || 'none at all',
    );
  }
});

t.test('given --help, help is all that is wanted', async (t) => {
  for (const args of [
    ['--help'],
    ['-h'],
    ['--host', 'a.example', '--help'],
    ['--oops', '-h', '--days', 'x'],
  ]) {
    t.strictSame(readOptions(args), { kind: 'help' }, args.join(' '));
  }
});

t.test('given a host that is neither a DNS name nor an IP address, it is refused', async (t) => {
  const hosts = [
    'https://gate.example.com',
    'gate.example.com:8443',
    'gate.example.com/',
    'gate.example.com.',
    '.example.com',
    'a..example',
    'a,b',
    'a b',
    'under_score.example',
    '-a.example',
    'a-.example',
    'zuständig.example',
    `${'a'.repeat(64)}.example`,
    `${'a.'.repeat(126)}aa`,
    '*',
    '*.example',
    'a.*.example',
    '*a.example.com',
    '*.*.example.com',
    '10.0.0.256',
    '10.0.0',
    '8443',
    '[::1]',
    '::1::',
    'fe80::1%eth0',
    '*.10.0.0.1',
    ' a.example',
  ];
  for (const host of hosts) {
    t.strictSame(
      readOptions(['--host', 'a.example', `--host=${host}`]),
      {
        kind: 'wrong',
        problems: [
          `--host ${host} is neither a DNS name (such as lockkeeper.lockkeeper.svc or *.example.com) nor an IP address; leave out scheme and port, and write --host before each`,
        ],
      },
      host,
    );
  }
});

t.test('given days that are not a whole number from 1 to 3650, they are refused', async (t) => {
  for (const days of [
    '0',
    '-1',
    '3651',
    '1.5',
    '1e3',
    '0x10',
    '90d',
    'ninety',
    'Infinity',
    ' 9',
    '99999999999999999999',
  ]) {
    t.strictSame(
      readOptions(['--days', days]),
      {
        kind: 'wrong',
        problems: [`--days is ${JSON.stringify(days)}, but must be a whole number from 1 to 3650`],
      },
      days,
    );
  }
});

t.test('given flags that are misused, each is named', async (t) => {
  const rows: [args: string[], problems: string[]][] = [
    [
      ['--hosts', 'a.example'],
      ['--hosts is not a flag of this command', '"a.example" is not a flag'],
    ],
    [['-f'], ['-f is not a flag of this command']],
    [['--no-force'], ['--no-force is not a flag of this command']],
    [['--toString'], ['--toString is not a flag of this command']],
    [['a.example'], ['"a.example" is not a flag']],
    [['--', '--force'], ['"--force" is not a flag']],
    [['--host'], ['--host needs a value']],
    [['--host='], ['--host needs a value']],
    [['--host', ''], ['--host needs a value']],
    [['--host', '--force'], ['--host needs a value']],
    [['--out', '-h'], ['--out needs a value']],
    [['--out='], ['--out needs a value']],
    [['--days'], ['--days needs a value']],
    [['--force=yes'], ['--force takes no value']],
    [
      ['--oops', '--days', '--force=no', 'x'],
      ['--oops is not a flag of this command', '--days needs a value', '"x" is not a flag'],
    ],
  ];
  for (const [args, problems] of rows) {
    t.strictSame(readOptions(args), { kind: 'wrong', problems }, args.join(' '));
  }
});

t.test('given several wrong values, all are reported at once', async (t) => {
  const command = readOptions(['--host', 'a b', '--host', '*', '--days', '0']);
  t.match(command, { kind: 'wrong', problems: [/^--host a b is /, /^--host \* is /, /^--days is "0"/] });
});
