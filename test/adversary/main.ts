/**
 * `npm run test:adversary`: random operations of people, pipelines, operators and bad luck against three replicas of
 * Lockkeeper on the real control plane; docs/adversary.md says what they are, and what must hold.
 *
 *   npm run test:adversary                          # a minute, with another seed each time
 *   npm run test:adversary -- --operations 10000    # 45 minutes
 *   npm run test:adversary -- --seed S --path P     # what a failure said
 *   npm run test:adversary -- --bugs                # the test of the test: each planted bug is found
 *   npm run test:adversary -- --bug gateway         # those whose name says so
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { parseSettings } from './settings.ts';

process.chdir(join(import.meta.dirname, '../..'));
const { bugs, ...settings } = parseSettings(process.argv.slice(2));
const file = `test/adversary/${bugs ? 'bugs' : 'adversary'}.e2e.ts`;
// A campaign takes as long as it was told to.
const options = ['run', '--disable-coverage', '--timeout=0', '--reporter=tap', file];
const child = spawn('tap', options, {
  stdio: 'inherit',
  env: { ...process.env, LOCKKEEPER_TEST_CLUSTER: 'control-plane', ADVERSARY: JSON.stringify(settings) },
});
// A Ctrl-C reaches tap as well, and it ends the file, which tidies up.
process.on('SIGINT', () => {});
child.once('exit', (code) => {
  process.exitCode = code ?? 1;
});
