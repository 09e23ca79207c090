/** Names, reasons and refusals that strangers chose: the command line shows them, and no terminal obeys them. */
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { CONFIGURATIONS, configurationOf, startFakeWebhook } from '../clusters/fake-webhook.ts';
import { helmRecord, pathOf } from '../support/clearing.ts';
import { unsafeIn } from '../support/unsafe-text.ts';
import { helmBinary } from '../tools/binaries.ts';
import { doorOf, releaseLock } from './door.ts';
import { CHART, cliWorld } from './world.ts';

/** Clears the screen, sets the title, goes back in the line, turns the direction, hides, and breaks the line. */
const EVIL = '\u001b[2J\u001b]0;owned\u0007\rx\u009b1m\u202e\u2066\u200b\u2028\nlockkeeper: all is well';

const SHOWN =
  '\\u{1b}[2J\\u{1b}]0;owned\\u{7}\\u{d}x\\u{9b}1m\\u{202e}\\u{2066}\\u{200b}\\u{2028}\\u{a}lockkeeper: all is well';

const holder = {
  user: `user ${EVIL}`,
  pod: { namespace: `ns ${EVIL}`, name: `pod ${EVIL}`, uid: `uid ${EVIL}` },
};

interface Printed {
  readonly stdout: string;
  readonly stderr: string;
}

/** Neither unsafe characters, nor a line that a stranger began. */
function isSafe({ stdout, stderr }: Printed): boolean {
  const lines = `${stdout}${stderr}`.split('\n');
  return lines.every((line) => unsafeIn(line) === undefined && line !== 'lockkeeper: all is well');
}

t.test('list, wait and clear', async (t) => {
  const w = await cliWorld(t);
  await w.admin.create(pathOf('secrets'), helmRecord(5, 'deployed'));
  const record = await w.admin.create(pathOf('secrets'), helmRecord(6, 'pending-upgrade'));
  const words = { verdict: `live ${EVIL}`, reason: `reason ${EVIL}`, holder };
  await releaseLock(w, record, words);
  await doorOf(t, w, () => ({ allowed: false, status: { code: 409, message: `refused ${EVIL}` } }));

  const list = await w.call(['list', '-A']);
  t.ok(isSafe(list));
  for (const what of ['user', 'pod', 'live']) t.ok(list.stdout.includes(`${what} ${SHOWN}`), what);
  t.equal(list.stdout.split('\n').length, 3, 'a line each');

  const json = await w.call(['list', '-o', 'json']);
  t.ok(isSafe(json));
  t.match(JSON.parse(json.stdout), { items: [{ holder, verdict: words.verdict, reason: words.reason }] });

  const wait = await w.call(['wait', 'api', '--timeout', '0']);
  t.ok(isSafe(wait));
  t.ok(wait.stderr.includes(`reason ${SHOWN}`));

  const clear = await w.call(['clear', 'api', '--force']);
  t.equal(clear.code, 4);
  t.ok(isSafe(clear));
  t.ok(clear.stderr.includes(`refused ${SHOWN}`));

  const { code, ...own } = await w.call(['clear', `api${EVIL}`]);
  t.equal(code, 1, 'no release has that name');
  t.ok(isSafe(own));
});

t.test('who clears is written into the history by a name that is safe', async (t) => {
  const w = await cliWorld(t);
  await w.admin.create(pathOf('secrets'), helmRecord(6, 'pending-upgrade'));
  const user = { username: `mallory ${EVIL}` };
  const args = ['clear', 'api', '--force', '--reason', `because ${EVIL}`];
  t.match(await w.call(args, { user }), { code: 0 });
  const { stdout, stderr } = await w.helm('history', 'api', '-o', 'json').done;
  t.equal(stderr, '');
  const [{ description }] = JSON.parse(stdout) as [{ description: string }];
  t.equal(unsafeIn(description), undefined, description);
  t.match(description, 'mallory \\u{1b}[2J');
  t.match(description, /; because \[2J\]0;owned x1m lockkeeper: all is well$/);
});

t.test('run: what the gate says is made safe, and what Helm prints passes as it is', async (t) => {
  const w = await cliWorld(t);
  const webhook = await startFakeWebhook(t);
  const message = `held ${EVIL}`;
  let asked = 0;
  webhook.decide(() => {
    asked += 1;
    if (asked > 1) return { allowed: true };
    return { allowed: false, status: { code: 429, message, details: { retryAfterSeconds: 1 } } };
  });
  const rules = [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['secrets'] }];
  await w.admin.create(CONFIGURATIONS, configurationOf(webhook, { rules }));

  const folder = join(w.cluster.folder, 'colours');
  await mkdir(folder);
  const { helm } = await helmBinary('3.17.3');
  await writeFile(join(folder, 'helm'), `#!/bin/sh\nprintf '\\033[31mred\\033[0m\\n'\nexec "${helm}" "$@"\n`);
  await chmod(join(folder, 'helm'), 0o755);
  const env = { PATH: `${folder}:${process.env.PATH}` };
  const { code, stdout, stderr } = await w.cli(['run', '--', 'helm', 'install', 'api', CHART], { env });
  t.equal(code, 0, stderr);
  t.ok(isSafe({ stdout: '', stderr }));
  t.ok(stderr.includes(`Helm waits: held ${SHOWN}\n`));
  t.ok(stdout.startsWith('\u001b[31mred\u001b[0m\n'), 'Helm’s own');
});
