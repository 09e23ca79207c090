/**
 * Two replicas behind one address share nothing but the API server. What no restart may do is make a Helm command fail that
 * nobody contends with; what is lost with a replica that is killed is told as well.
 */
import { request } from 'node:https';
import t, { type Test } from 'tap';
import { startCluster } from '../clusters/start.ts';
import { type Balancer, type BalancerOptions, startBalancer } from '../support/balancer.ts';
import { type Replica, startReplica } from '../support/replica.ts';
import { serving } from '../support/serving.ts';
import { startTraffic } from './traffic.ts';
import { askThrough } from './webhook.ts';
import { CHART, history, type People, peopleOn, succeeds, upgradeInFlight } from './world.ts';

/** Whoever is sent away when a replica goes away comes back a second after this drain. */
const ENVIRONMENT = { LOCKKEEPER_DRAIN_SECONDS: '5', LOCKKEEPER_RETRY_AFTER_SECONDS: '5' };

interface World extends People {
  readonly balancer: Balancer;
  /** Starts replicas; nobody is sent there yet. */
  start(count: number): Promise<readonly Replica[]>;
}

async function world(t: Test, options?: BalancerOptions): Promise<World> {
  const cluster = await startCluster(t);
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  const balancer = await startBalancer(t, options);
  return {
    ...(await peopleOn(t, cluster, '4.1.4')),
    balancer,
    start: (count) => Promise.all(Array.from({ length: count }, () => startReplica(t, cluster, ENVIRONMENT))),
  };
}

/** A release whose upgrade runs, and whose rollback waits for it. */
async function contended(t: Test, w: World, release: string, replicas: readonly Replica[]) {
  await succeeds(t, w.helm(['install', release, CHART]), `a first install of ${release}`);
  const { upgrade, finish } = await upgradeInFlight(w, [], release);
  const held = Promise.race(
    replicas.map(async (replica) => {
      await replica.logs.nextLine('held', (line) => line.release === release);
      return replica;
    }),
  );
  const rollback = w.helm(['rollback', release, '1'], 'bob');
  return {
    rollback,
    /** The replica where it waits. */
    holder: await held,
    async end() {
      await finish();
      await succeeds(t, upgrade, `the upgrade of ${release} ends as if nobody had been there`);
    },
  };
}

/** Asks over new connections until the replica got one of them. Throws when one is not answered. */
async function meet({ balancer }: World, { port }: Replica): Promise<void> {
  const before = balancer.handed(port);
  while (balancer.handed(port) === before) {
    await new Promise((resolve, reject) => {
      const { url } = balancer;
      request(`${url}/livez`, { agent: false, ca: serving.caCertificate }, (answer) =>
        answer.resume().on('end', resolve),
      )
        .on('error', reject)
        .end();
    });
  }
}

t.test('both replicas are replaced, one after the other, while people deploy: nobody notices', async (t) => {
  // A node hears of a replica that goes away only when that one has been sent another connection.
  const met = new Map<number, Promise<void>>();
  const w = await world(t, { heard: async (port, ready) => ready || met.get(port) });
  const [one, two, ...fresh] = await w.start(4);
  const old = [one, two] as Replica[];
  for (const { port } of old) await w.balancer.add(port);
  await askThrough(w.admin, w.balancer);
  const waiting = [await contended(t, w, 'api', old), await contended(t, w, 'web', old)];
  const traffic = startTraffic(w, ['one', 'two']);

  const first = waiting[0]?.holder;
  const order = old.toSorted((a, b) => Number(b === first) - Number(a === first));
  for (const [index, replica] of order.entries()) {
    await w.balancer.add(fresh[index]?.port ?? 0);
    await traffic.more(2);
    const meeting = Promise.withResolvers<void>();
    met.set(replica.port, meeting.promise);
    replica.kill('SIGTERM');
    await replica.logs.line('not ready any more, still answering');
    await meet(w, replica);
    meeting.resolve();
    await w.balancer.forgets(replica.port);
    await traffic.more(2);
    // All the time that it needs has passed.
    replica.kill('SIGTERM');
    t.equal(await replica.ended, 0, 'a replica ends');
  }
  const deploys = await traffic.end();
  t.same(
    deploys.filter(({ code }) => code !== 0),
    [],
    `none of ${deploys.length} deploys failed`,
  );
  for (const { end } of waiting) await end();
  for (const { rollback } of waiting) await succeeds(t, rollback, 'a rollback that waited goes through');
  for (const release of ['api', 'web']) {
    t.same(await history(w, release), ['1 superseded', '2 superseded', '3 deployed']);
  }
});

t.test('a replica is killed: only what it held is lost, and nothing was changed', async (t) => {
  const w = await world(t, { dead: 'next' });
  const replicas = await w.start(2);
  for (const { port } of replicas) await w.balancer.add(port);
  await askThrough(w.admin, w.balancer);
  const traffic = startTraffic(w, ['one', 'two']);
  await traffic.more(2);
  // A call that is under way there is lost as the one that is held is, so that one is to be the only one.
  await traffic.pause();
  const { rollback, holder, end } = await contended(t, w, 'api', replicas);
  holder.kill('SIGKILL');
  w.balancer.cut(holder.port);
  traffic.resume();
  await traffic.more(4);
  const deploys = await traffic.end();
  t.same(
    deploys.filter(({ code }) => code !== 0),
    [],
    `none of ${deploys.length} deploys that nobody contended with failed`,
  );

  const { code, stderr } = await rollback.done;
  t.comment(stderr);
  t.equal(code, 1, 'who waited there is told so');
  t.match(stderr, /failed calling webhook "gate\.lockkeeper\.dev": failed to call webhook: Post .*: EOF/);
  t.same(await history(w), ['1 deployed', '2 pending-upgrade'], 'nothing was changed');

  const survivor = replicas.find((replica) => replica !== holder);
  const held = survivor?.logs.nextLine('held');
  const again = w.helm(['rollback', 'api', '1'], 'bob');
  t.match(await held, { lock: { revision: 2 } }, 'the lock holds at the other one');
  await end();
  await succeeds(t, again, 'and whoever tries again goes through');
  t.same(await history(w), ['1 superseded', '2 superseded', '3 deployed']);
});
