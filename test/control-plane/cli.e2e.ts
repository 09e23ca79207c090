/** What the command line rests on, asked of a real API server: its watches, its rights, its protobuf, and its Helm. */
import { readFile } from 'node:fs/promises';
import t from 'tap';
import { CHART, type CliWorld, cliWorld, hookOf } from '../cli/world.ts';
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import { helmRecord, pathOf } from '../support/clearing.ts';
import { defineReleaseLocks, undefineReleaseLocks } from '../support/manifests.ts';

const RELEASE_LOCKS = '/apis/lockkeeper.dev/v1alpha1/namespaces/prod/releaselocks';

/** Half of the time of an upgrade is a document that our chart need not be checked by. */
const UPGRADE = ['run', '--', 'helm', 'upgrade', 'api', CHART, '--disable-openapi-validation'];

t.test('Helm is killed in its hook: its lock is cleared', async (t) => {
  const w = await cliWorld(t, '4.1.4');
  t.equal((await w.helm('install', 'api', CHART).done).code, 0);
  const hook = hookOf(w);
  const running = await w.start([...UPGRADE, '--set', 'hook.pre=true']);
  await hook;
  const children = await readFile(`/proc/${running.pid}/task/${running.pid}/children`, 'utf8');
  process.kill(Number.parseInt(children, 10), 'SIGKILL');
  t.match(await running.done, {
    code: 137,
    stderr: /it is marked as failed\. Next: helm upgrade api CHART/,
  });
  t.same(await w.history(), ['1 deployed', '2 failed']);
});

t.test('wait is woken, clear clears, list lists; without ReleaseLocks and with them', async (t) => {
  const w = await cliWorld(t);
  await undefineReleaseLocks(w.admin);
  await w.admin.create(pathOf('secrets'), helmRecord(1, 'deployed'));
  const record = await w.admin.create(pathOf('secrets'), helmRecord(2, 'pending-upgrade'));
  t.match(await w.call(['list', '-A']), {
    code: 0,
    stdout: /prod +api +2 .*<unknown>/,
    stderr: /Lockkeeper is not installed/,
  });
  t.match(await w.call(['wait', 'api', '--timeout', '0']), { code: 3 });
  t.match(await w.call(['clear', 'api']), { code: 4 });

  await defineReleaseLocks(w.admin);
  await releaseLock(w, record);
  t.match(await w.call(['list']), {
    code: 0,
    stdout: /api +2 +pending-upgrade +alice +<none> .* 1\n$/,
    stderr: '',
  });
  const waiting = await w.start(['wait', 'api']);
  await waiting.says('waiting: ');
  t.match(await w.call(['clear', 'api', '--force']), {
    code: 0,
    stdout: /^revision 2 of release prod\/api is marked as failed/,
  });
  t.equal((await waiting.done).code, 0);
  t.same(await w.history(), ['1 deployed', '2 failed']);
});

async function releaseLock({ admin }: CliWorld, { metadata }: StoredObject): Promise<void> {
  const { creationTimestamp: since, uid: recordUID } = metadata;
  await admin.create(RELEASE_LOCKS, {
    apiVersion: 'lockkeeper.dev/v1alpha1',
    kind: 'ReleaseLock',
    metadata: { name: 'api', namespace: 'prod' },
    spec: {
      driver: 'secrets',
      revision: 2,
      status: 'pending-upgrade',
      recordUID,
      since,
      holder: { user: 'alice' },
    },
  });
  const status = { verdict: 'live', reason: 'created a moment ago', lastActivity: since, waiting: 1 };
  await admin.patch(`${RELEASE_LOCKS}/api/status`, { status });
}

t.test('without rights: which one is missing is said', async (t) => {
  const w = await cliWorld(t);
  t.match(await w.call(['list'], { user: { username: 'mallory' } }), {
    code: 7,
    stderr: /you may not see who deploys in namespace prod: .*\n.*cannot list resource "releaselocks"/,
  });
});
