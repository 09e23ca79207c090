/**
 * Who counts as the holder when Helm speaks through pods: gateways, which forward for others and are replaced, and job pods that
 * several commands share. Each story is told with real Helm, on a real cluster, with the fence.
 */
import t, { type Test } from 'tap';
import { writeKubeconfig } from '../clusters/kubeconfig.ts';
import { startPassage } from '../support/passage.ts';
import { historyOf, nameAt, OLD_AND_NEW, type Place, upToHook, works } from './crew.ts';
import { type FencedCrew, fencedCrew } from './fenced-crew.ts';
import { IMPATIENT } from './live-upgrade.ts';
import { createPods, type Pods } from './pods.ts';

/** Of Lockkeeper: each call is held for a second, and the next one comes a second later. */
const BRIEF = { holdSeconds: 1, retryAfterSeconds: 1 };

const PLACES: readonly Place[] = OLD_AND_NEW.map((version) => ({ version, driver: 'secret' }));

const LIVE_UPGRADE = 'upgrade R CHART --set hooks={pre-upgrade},outcome=Never,message=second';

type World = FencedCrew & { readonly pods: Pods };

async function world(...args: Parameters<typeof fencedCrew>): Promise<World> {
  const w = await fencedCrew(...args);
  return { ...w, pods: await createPods(w) };
}

/** Each Helm at the same time, with a release of its own. */
function each(name: string, tell: (place: Place, release: string) => Promise<void>): Promise<unknown> {
  return Promise.all(PLACES.map((place) => tell(place, nameAt(place, name))));
}

/** `helm` knows the pod as a client by its name. */
async function introduce({ cluster, introduce }: World, name: string, token: string): Promise<void> {
  const { url, caCertificate, folder } = cluster;
  const user = { username: name };
  introduce(name, await writeKubeconfig(folder, { url, caCertificate, token, user, namespace: 'prod' }));
}

/** A gateway as `kubectl proxy` in a pod: what it forwards bears the token of the pod that forwards. */
async function openGateway(t: Test, w: World, name: string) {
  const { cluster, pods } = w;
  let pod = `${name}-1`;
  let token = await pods.gateway(pod);
  const { url, caCertificate } = await startPassage(t, cluster, {
    mayPass(request) {
      request.headers.authorization = `Bearer ${token}`;
      return true;
    },
  });
  const user = { username: name };
  const behind = { url, caCertificate, token: 'of-the-gateway', user, namespace: 'prod' };
  w.introduce(name, await writeKubeconfig(cluster.folder, behind));
  return {
    /** As in a rollout: the next pod is there before this one goes. */
    async replace() {
      const [before, next] = [pod, `${name}-2`];
      token = await pods.gateway(next);
      pod = next;
      await pods.remove(before);
    },
  };
}

/** Resolves when Lockkeeper has taken the holder of a lock for dead, and cleared it: a job pod that died at this moment. */
async function witnessOfDeath(w: World, place: Place) {
  const { pods, lockkeeper } = w;
  await introduce(w, 'witness', await pods.job('witness'));
  await works(w, place, 'witness', 'install R CHART');
  const { running } = await upToHook(w, place, 'witness', LIVE_UPGRADE, 'witness');
  return async () => {
    running.kill('SIGKILL');
    await running.done;
    const cleared = lockkeeper.logs.line('cleared', ({ release }) => release === 'witness');
    await pods.remove('witness');
    await cleared;
  };
}

const ENDED_WELL = { code: 0 };

t.test('a gateway is replaced while it forwards an upgrade', async (t) => {
  const w = await world(t, BRIEF);
  const gateway = await openGateway(t, w, 'gateway');
  const [first] = PLACES as [Place];
  const die = await witnessOfDeath(w, first);
  const stories = await Promise.all(
    PLACES.map(async (place) => {
      const release = nameAt(place, 'api');
      await works(w, place, release, 'install R CHART');
      const { running, finish } = await upToHook(w, place, release, LIVE_UPGRADE, 'gateway');
      const held = w.lockkeeper.logs.line('held', (line) => line.release === release);
      const rollback = w.helm(place, `rollback ${release} 1`, 'bob');
      await held;
      return { place, release, running, finish, rollback };
    }),
  );
  await gateway.replace();
  await die();
  await Promise.all(
    stories.map(async ({ place, release, running, finish, rollback }) => {
      const during = await historyOf(w, place, release);
      await finish();
      t.match(
        {
          during,
          upgrade: await running.done,
          rollback: await rollback.done,
          after: await historyOf(w, place, release),
        },
        {
          during: ['1 deployed', '2 pending-upgrade'],
          upgrade: ENDED_WELL,
          rollback: ENDED_WELL,
          after: ['1 superseded', '2 superseded', '3 deployed'],
        },
        `Helm ${place.version}, driver ${place.driver}: an upgrade through a gateway that is replaced half-way ends as if nothing had happened`,
      );
    }),
  );
});

