/**
 * What must hold, for every Helm that people have, of locks whose holder is dead, and of records that somebody
 * deletes. One file for each version runs these, so that they run side by side.
 */
import t, { type Test } from 'tap';
import { type RestClient, restClient } from '../support/rest.ts';
import type { HelmVersion } from '../tools/binaries.ts';
import type { RunResult } from '../tools/run.ts';
import {
  CHART,
  type HelmDriver,
  history,
  historyEntries,
  STALE_AFTER_MS,
  succeeds,
  upgradeInFlight,
  type World,
  type WorldOptions,
  world,
} from './world.ts';

/** Whoever meets a live lock is refused at once: how long a deploy waits is told elsewhere. */
const IMPATIENT: WorldOptions = {
  config: { holdSeconds: 0, maxWaitSeconds: 0 },
};

const IN_PROGRESS = /another operation \(install\/upgrade\/rollback\) is in progress/;

const GUARDED =
  /"guard\.lockkeeper\.dev" denied the request: release prod\/api: revision 2 \(pending-upgrade, \S+, alice\) is being deployed\. Without its record another deploy could run beside it, so the record was kept\./;

function becomeStale({ cluster }: World): Promise<void> {
  return cluster.letTimePass(STALE_AFTER_MS);
}

function recordOf(release: string, revision: number): string {
  return `sh.helm.release.v1.${release}.v${revision}`;
}

function bobOverRest(t: Test, w: World): Promise<RestClient> {
  return restClient(t, w, { username: 'bob' });
}

/** A release whose second revision is pending: its Helm was killed at work. */
async function deadUpgrade(t: Test, w: World, release = 'api'): Promise<void> {
  await succeeds(t, w.helm(['install', release, CHART]), `${release}: a first install`);
  const { upgrade } = await upgradeInFlight(w, [], release);
  upgrade.kill('SIGKILL');
  t.match(await upgrade.done, { signal: 'SIGKILL' }, `${release}: an upgrade dies`);
}

/** A release whose second revision is pending, and whose Helm is at work. */
async function liveUpgrade(t: Test, w: World) {
  await succeeds(t, w.helm(['install', 'api', CHART]), 'a first install');
  return upgradeInFlight(w);
}

async function endsUndisturbed(
  t: Test,
  w: World,
  { upgrade, finish }: Awaited<ReturnType<typeof upgradeInFlight>>,
  stored = ['1 superseded', '2 deployed'],
): Promise<void> {
  await finish();
  await succeeds(t, upgrade, 'the upgrade ends as if nobody had been there');
  t.same(await history(w), stored);
}

/** No deletion was refused, and no deploy held. */
function nobodyIsHindered(t: Test, { logs }: World): void {
  const hindrances = ['held', 'refused', 'a deletion was refused'];
  t.same(
    logs.messages().filter((message) => hindrances.includes(message)),
    [],
    'nobody is hindered',
  );
}

/** Resolves when somebody waits for the release `api`. */
async function somebodyWaits(rest: RestClient): Promise<void> {
  while ((await rest.get('/api')).body.waiting === 0);
}

/** What a program says that must fail. */
async function failed(running: { done: Promise<RunResult> }): Promise<string> {
  const { code, stdout, stderr } = await running.done;
  if (code === 0) throw new Error(`it was to fail, and said: ${stdout}`);
  return stderr;
}

