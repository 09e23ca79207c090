/** `lockkeeper clear` beside Lockkeeper itself, by people with the roles of a namespace. */
import t, { type Test } from 'tap';
import type { Config } from '../../src/config.ts';
import type { EmbeddedCluster } from '../clusters/embedded/cluster.ts';
import { lockkeeperOn } from '../e2e/world.ts';
import { clusterWithRights, type Rule, roleFor } from '../support/rights.ts';
import { until } from '../support/until.ts';
import { RELEASE_LOCKS } from './door.ts';
import { CHART, type CliWorld, cliWorld, hookOf } from './world.ts';

const READS = ['get', 'list', 'watch'];

/** What the roles of a namespace have, with what Lockkeeper's chart adds to them. */
const VIEW: readonly Rule[] = [{ apiGroups: ['lockkeeper.dev'], resources: ['releaselocks'], verbs: READS }];
const CLEAR: Rule = { apiGroups: ['lockkeeper.dev'], resources: ['releaselocks'], verbs: ['delete'] };
const EDIT: readonly Rule[] = [
  ...VIEW,
  CLEAR,
  { apiGroups: ['lockkeeper.dev'], resources: ['releaselocks'], verbs: ['patch'] },
  { apiGroups: [''], resources: ['secrets', 'configmaps'], verbs: [...READS, 'update'] },
];
const ADMIN: readonly Rule[] = [
  ...EDIT,
  { apiGroups: ['lockkeeper.dev'], resources: ['releaselocks/force'], verbs: ['delete'] },
];

const PEOPLE = { viewer: VIEW, clearer: [...VIEW, CLEAR], editor: EDIT, owner: ADMIN } as const;

interface World extends CliWorld {
  clear(person: keyof typeof PEOPLE, ...args: string[]): ReturnType<CliWorld['call']>;
  /** The description that `helm history` shows of a revision. */
  description(revision: number): Promise<string>;
}

/** Alice's upgrade is in its hook, and her Helm is killed there. */
async function world(t: Test, config: Partial<Config> = {}): Promise<World> {
  const { cluster, grant } = await clusterWithRights(t);
  await lockkeeperOn(t, cluster, { config });
  const w = await cliWorld(t, '3.17.3', cluster);
  for (const [name, rules] of Object.entries(PEOPLE)) await grant(roleFor(name, 'prod', rules));
  t.equal((await w.helm('install', 'api', CHART).done).code, 0, 'a first install');
  const hook = hookOf(w);
  const upgrade = w.helm('upgrade', 'api', CHART, '--set', 'hook.pre=true');
  await hook;
  upgrade.kill('SIGKILL');
  await upgrade.done;
  return {
    ...w,
    clear: (username, ...args) => w.call(['clear', 'api', ...args], { user: { username } }),
    async description(revision) {
      const { stdout } = await w.helm('history', 'api', '-o', 'json').done;
      const entries = JSON.parse(stdout) as { revision: number; description: string }[];
      return entries.find((entry) => entry.revision === revision)?.description ?? '';
    },
  };
}

function verdict({ admin }: Pick<CliWorld, 'admin'>, expected: string): Promise<unknown> {
  const read = () => admin.request<{ status?: { verdict?: string } }>('GET', `${RELEASE_LOCKS}/api`);
  return until(read, ({ body }) => body.status?.verdict === expected);
}

const LIVE = 'release prod/api is locked by revision 2 \\(pending-upgrade, \\S+, alice\\)';

const FORCE_RIGHT =
  'the right to delete releaselocks/force in namespace prod, which the role admin usually has';

