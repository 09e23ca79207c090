import t from 'tap';
import { onlyRelease, readArguments } from '../../src/cli/arguments.ts';
import { NAMESPACE, OUTPUT, timeoutFlag } from '../../src/cli/flags.ts';

const FLAGS = [NAMESPACE, OUTPUT, timeoutFlag('10m'), { name: 'force', text: '' }];

const read = (line: string) => readArguments(FLAGS, line.split(' ').filter(Boolean));

t.test('a flag may be written in each way that kubectl takes', async (t) => {
  for (const line of [
    '-n prod',
    '-nprod',
    '-n=prod',
    '--namespace prod',
    '--namespace=prod',
    '-n other -n prod',
  ]) {
    t.equal(read(line).text('namespace'), 'prod', line);
  }
  const args = read('api --force --timeout 1m30s');
  t.same(args.positionals, ['api']);
  t.equal(args.has('force'), true);
  t.equal(args.duration('timeout', 600), 90);
  t.equal(read('').has('force'), false);
  t.equal(read('').text('namespace'), undefined);
  t.equal(read('').duration('timeout', 600), 600);
  t.equal(read('').number('timeout'), undefined);
  t.equal(read('--timeout 7').number('timeout'), 7);
});

t.test('what is wrong is said in words', async (t) => {
  const table: [line: string, words: RegExp][] = [
    ['--froce', /^unknown option '--froce'$/],
    ['--force=no', /^option '--force' does not take an argument$/],
    ['-o yaml', /^--output is "yaml", but must be table or json$/],
    ['--namespace', /^option '-n, --namespace <value>' argument missing$/],
  ];
  for (const [line, words] of table) t.throws(() => read(line), { code: 2, message: words }, line);
  t.throws(() => read('--timeout 10').duration('timeout', 0), {
    code: 2,
    message: '--timeout is "10", but must be a duration such as 90s, 10m or 1h30m',
  });
  t.throws(() => read('--timeout 0').number('timeout'), {
    message: '--timeout is "0", but must be a whole number above 0',
  });
});

t.test('one release', async (t) => {
  t.equal(onlyRelease(read('api')), 'api');
  t.throws(() => onlyRelease(read('')), { code: 2, message: 'the name of the release is missing' });
  t.throws(() => onlyRelease(read('api web')), { code: 2, message: 'one release, and not api and web' });
});
