/** Releases that could be taken for each other, commands beside a deploy that are none, and records of a size: real Helm. */
import { randomBytes } from 'node:crypto';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { REAL } from '../clusters/start.ts';
import { restClient } from '../support/rest.ts';
import type { HelmVersion } from '../tools/binaries.ts';
import {
  CHART,
  history,
  STALE_AFTER_MS,
  succeeds,
  upgradeInFlight,
  type World,
  type WorldOptions,
  world,
} from './world.ts';

/** Whoever would have to wait is refused at once. */
const IMPATIENT: WorldOptions = { config: { holdSeconds: 0, maxWaitSeconds: 0 } };

/** Helm 4 spells it in one word. */
const IN_USE = /cannot re-?use a name that is still in use/;
const IN_PROGRESS = /another operation \(install\/upgrade\/rollback\) is in progress/;

/** An install that stays in flight until its hook's Job is completed. Resolves when it is. */
async function installInFlight({ admin, writes, helm }: World) {
  const job = writes.next(({ verb, object }) => verb === 'ADDED' && object.kind === 'Job');
  const install = helm(['install', 'api', CHART, '--set', 'hook.pre=true']);
  await job;
  return { install, finish: () => admin.completeJob('prod', 'api-pre', 'Complete') };
}

async function hasFailed(t: Test, running: ReturnType<World['helm']>, words: RegExp, name: string) {
  const { code, stderr } = await running.done;
  t.match({ failed: code !== 0, stderr }, { failed: true, stderr: words }, name);
}

/** The app with a file that nothing makes smaller: near the largest that fits into a Secret, encoded as Helm does. */
async function bigChart(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lockkeeper-chart-'));
  t.teardown(() => rm(folder, { recursive: true }));
  await cp(CHART, folder, { recursive: true });
  await writeFile(join(folder, 'incompressible'), randomBytes(700_000));
  return folder;
}

/** None of it depends on Helm's version, so on the real cluster, which is slow, one of them is enough. */
const VERSIONS: readonly HelmVersion[] = REAL ? ['4.1.4'] : ['3.9.4', '4.1.4'];