t.test('a live lock: who may force is told how, who may not is told which right it takes', async (t) => {
  const w = await world(t);
  await verdict(w, 'live');
  const refused = await w.clear('viewer');
  t.match(refused, {
    code: 7,
    stdout: '',
    stderr:
      /you may not clear the lock of release prod\/api: that takes the right to delete releaselocks\.lockkeeper\.dev in namespace prod, which the role edit usually has\n$/,
  });
  for (const [person, args, code, last] of [
    ['editor', [], 4, `To clear it all the same takes ${FORCE_RIGHT}`],
    ['owner', [], 4, 'If you know that its holder is dead: lockkeeper clear api -n prod --force'],
    [
      'editor',
      ['--force'],
      7,
      `you may not clear a live lock: that takes ${FORCE_RIGHT}. Nothing was changed: `,
    ],
  ] as const) {
    const { stderr, ...result } = await w.clear(person, ...args);
    t.same(result, { code, stdout: '' }, `${person} ${args}`);
    t.ok(stderr.includes(last), stderr);
    t.match(stderr, new RegExp(LIVE));
    t.notMatch(stderr, 'kubectl', 'nobody needs kubectl');
    if (code === 4) t.ok(stderr.endsWith(`${last}\n`), 'what to do comes last');
  }
  t.same(await w.history(), ['1 deployed', '2 pending-upgrade']);
});

t.test('by force, and with a reason: helm history and the Event have it', async (t) => {
  const w = await world(t);
  await verdict(w, 'live');
  const reason = 'job 4711\u001b[2J\nwas cancelled';
  const { code, stdout } = await w.clear('owner', '--force', '--reason', reason);
  t.equal(code, 0);
  t.match(
    stdout,
    /^revision 2 of release prod\/api is marked as failed\nnext: helm upgrade api CHART -n prod\n/,
  );
  t.match(
    await w.description(2),
    /^Cleared by force by owner at \S+, was pending-upgrade: .*; job 4711\[2J was cancelled$/,
  );
  const events = await w.admin.list('/api/v1/namespaces/prod/events');
  t.match(
    events.filter(({ reason: type }) => type === 'Cleared'),
    [{ message: /job 4711\[2J was cancelled/ }],
  );
  t.match(await w.clear('owner', '--reason', 'x'.repeat(201)), {
    code: 2,
    stderr: /--reason is a line of at most 200 characters, and has 201/,
  });
});

t.test('a stale lock, with a reason: it is kept as well, by those who may write it down', async (t) => {
  const w = await world(t, { staleAfterSeconds: 2 });
  await verdict(w, 'expired');
  const { code, stderr } = await w.clear('clearer', '--reason', 'job 4711');
  t.equal(code, 0, stderr);
  t.match(
    stderr,
    'the reason is not kept for release prod/api: that takes the right to patch releaselocks.lockkeeper.dev in namespace prod, which the role edit usually has',
  );
  t.match(await w.description(2), /^Cleared by clearer at \S+, was pending-upgrade: no sign of life for /);
  t.notMatch(await w.description(2), 'job 4711');

  const hook = hookOf(w);
  const upgrade = w.helm('upgrade', 'api', CHART, '--set', 'hook.pre=true');
  await hook;
  upgrade.kill('SIGKILL');
  await upgrade.done;
  await verdict(w, 'expired');
  t.match(await w.clear('editor', '--reason', 'job 4712'), { code: 0, stderr: '' });
  t.match(await w.description(3), /^Cleared by editor at \S+, was pending-upgrade: .*; job 4712$/);
});

t.test('a reason that cannot be written down, for any other cause, clears nothing', async (t) => {
  const w = await world(t, { staleAfterSeconds: 2 });
  await verdict(w, 'expired');
  const { faults } = w.cluster as EmbeddedCluster;
  const end = faults.failRequests(({ method }) => (method === 'PATCH' ? { status: 410 } : undefined));
  const { code, stderr } = await w.clear('editor', '--reason', 'job 4711');
  end();
  t.not(code, 0);
  t.match(stderr, /410/);
  t.same(await w.history(), ['1 deployed', '2 pending-upgrade']);
});

t.test('a mark that somebody left there does not make a clear one by force', async (t) => {
  const w = await world(t);
  await verdict(w, 'live');
  const metadata = { annotations: { 'lockkeeper.dev/force': 'true' } };
  await w.admin.patch(`${RELEASE_LOCKS}/api`, { metadata });
  t.match(await w.clear('owner'), { code: 4, stderr: /lockkeeper clear api -n prod --force\n$/ });
  t.same(await w.history(), ['1 deployed', '2 pending-upgrade']);
  t.match(await w.admin.get(`${RELEASE_LOCKS}/api`), {
    metadata: { annotations: { 'lockkeeper.dev/force': 'false' } },
  });
  t.match(await w.clear('owner', '--force'), { code: 0 });
});
