/** What must hold for every Helm that people have. One file for each version runs these, so that they run side by side. */
import type { IncomingMessage } from 'node:http';
import t from 'tap';
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import type { Write } from '../clusters/writes.ts';
import type { Admission } from '../support/front.ts';
import type { HelmVersion } from '../tools/binaries.ts';
import type { RunResult } from '../tools/run.ts';
import { CHART, history, succeeds, upgradeInFlight, type World, world } from './world.ts';

/** An upgrade that has read the history, and whose creation of a revision is not let through yet. */
async function upgradeOnItsWay({ doorway, helm }: World, user: string) {
  const asks = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const stop = doorway.stop((request) => {
    if (!createsRevision(request)) return undefined;
    stop();
    asks.resolve();
    return goOn.promise;
  });
  const upgrade = helm(['upgrade', 'api', CHART, '--set', 'message=slow'], user);
  await asks.promise;
  return { upgrade, goOn: () => goOn.resolve() };
}

function isRecord({ metadata: { name, labels } }: StoredObject, revision: number, status: string): boolean {
  return name === `sh.helm.release.v1.api.v${revision}` && labels?.status === status;
}

/** Those of one cluster tell which of two writes was first. */
function versionOf({ object }: Write): bigint {
  return BigInt(object.metadata.resourceVersion);
}

/** Such as `1.00 429`, or `0.31 allowed`. */
function inSeconds({ calledAt, answeredAt, allowed, code }: Admission): string {
  return `${((answeredAt - calledAt) / 1000).toFixed(2)} ${allowed ? 'allowed' : code}`;
}

function createsRevision({ method, url = '' }: IncomingMessage): boolean {
  return method === 'POST' && /\/secrets(\?|$)/.test(url);
}

export function tellStories(version: HelmVersion): void {
  tellOfHolds(version);
  tellOfRetries(version);
  tellOfRefusals(version);
}

function tellOfHolds(version: HelmVersion): void {
  for (const driver of ['secret', 'configmap'] as const) {
    t.test(
      `Helm ${version}, driver ${driver}: a rollback beside a running upgrade is held, and goes through by itself`,
      async (t) => {
        const w = await world(t, version, driver);
        await succeeds(t, w.helm(['install', 'api', CHART]), 'a first install needs nobody');
        const { upgrade, finish } = await upgradeInFlight(w);

        const held = w.logs.line('held');
        const rollback = w.helm(['rollback', 'api', '1'], 'bob');
        t.match(await held, {
          release: 'api',
          revision: 3,
          lock: { revision: 2, status: 'pending-upgrade', holder: 'alice' },
        });

        const freed = w.writes.next(({ object }) => isRecord(object, 2, 'deployed'));
        const created = w.writes.next(({ object }) => isRecord(object, 3, 'pending-rollback'));
        const answered = w.front.next(({ user }) => user === 'bob');
        await finish();
        await succeeds(t, upgrade, 'the upgrade ends as it would have');
        t.match(await answered, { allowed: true });
        await succeeds(t, rollback, 'the rollback goes through');
        t.same(await history(w), ['1 superseded', '2 superseded', '3 deployed']);
        t.ok(versionOf(await created) > versionOf(await freed), 'which was created after that');
      },
    );
  }
}

/** That a Helm of this version is held, and comes back by itself. */
export function tellOfRetries(version: HelmVersion): void {
  t.test(
    `Helm ${version}: longer than one call: Helm is sent away with 429 and comes back by itself (trap 6)`,
    async (t) => {
      const w = await world(t, version, 'secret', { config: { holdSeconds: 1, retryAfterSeconds: 2 } });
      await succeeds(t, w.helm(['install', 'api', CHART]), 'a first install');
      const { upgrade, finish } = await upgradeInFlight(w);
      const rollback = w.helm(['rollback', 'api', '1'], 'bob');
      for (const attempt of ['first', 'second']) {
        const sentAway = await w.front.next(({ code }) => code === 429);
        t.match(
          sentAway,
          { retryAfterSeconds: 2, user: 'bob' },
          `the ${attempt} attempt is held, and sent away`,
        );
      }
      await w.logs.nextLine('held');
      const admitted = w.front.next(({ user }) => user === 'bob');
      await finish();
      await succeeds(t, upgrade, 'the upgrade ends');
      t.match(await admitted, { allowed: true }, 'the third attempt is admitted when it has');
      await succeeds(t, rollback, 'the rollback went through');
      t.same(await history(w), ['1 superseded', '2 superseded', '3 deployed']);

      const attempts = w.front.admissions.filter(
        ({ user, operation }) => user === 'bob' && operation === 'CREATE',
      );
      const pauses = attempts
        .slice(1)
        .map(({ calledAt }, index) => calledAt - (attempts[index]?.answeredAt ?? 0));
      t.ok(
        pauses.every((pause) => pause >= 2_000),
        'Helm stays away for as long as it is told to',
      );
      t.comment(`Helm ${version}, seconds of each attempt: ${attempts.map(inSeconds).join(', ')}`);
    },
  );
}