for (const version of VERSIONS) {
  t.test(`Helm ${version}: release names with dots are not taken for each other (trap 11)`, async (t) => {
    const w = await world(t, version, 'secret', IMPATIENT);
    for (const release of ['app', 'app.v2', 'app.v2.v3']) {
      await succeeds(t, w.helm(['install', release, CHART]), `${release} is installed`);
    }
    const { upgrade, finish } = await upgradeInFlight(w, [], 'app.v2');
    for (const release of ['app', 'app.v2.v3']) {
      await succeeds(t, w.helm(['rollback', release, '1'], 'bob'), `${release} is not locked`);
    }
    await hasFailed(
      t,
      w.helm(['rollback', 'app.v2', '1'], 'bob'),
      /release prod\/app\.v2 is locked by revision 2/,
      'app.v2 is',
    );
    await finish();
    await succeeds(t, upgrade, 'the upgrade ends');
    t.same(await history(w, 'app.v2'), ['1 superseded', '2 deployed']);
  });

  t.test(
    `Helm ${version}: releases of one name in two namespaces have nothing to do with each other`,
    async (t) => {
      const w = await world(t, version, 'secret', IMPATIENT);
      await w.admin.createNamespace('dev');
      await succeeds(t, w.helm(['install', 'api', CHART]), 'prod/api is installed');
      await succeeds(t, w.helm(['install', 'api', CHART, '-n', 'dev']), 'dev/api is installed');
      const { upgrade, finish } = await upgradeInFlight(w);
      await succeeds(t, w.helm(['rollback', 'api', '1', '-n', 'dev'], 'bob'), 'dev/api is not locked');
      await hasFailed(
        t,
        w.helm(['rollback', 'api', '1'], 'bob'),
        /release prod\/api is locked by revision 2/,
        'prod/api is',
      );
      await finish();
      await succeeds(t, upgrade, 'the upgrade ends');
    },
  );

  t.test(
    `Helm ${version}: beside an install, whoever deploys as well is refused and changes nothing`,
    async (t) => {
      const w = await world(t, version, 'secret', IMPATIENT);
      const { install, finish } = await installInFlight(w);
      await hasFailed(t, w.helm(['install', 'api', CHART], 'bob'), IN_USE, 'install: by Helm itself');
      await hasFailed(
        t,
        w.helm(['upgrade', '--install', 'api', CHART], 'bob'),
        IN_PROGRESS,
        'upgrade --install: by Helm itself',
      );
      await hasFailed(
        t,
        w.helm(['rollback', 'api', '1'], 'bob'),
        /release prod\/api is locked by revision 1 \(pending-install, \S+, alice\)/,
        'rollback: by Lockkeeper',
      );
      await finish();
      await succeeds(t, install, 'the install ends as if nobody had been there');
      t.same(await history(w), ['1 deployed']);
    },
  );

  t.test(`Helm ${version}: two installs at the same moment: one is refused in plain words`, async (t) => {
    const w = await world(t, version, 'secret');
    const bothAsk = Promise.withResolvers<void>();
    let creations = 0;
    const stopMeeting = w.doorway.stop(({ method, url = '' }) => {
      if (method !== 'POST' || !/\/secrets(\?|$)/.test(url)) return undefined;
      creations += 1;
      if (creations === 2) bothAsk.resolve();
      return bothAsk.promise;
    });
    const racers = ['alice', 'bob'].map((user) => w.helm(['install', 'api', CHART], user));
    await bothAsk.promise;
    stopMeeting();
    const results = await Promise.all(racers.map(({ done }) => done));
    t.equal(results.filter(({ code }) => code === 0).length, 1, 'one wins');
    t.match(
      results.find(({ code }) => code !== 0)?.stderr,
      /another deploy was first\. Yours was to be revision 1, and there is revision 1/,
    );
    t.same(await history(w), ['1 deployed']);
  });

  t.test(`Helm ${version}: an uninstall beside an upgrade waits for it`, async (t) => {
    const w = await world(t, version, 'secret', { config: { retryAfterSeconds: 1 } });
    await succeeds(t, w.helm(['install', 'api', CHART]), 'a first install');
    const { upgrade, finish } = await upgradeInFlight(w);
    const held = w.logs.line('an uninstall is held');
    const uninstall = w.helm(['uninstall', 'api'], 'bob');
    t.match(await held, { release: 'api', revision: 2, client: 'bob', lock: { holder: 'alice' } });
    t.match(await w.admin.list('/api/v1/namespaces/prod/configmaps'), [{}], 'nothing was deleted');
    await finish();
    await succeeds(t, upgrade, 'the upgrade ends as it would have');
    await succeeds(t, uninstall, 'the uninstall goes on');
    t.same(await w.admin.list('/api/v1/namespaces/prod/secrets'), [], 'nothing is stored');
    await succeeds(t, w.helm(['install', 'api', CHART]), 'and the next one installs it anew');
  });

  t.test(`Helm ${version}: a chart of 700 KB (trap 17)`, async (t) => {
    const w = await world(t, version, 'secret');
    const chart = await bigChart(t);
    await succeeds(t, w.helm(['install', 'api', chart]), 'a first install');
    const { upgrade, finish } = await upgradeInFlight(w, [], 'api', chart);
    const held = w.logs.line('held');
    const rollback = w.helm(['rollback', 'api', '1'], 'bob');
    await held;
    await finish();
    await succeeds(t, upgrade, 'the upgrade ends');
    await succeeds(t, rollback, 'the rollback was held, and goes through');
    const [review] = w.front.admissions.map(({ review }) => JSON.stringify(review).length);
    t.ok(Number(review) > 1_250_000, `a review has ${review} bytes, which Fastify takes only when told to`);

    const dead = await upgradeInFlight(w, [], 'api', chart);
    dead.upgrade.kill('SIGKILL');
    await dead.upgrade.done;
    await w.cluster.letTimePass(STALE_AFTER_MS);
    const { status } = await (await restClient(t, w, { username: 'bob' })).remove('/api');
    t.equal(status, 200, 'such a lock can be cleared');
    await succeeds(t, w.helm(['upgrade', 'api', chart]), 'and the next upgrade works');
    t.same(await history(w), ['1 superseded', '2 superseded', '3 superseded', '4 failed', '5 deployed']);
  });
}