t.test('two people behind one gateway', async (t) => {
  const w = await world(t, IMPATIENT);
  await openGateway(t, w, 'gateway');
  await each('api', async (place, release) => {
    await works(w, place, release, 'install R CHART');
    const { running, finish } = await upToHook(w, place, release, LIVE_UPGRADE, 'gateway');
    const rollback = await w.helm(place, `rollback ${release} 1`, 'gateway').done;
    const during = await historyOf(w, place, release);
    await finish();
    t.match(
      { rollback, during, upgrade: await running.done, after: await historyOf(w, place, release) },
      {
        rollback: { code: 1, stderr: new RegExp(`release prod/${release} is locked by revision 2`) },
        during: ['1 deployed', '2 pending-upgrade'],
        upgrade: ENDED_WELL,
        after: ['1 superseded', '2 deployed'],
      },
      `Helm ${place.version}, driver ${place.driver}: a rollback through the gateway of a live upgrade waits like any other`,
    );
  });
});

t.test('a job pod whose Helm was killed, beside other pods of its service account', async (t) => {
  const w = await world(t, IMPATIENT);
  for (const name of ['mine', 'other']) await introduce(w, name, await w.pods.job(name));
  await each('api', async (place, release) => {
    await works(w, place, release, 'install R CHART', 'mine');
    const { running } = await upToHook(w, place, release, LIVE_UPGRADE, 'mine');
    running.kill('SIGKILL');
    await running.done;
    const other = await w.helm(place, `rollback ${release} 1`, 'other').done;
    const during = await historyOf(w, place, release);
    t.match(
      { other, during, mine: await w.helm(place, `rollback ${release} 1`, 'mine').done },
      {
        other: { code: 1, stderr: new RegExp(`release prod/${release} is locked by revision 2`) },
        during: ['1 deployed', '2 pending-upgrade'],
        mine: ENDED_WELL,
      },
      `Helm ${place.version}, driver ${place.driver}: a job pod rolls back what its own Helm left behind, and no other pod does`,
    );
    t.match(await historyOf(w, place, release), ['1 superseded', /^2 /, '3 deployed']);
  });
});

const ATOMIC = { install: [], upgrade: ['1 superseded', '2 failed', '3 deployed'] } as const;

const BY = { alice: 'a person', job: 'a job pod', gateway: 'a gateway' } as const;

t.test('a deploy that fails and takes itself back', async (t) => {
  const w = await world(t, IMPATIENT);
  await introduce(w, 'job', await w.pods.job('job'));
  await openGateway(t, w, 'gateway');
  for (const client of ['alice', 'job', 'gateway'] as const) {
    for (const [command, history] of Object.entries(ATOMIC)) {
      await each(`${command}-${client}`, async (place, release) => {
        if (command === 'upgrade') await works(w, place, release, 'install R CHART', client);
        const option = place.version.startsWith('4.') ? '--rollback-on-failure' : '--atomic';
        const deploy = `${command} R CHART --set hooks={post-${command}},outcome=Never ${option}`;
        const { running, finish } = await upToHook(w, place, release, deploy, client);
        await finish('Failed');
        const { code, stderr } = await running.done;
        t.match(
          { code, stderr, after: await historyOf(w, place, release) },
          { code: 1, stderr: /has been (uninstalled|rolled back) due to/, after: history },
          `Helm ${place.version}, driver ${place.driver}: an atomic ${command} by ${BY[client]} that fails takes itself back, and meets no lock`,
        );
      });
    }
  }
});