export function tellStaleStories(version: HelmVersion): void {
  t.test(
    `Helm ${version}: a rollback does not prune the revision that is being deployed (trap 5)`,
    async (t) => {
      const w = await world(t, version, 'secret', IMPATIENT);
      const live = await liveUpgrade(t, w);
      const stderr = await failed(w.helm(['rollback', 'api', '1', '--history-max', '2'], 'bob'));
      t.match(stderr, GUARDED);
      // The ReleaseLock comes a moment after the record; until then, the commands are about that.
      t.match(
        stderr,
        /If you know that its holder is dead, mark (the lock, .* That takes the right .*|its record, .*): kubectl annotate (rlock api|secret \S+) -n prod/,
      );
      t.same(await history(w), ['1 deployed', '2 pending-upgrade'], 'nothing was deleted, nothing created');
      await endsUndisturbed(t, w, live);
    },
  );

  t.test(`Helm ${version}: a rollback prunes a revision that is stale, as ever`, async (t) => {
    const w = await world(t, version, 'secret', IMPATIENT);
    await deadUpgrade(t, w);
    await becomeStale(w);
    await succeeds(t, w.helm(['rollback', 'api', '1', '--history-max', '2']), 'the rollback goes through');
    t.same(await history(w), ['1 superseded', '3 deployed']);
    nobodyIsHindered(t, w);
  });

  t.test(`Helm ${version}: what else Helm prunes is its own business`, async (t) => {
    const w = await world(t, version, 'secret', IMPATIENT);
    await w.removeWebhook();
    await deadUpgrade(t, w);
    await succeeds(t, w.helm(['rollback', 'api', '1']), 'a rollback shadows the dead upgrade');
    await w.installWebhook();
    const { upgrade, finish } = await upgradeInFlight(w, ['--history-max', '2']);
    t.same(await history(w), ['3 deployed', '4 pending-upgrade'], 'a fresh pending record was pruned');
    await finish();
    await succeeds(t, upgrade, 'the upgrade ends');
    nobodyIsHindered(t, w);
  });

  for (const driver of ['secret', 'configmap'] as const) {
    t.test(`Helm ${version}, driver ${driver}: the lock of a dead upgrade, live and then stale`, (t) =>
      deathOfAnUpgrade(t, version, driver),
    );
  }

  t.test(
    `Helm ${version}: a rollback that waits goes through by itself once the lock is stale`,
    async (t) => {
      const w = await world(t, version, 'secret', { config: { holdSeconds: 1, retryAfterSeconds: 1 } });
      await deadUpgrade(t, w);
      const held = w.logs.line('held');
      const rollback = w.helm(['rollback', 'api', '1']);
      await held;
      await becomeStale(w);
      await succeeds(t, rollback, 'it came back and went through');
      t.same(await history(w), ['1 superseded', '2 failed', '3 deployed']);
    },
  );

  t.test(`Helm ${version}: a live record may be deleted once it is annotated`, async (t) => {
    const w = await world(t, version, 'secret', IMPATIENT);
    await deadUpgrade(t, w);
    const stderr = await failed({ done: w.kubectl(['delete', 'secret', recordOf('api', 2)], 'bob') });
    t.match(stderr, /kubectl annotate (rlock api|secret \S+) -n prod \S+=true\n$/);
    const record = `secret ${recordOf('api', 2)}`;
    const commands = [
      `kubectl annotate ${record} -n prod lockkeeper.dev/allow-delete=true`,
      `kubectl delete ${record} -n prod`,
    ];
    for (const each of commands) {
      await succeeds(t, { done: w.kubectl(each.split(' ').slice(1), 'bob') }, each);
    }
    await succeeds(t, w.helm(['upgrade', 'api', CHART]), 'an upgrade is not held');
  });

  t.test(`Helm ${version}: its holder may delete a live record`, async (t) => {
    const w = await world(t, version, 'secret', IMPATIENT);
    await deadUpgrade(t, w);
    const deletion = ['delete', 'secret', recordOf('api', 2)];
    await succeeds(t, { done: w.kubectl(deletion) }, 'alice, who began the upgrade');
    t.same(await history(w), ['1 deployed']);
  });

  t.test(`Helm ${version}: an annotation is no sign of life`, async (t) => {
    const w = await world(t, version, 'secret', IMPATIENT);
    const bob = await bobOverRest(t, w);
    await deadUpgrade(t, w);
    await becomeStale(w);
    const { body: before } = await bob.get('/api');
    const annotate = ['annotate', 'secret', recordOf('api', 2), 'team=red'];
    await succeeds(t, { done: w.kubectl(annotate) }, 'somebody annotates the record');
    const { body } = await bob.get('/api');
    t.match(body, { verdict: 'expired', lastActivity: before.lastActivity });
    await succeeds(t, w.helm(['rollback', 'api', '1']), 'a rollback goes through');
  });

  for (const driver of ['secret', 'configmap'] as const) {
    t.test(
      `Helm ${version}, driver ${driver}: who deletes all records is told which one is live`,
      async (t) => {
        const w = await world(t, version, driver, IMPATIENT);
        await succeeds(t, w.helm(['install', 'web', CHART]), 'another release');
        const live = await liveUpgrade(t, w);
        const stderr = await failed({ done: w.kubectl(['delete', driver, '-l', 'owner=helm'], 'bob') });
        t.match(stderr, GUARDED);
        t.equal(stderr.match(/denied the request/g)?.length, 1, 'one refusal');
        t.match(await w.kubectl(['get', driver, '-l', 'owner=helm', '--output', 'name']), {
          stdout: `${driver}/${recordOf('api', 2)}\n`,
        });
        // Helm 4 warns that revision 1, which it is to supersede, is gone; the others say nothing.
        await endsUndisturbed(t, w, live, ['2 deployed']);
      },
    );
  }

  t.test(`Helm ${version}: a namespace goes with all that is in it`, async (t) => {
    const w = await world(t, version, 'secret', IMPATIENT);
    const { upgrade } = await liveUpgrade(t, w);
    await succeeds(t, { done: w.kubectl(['delete', 'namespace', 'prod']) }, 'kubectl waits until it is gone');
    nobodyIsHindered(t, w);
    // Helm 3 takes a hook that is gone for one that has ended, goes on and fails; Helm 4 would wait for five minutes.
    upgrade.kill('SIGKILL');
    await upgrade.done;
  });

  t.test(`Helm ${version}: a record goes with the last of its owners`, async (t) => {
    const w = await world(t, version, 'secret', IMPATIENT);
    const { admin } = w;
    const configMaps = '/api/v1/namespaces/prod/configmaps';
    const { metadata } = await admin.create(configMaps, { metadata: { name: 'owner' } });
    const { upgrade } = await liveUpgrade(t, w);
    await admin.patch(`/api/v1/namespaces/prod/secrets/${recordOf('api', 2)}`, {
      metadata: {
        ownerReferences: [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid: metadata.uid }],
      },
    });
    const collected = w.writes.next(
      ({ verb, object }) => verb === 'DELETED' && object.metadata.name === recordOf('api', 2),
    );
    await admin.remove(`${configMaps}/owner`);
    await collected;
    t.same(await history(w), ['1 deployed']);
    nobodyIsHindered(t, w);
    upgrade.kill('SIGKILL');
    await upgrade.done;
  });

  t.test(`Helm ${version}: while Lockkeeper is down, every record can be deleted`, async (t) => {
    const w = await world(t, version, 'secret', IMPATIENT);
    await deadUpgrade(t, w);
    await w.service.close();
    await succeeds(t, { done: w.kubectl(['delete', 'secret', recordOf('api', 2)]) }, 'a live record');
    t.same(await history(w), ['1 deployed']);
  });

  t.test(`Helm ${version}: a lock that is cleared by force, and what its holder does then`, async (t) => {
    const w = await world(t, version, 'secret', IMPATIENT);
    const bob = await bobOverRest(t, w);

    await t.test('deleted', async (t) => {
      const { upgrade, finish } = await liveUpgrade(t, w);
      t.match(await bob.remove('/api?strategy=delete'), {
        status: 409,
        body: { detail: /locked by revision 2 .*, and that lock is live: .* with force=true/ },
      });
      t.match(await bob.remove('/api?strategy=delete&force=true'), { status: 200 });
      await finish();
      // Seen of all three: it changes the cluster, supersedes the revision that was deployed, and only then
      // finds that its own record is gone. A fence around its own record keeps it from none of this.
      t.match(await failed(upgrade), /UPGRADE FAILED: update: failed to update: secrets ".*\.v2" not found/);
      t.same(await history(w), ['1 superseded'], 'nothing is deployed, says the history');
      t.match(await w.kubectl(['get', 'configmap', 'api', '--output', 'jsonpath={.data.message}']), {
        stdout: 'second',
      });
      await succeeds(t, w.helm(['upgrade', 'api', CHART]), 'an upgrade repairs it');
      t.same(await history(w), ['1 superseded', '2 deployed']);
    });

    await t.test('marked failed', async (t) => {
      const { upgrade, finish } = await upgradeInFlight(w);
      t.match(await bob.remove('/api?force=true&reason=cancelled'), { status: 200 });
      t.match((await historyEntries(w)).at(-1), {
        status: 'failed',
        description: /^Cleared by force by bob at .*, was pending-upgrade: .*; cancelled$/,
      });
      await finish();
      // Seen of all three: it never reads its record again, and writes over it (trap 9). Here is no fence to forbid it.
      await succeeds(t, upgrade, 'the zombie never noticed');
      t.same(await history(w), ['1 superseded', '2 superseded', '3 deployed']);
    });
  });

  t.test(`Helm ${version}: a pipeline waits for its turn, and then upgrades`, async (t) => {
    const w = await world(t, version, 'secret', IMPATIENT);
    const bob = await bobOverRest(t, w);
    const live = await liveUpgrade(t, w);
    t.match(await failed(w.helm(['upgrade', 'api', CHART], 'bob')), IN_PROGRESS, 'without a wait');

    const second = `/api/v1/namespaces/prod/secrets/${recordOf('api', 2)}`;
    const wait = bob.get('/api/wait').then(async ({ status }) => {
      const { metadata } = await w.admin.get(second);
      return { status, record: metadata.labels?.status };
    });
    await somebodyWaits(bob);
    await endsUndisturbed(t, w, live);
    t.same(await wait, { status: 204, record: 'deployed' }, 'it ends when the upgrade has');
    await succeeds(t, w.helm(['upgrade', 'api', CHART, '--reset-values'], 'bob'), 'the upgrade works');
    t.same(await history(w), ['1 superseded', '2 superseded', '3 deployed']);
  });

  t.test(`Helm ${version}: an upgrade that fails rolls itself back, and meets no lock`, async (t) => {
    const w = await world(t, version, 'secret', IMPATIENT);
    await succeeds(t, w.helm(['install', 'api', CHART]), 'a first install');
    const option = version.startsWith('4.') ? '--rollback-on-failure' : '--atomic';
    const { upgrade, fail } = await upgradeInFlight(w, [option]);
    await fail();
    t.match(await failed(upgrade), /release api failed, and has been rolled back due to .* being set/);
    t.same(await history(w), ['1 superseded', '2 failed', '3 deployed']);
    const [, second] = await historyEntries(w);
    t.match(second, { description: /^Upgrade "api" failed: / }, 'in the words of Helm');
    nobodyIsHindered(t, w);
    t.notOk(w.logs.messages().includes('cleared'));
  });
}

