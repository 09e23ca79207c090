/** `lockkeeper run` beside real Helm: it waits its turn, and leaves no lock behind that its Helm made. */
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startCluster } from '../clusters/start.ts';
import { lockkeeperOn } from '../e2e/world.ts';
import { helmRecord, pathOf } from '../support/clearing.ts';
import { helmBinary } from '../tools/binaries.ts';
import { CHART, type CliWorld, cliWorld, hookOf, type Running } from './world.ts';

const IN_HOOK = ['--set', 'hook.pre=true'];

const HELM_ROLLBACK = ['run', '--', 'helm', 'rollback', 'api', '1'];

/** The first child of a process. */
async function childOf({ pid }: Running): Promise<number> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return Number(children.trim().split(' ')[0]);
}

async function installed(t: Test, version: '3.17.3' | '4.1.4' = '3.17.3'): Promise<CliWorld> {
  const w = await cliWorld(t, version);
  const { code, stderr } = await w.helm('install', 'api', CHART).done;
  if (code !== 0) throw new Error(stderr);
  return w;
}

/** A program called helm that does what a script says; `$HELM` is the real one. */
async function wrapped(w: CliWorld, script: string): Promise<Record<string, string>> {
  const folder = join(w.cluster.folder, 'wrapped');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'helm'), `#!/bin/sh\n${script}\n`);
  await chmod(join(folder, 'helm'), 0o755);
  const { helm } = await helmBinary('3.17.3');
  return { PATH: `${folder}:${process.env.PATH}`, HELM: helm, GATE: join(w.cluster.folder, 'gate') };
}

/** The program above tells that it is there, and waits until a file is. */
const AT_THE_GATE = 'echo at the gate; until [ -e "$GATE" ]; do sleep 0.02; done; exec "$HELM" "$@"';

for (const version of ['3.17.3', '4.1.4'] as const) {
  t.test(
    `Helm ${version} is killed in its hook: its lock is cleared, and the next deploy goes through`,
    async (t) => {
      const w = await installed(t, version);
      const hook = hookOf(w);
      const running = await w.start(['run', '--', 'helm', 'upgrade', 'api', CHART, ...IN_HOOK]);
      await hook;
      t.same(await w.history(), ['1 deployed', '2 pending-upgrade']);
      process.kill(await childOf(running), 'SIGKILL');
      const { code, stderr } = await running.done;
      t.equal(code, 137, '128 + 9');
      t.match(
        stderr,
        /^lockkeeper: Helm was killed \(SIGKILL\) and left revision 2 of release prod\/api pending-upgrade: it is marked as failed\. Next: helm upgrade api CHART -n prod$/m,
      );
      t.same(await w.history(), ['1 deployed', '2 failed']);
      const { stdout } = await w.helm('history', 'api').done;
      t.match(
        stdout,
        /Cleared by alice at \S+, was pending-upgrade: its Helm was killed \(SIGKILL\), as lockkeeper run saw/,
      );

      const next = await w.cli(['run', '--', 'helm', 'upgrade', 'api', CHART]);
      t.match(next, { code: 0, stderr: '' });
      t.match(next.stdout, 'STATUS: deployed');
      t.same(await w.history(), ['1 superseded', '2 failed', '3 deployed']);
    },
  );
}

t.test('the job is cancelled: Helm gets the signal, and what it leaves behind is cleared', async (t) => {
  const w = await installed(t);
  const upgraded = await w.helm('upgrade', 'api', CHART, ...IN_HOOK, '--no-hooks').done;
  t.equal(upgraded.code, 0, upgraded.stderr);
  const hook = hookOf(w);
  // A rollback of Helm heeds no signal: it ends at once.
  const running = await w.start(['run', '--', 'helm', 'rollback', 'api', '2']);
  await hook;
  running.kill('SIGTERM');
  const { code, stderr } = await running.done;
  t.equal(code, 143, '128 + 15');
  t.match(stderr, 'Helm was killed (SIGTERM) and left revision 3 of release prod/api pending-rollback');
  t.same(await w.history(), ['1 superseded', '2 deployed', '3 failed']);

  const again = hookOf(w);
  const upgrade = await w.start(['run', '--', 'helm', 'upgrade', 'api', CHART, ...IN_HOOK]);
  await again;
  upgrade.kill('SIGINT');
  t.match(
    await upgrade.done,
    { code: 1, stderr: /UPGRADE FAILED: context canceled/ },
    'an upgrade tidies up itself',
  );
  t.same((await w.history()).at(-1), '4 failed');
});