function tellOfRefusals(version: HelmVersion): void {
  t.test(
    `Helm ${version}: no patience: the rollback fails, and says who holds the lock and what to type`,
    async (t) => {
      const w = await world(t, version, 'secret', { config: { holdSeconds: 1, maxWaitSeconds: 1 } });
      await succeeds(t, w.helm(['install', 'api', CHART]), 'a first install');
      const { upgrade, finish } = await upgradeInFlight(w);
      const { code, stderr } = await w.helm(['rollback', 'api', '1'], 'bob').done;
      t.not(code, 0);
      t.match(
        stderr,
        /admission webhook "gate\.lockkeeper\.dev" denied the request: release prod\/api is locked by revision 2/,
      );
      t.match(stderr, /\(pending-upgrade, \d+s, alice\)\. Nothing was changed\. Yours waited for 1s/);
      t.match(stderr, /To see the lock: (kubectl get rlock|helm history) api -n prod\. /);
      await finish();
      await succeeds(t, upgrade, 'the upgrade never noticed');
      t.same(await history(w), ['1 superseded', '2 deployed']);
    },
  );

  t.test(
    `Helm ${version}: two upgrades at the same moment: one is refused in plain words (trap 2)`,
    async (t) => {
      const w = await world(t, version, 'secret');
      await succeeds(t, w.helm(['install', 'api', CHART]), 'a first install');
      const results = await raceOf(w);
      const [winner] = results.filter(({ code }) => code === 0);
      const [loser] = results.filter(({ code }) => code !== 0);
      t.ok(winner, 'one wins');
      t.match(
        loser?.stderr ?? '',
        /another deploy was first\. Yours was to be revision 2, and there is revision 2/,
      );
      t.same(await history(w), ['1 superseded', '2 deployed']);
    },
  );

  t.test(
    `Helm ${version}: a slow upgrade whose number was used, failed and pruned meanwhile is refused`,
    async (t) => {
      const w = await world(t, version, 'secret');
      await succeeds(t, w.helm(['install', 'api', CHART]), 'a first install');
      const slow = await upgradeOnItsWay(w, 'bob');

      const failing = await upgradeInFlight(w);
      await failing.fail();
      t.not((await failing.upgrade.done).code, 0, 'revision 2 fails');
      const third = await upgradeInFlight(w, ['--history-max', '2']);
      t.same(await history(w), ['1 deployed', '3 pending-upgrade'], 'revision 2 was pruned');

      slow.goOn();
      const { stderr } = await slow.upgrade.done;
      t.match(
        stderr,
        /Yours was to be revision 2, and there is revision 3 \(pending-upgrade, .*, alice\) already/,
      );
      t.same(await history(w), ['1 deployed', '3 pending-upgrade'], 'nothing was put below it');
      await third.finish();
      await succeeds(t, third.upgrade, 'the live one ends as if nobody had been there');
    },
  );

  t.test(
    `Helm ${version}: a pending revision that a rollback left behind locks nothing (trap 3)`,
    async (t) => {
      const w = await world(t, version, 'secret');
      await succeeds(t, w.helm(['install', 'api', CHART]), 'a first install');
      const { upgrade } = await upgradeInFlight(w);
      upgrade.kill('SIGKILL');
      await upgrade.done;
      // The old habit, on a cluster without a gate: a rollback right over the dead upgrade.
      await w.removeWebhook();
      await succeeds(t, w.helm(['rollback', 'api', '1']), 'the rollback repairs it');
      t.same(
        await history(w),
        ['1 superseded', '2 pending-upgrade', '3 deployed'],
        'revision 2 is pending for ever',
      );

      await w.installWebhook();
      await succeeds(t, w.helm(['upgrade', 'api', CHART]), 'an upgrade is not held');
      await succeeds(t, w.helm(['rollback', 'api', '3']), 'a rollback is not held');
      t.notOk(w.logs.messages().includes('held'));
      t.same(await history(w), [
        '1 superseded',
        '2 pending-upgrade',
        '3 superseded',
        '4 superseded',
        '5 deployed',
      ]);
    },
  );
}

/** Two upgrades that both found revision 1 before either created revision 2. */
export async function raceOf({ doorway, helm }: Pick<World, 'doorway' | 'helm'>): Promise<RunResult[]> {
  const bothAsk = Promise.withResolvers<void>();
  let creations = 0;
  const stopMeeting = doorway.stop((request) => {
    if (!createsRevision(request)) return undefined;
    creations += 1;
    if (creations === 2) bothAsk.resolve();
    return bothAsk.promise;
  });
  const args = ['upgrade', 'api', CHART, '--set', 'message=second'];
  const racers = [helm(args, 'alice'), helm(args, 'bob')];
  await bothAsk.promise;
  stopMeeting();
  return Promise.all(racers.map(({ done }) => done));
}