async function deathOfAnUpgrade(t: Test, version: HelmVersion, driver: HelmDriver): Promise<void> {
  const w = await world(t, version, driver, IMPATIENT);
  const bob = await bobOverRest(t, w);
  for (const release of ['api', 'web', 'jobs']) await deadUpgrade(t, w, release);
  const upgrade = (release: string) => w.helm(['upgrade', release, CHART], 'bob');

  await t.test('live', async (t) => {
    t.match(await failed(upgrade('api')), IN_PROGRESS, 'an upgrade hears so from Helm itself');
    t.match(
      await failed(w.helm(['rollback', 'api', '1'], 'bob')),
      /"gate\.lockkeeper\.dev" denied the request: release prod\/api is locked by revision 2 \(pending-upgrade, \S+, alice\)/,
    );
    t.match(await failed({ done: w.kubectl(['delete', driver, recordOf('api', 2)], 'bob') }), GUARDED);
    t.match(await bob.remove('/api'), { status: 409 });
    t.same(await history(w), ['1 deployed', '2 pending-upgrade'], 'nothing was changed');
  });

  await becomeStale(w);

  await t.test('stale: a rollback goes through, and says what happened', async (t) => {
    const { code, stderr } = await w.helm(['rollback', 'api', '1'], 'bob').done;
    t.equal(code, 0);
    // Helm 3 logs a warning as a line that begins with W; Helm 4 says "Warning:".
    t.match(
      stderr,
      /^(W.*\] |.*"Warning: )lockkeeper marked revision 2 of prod\/api as failed, which was pending-upgrade: no sign of life for 15m/,
    );
    t.same(await history(w), ['1 superseded', '2 failed', '3 deployed']);
    const [, second] = await historyEntries(w);
    t.match(second?.description, /^Cleared by bob at .*Z, was pending-upgrade: no sign of life for 15m/);
    await succeeds(t, upgrade('api'), 'an upgrade works');
  });

  await t.test('stale: the record can be deleted', async (t) => {
    t.match(await failed(upgrade('web')), IN_PROGRESS);
    await succeeds(t, { done: w.kubectl(['delete', driver, recordOf('web', 2)], 'bob') }, 'it is deleted');
    await succeeds(t, upgrade('web'), 'an upgrade works');
    t.same(await history(w, 'web'), ['1 superseded', '2 deployed']);
  });

  await t.test('stale: a request clears it', async (t) => {
    t.match(await bob.remove('/jobs'), { status: 200, body: { cleared: { release: 'jobs', revision: 2 } } });
    await succeeds(t, upgrade('jobs'), 'an upgrade works');
    t.same(await history(w, 'jobs'), ['1 superseded', '2 failed', '3 deployed']);
  });
}