t.test(
  'the job is cancelled, and Helm does not heed it: it is killed, and its lock is cleared',
  async (t) => {
    const w = await installed(t);
    const env = await wrapped(w, `trap '' INT; exec "$HELM" "$@"`);
    const hook = hookOf(w, 'other-pre');
    const install = ['helm', 'install', 'other', CHART, ...IN_HOOK, '-n=prod'];
    // An install of Helm asks for the signal itself, so it is a rollback that does not.
    const first = await w.start(['run', '--', ...install], { env });
    await hook;
    await w.admin.completeJob('prod', 'other-pre', 'Complete');
    t.equal((await first.done).code, 0);
    const again = hookOf(w, 'other-pre');
    const running = await w.start(['run', '--grace', '100ms', '--', 'helm', 'rollback', 'other', '1'], {
      env,
    });
    await again;
    running.kill('SIGINT');
    const { code, stderr } = await running.done;
    t.equal(code, 137);
    t.match(stderr, 'lockkeeper: Helm did not end within 0.1s of SIGINT, and is killed');
    t.match(stderr, 'left revision 2 of release prod/other pending-rollback: it is marked as failed');
    t.same(await w.history('other'), ['1 deployed', '2 failed']);
  },
);

t.test('it waits its turn, and says for whom', async (t) => {
  const w = await installed(t);
  const hook = hookOf(w);
  const other = w.helm('upgrade', 'api', CHART, ...IN_HOOK);
  await hook;
  const running = await w.start(['run', '--', 'helm', 'upgrade', 'api', CHART, '--set', 'message=mine']);
  const words = await running.says('waiting: ');
  t.match(
    words,
    /^lockkeeper: waiting: release prod\/api is locked by revision 2 \(pending-upgrade, \d+s, holder unknown\), live: .*\. Its deploy may be at work: wait for it$/m,
  );
  await w.admin.completeJob('prod', 'api-pre', 'Complete');
  t.equal((await other.done).code, 0);
  t.equal((await running.done).code, 0);
  t.same(await w.history(), ['1 superseded', '2 superseded', '3 deployed']);
});

t.test('it does not wait for ever, nor when the job is cancelled meanwhile', async (t) => {
  const w = await installed(t);
  await w.admin.create(pathOf('secrets'), helmRecord(2, 'pending-upgrade'));
  const late = await w.cli(['run', '--timeout', '0', '--', 'helm', 'upgrade', 'api', CHART]);
  t.equal(late.code, 3);
  t.match(late.stderr, /Helm was not started: release prod\/api is locked by revision 2 \(pending-upgrade, /);
  const cancelled = await w.start(HELM_ROLLBACK);
  await cancelled.says('waiting: ');
  cancelled.kill('SIGTERM');
  t.match(await cancelled.done, { code: 143, stderr: /Helm was not started/ });
  t.same(await w.history(), ['1 deployed', '2 pending-upgrade'], 'nothing was changed');
});

t.test('what somebody else made is never cleared', async (t) => {
  const w = await installed(t);
  const hook = hookOf(w);
  const running = await w.start(['run', '--', 'helm', 'upgrade', 'api', CHART, ...IN_HOOK]);
  await hook;
  await w.admin.create(pathOf('secrets'), helmRecord(3, 'pending-rollback'));
  process.kill(await childOf(running), 'SIGKILL');
  t.match(await running.done, { code: 137, stderr: '' });
  t.same(await w.history(), ['1 deployed', '2 pending-upgrade', '3 pending-rollback']);
});

t.test('without the proxy nobody can tell who made it: it is left alone, with what to type', async (t) => {
  const w = await installed(t);
  const hook = hookOf(w);
  const running = await w.start(['run', '--no-proxy', '--', 'helm', 'upgrade', 'api', CHART, ...IN_HOOK]);
  await hook;
  process.kill(await childOf(running), 'SIGKILL');
  const { code, stderr } = await running.done;
  t.equal(code, 137);
  t.match(
    stderr,
    /it was left alone\. If it was this Helm: To end its lock: lockkeeper clear api -n prod --force/,
  );
  t.same(await w.history(), ['1 deployed', '2 pending-upgrade']);
  t.match(await w.cli(['run', '--no-proxy', '--', 'helm', 'history', 'api']), { code: 0 });
});

t.test('a name that Helm makes up', async (t) => {
  const w = await cliWorld(t);
  const hook = w.writes.next(({ verb, object }) => verb === 'ADDED' && object.kind === 'Job');
  const running = await w.start(['run', '--', 'helm', 'install', CHART, '--generate-name', ...IN_HOOK]);
  const { object } = await hook;
  const name = object.metadata.name.replace('-pre', '');
  process.kill(await childOf(running), 'SIGKILL');
  t.match((await running.done).stderr, `left revision 1 of release prod/${name} pending-install`);
  t.same(await w.history(name), ['1 failed']);
});

t.test('somebody slips in between the wait and Helm: Helm gets another turn', async (t) => {
  const w = await installed(t);
  const env = await wrapped(w, AT_THE_GATE);
  const running = await w.start(['run', '--', 'helm', 'upgrade', 'api', CHART], { env });
  await running.says('at the gate');
  await w.admin.create(pathOf('secrets'), helmRecord(2, 'pending-upgrade'));
  await writeFile(env.GATE ?? '', '');
  await running.says('another deploy was first, and nothing was changed: waiting for the next turn');
  const words = await running.says('waiting: ');
  t.match(words, 'another operation (install/upgrade/rollback) is in progress', 'Helm’s own words');
  await w.admin.replace(pathOf('secrets', 2), helmRecord(2, 'failed'));
  t.equal((await running.done).code, 0);
  t.same(await w.history(), ['1 superseded', '2 failed', '3 deployed']);
});

t.test('the gate holds Helm: what it waits for in silence is said', async (t) => {
  const cluster = await startCluster(t);
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  await lockkeeperOn(t, cluster, { config: { holdSeconds: 0, retryAfterSeconds: 1 } });
  const w = await cliWorld(t, '3.17.3', cluster);
  t.equal((await w.helm('install', 'api', CHART).done).code, 0);
  const env = await wrapped(w, AT_THE_GATE);
  const running = await w.start(HELM_ROLLBACK, { env });
  await running.says('at the gate');
  const hook = hookOf(w);
  const other = w.helm('upgrade', 'api', CHART, ...IN_HOOK);
  await hook;
  await writeFile(env.GATE ?? '', '');
  await running.says(
    /^lockkeeper: Helm waits: release prod\/api is locked by revision 2 \(pending-upgrade, /m,
  );
  await admin.completeJob('prod', 'api-pre', 'Complete');
  t.equal((await other.done).code, 0);
  const { code, stderr } = await running.done;
  t.equal(code, 0);
  t.equal(stderr.split('Helm waits').length, 2, 'once, however often Helm asks');
  t.same(await w.history(), ['1 superseded', '2 superseded', '3 deployed']);
});

t.test('a chart of a megabyte', async (t) => {
  const w = await cliWorld(t);
  const chart = join(w.cluster.folder, 'big');
  await mkdir(join(chart, 'files'), { recursive: true });
  await writeFile(join(chart, 'Chart.yaml'), 'apiVersion: v2\nname: big\nversion: 0.1.0\n');
  const noise = Buffer.from(crypto.getRandomValues(new Uint8Array(65_536)));
  const bytes = Buffer.concat(
    Array.from({ length: 8 }, (_, index) => noise.map((byte) => byte ^ (index * 37 + byte * index))),
  );
  await writeFile(join(chart, 'files', 'noise'), bytes);
  const { code, stderr } = await w.cli(['run', '--', 'helm', 'install', 'big', chart]);
  t.equal(code, 0, stderr);
  const { data } = await w.admin.get(pathOf('secrets', 1, 'big'));
  t.ok((data as { release: string }).release.length > 500_000, 'its record');
  t.same(await w.history('big'), ['1 deployed']);
});

t.test('what takes no lock runs as it is, and its code is ours', async (t) => {
  const w = await cliWorld(t);
  t.match(await w.cli(['run', '--', 'helm', 'version', '--short']), {
    code: 0,
    stdout: /^v3\.17\.3/,
    stderr: 'lockkeeper: helm version takes no lock: it runs as it is\n',
  });
  t.match(await w.cli(['run', '--', 'helm', 'upgrade', 'api', CHART]), {
    code: 1,
    stderr: /"api" has no deployed releases/,
  });
  for (const args of [['run'], ['run', 'helm', 'upgrade'], ['run', 'helm', '--', 'helm']]) {
    t.match(await w.cli(args), { code: 2, stderr: /the command of Helm comes after "--"/ }, args.join(' '));
  }
  for (const args of [['list'], ['upgrade', 'api', CHART]]) {
    t.match(await w.cli(['run', '--', '/no/helm', ...args]), {
      code: 1,
      stderr: /Helm cannot be started: .*ENOENT/,
    });
  }
});
