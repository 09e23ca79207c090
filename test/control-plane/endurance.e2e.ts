/**
 * Deploys by real Helm, one after the other in each release, while replicas are killed and replaced, gateways are replaced, and
 * ReleaseLocks are deleted: none fails. `LOCKKEEPER_RUNS=1000` for more of them, `LOCKKEEPER_SEED` for those of another run, whose
 * seed the test tells.
 */
import { setTimeout as pause } from 'node:timers/promises';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { type Gateway, JOB_OWNERS, type JobOwner, removePod } from '../adversary/identities.ts';
import { NAMESPACE } from '../adversary/log.ts';
import { pendingRecords, startWorld, type World } from '../adversary/world.ts';
import { writeKubeconfig } from '../clusters/kubeconfig.ts';
import { watchWrites } from '../clusters/writes.ts';
import { LOCKKEEPER } from '../support/lockkeeper.ts';
import { startPassage } from '../support/passage.ts';
import { helmBinary } from '../tools/binaries.ts';
import { helmEnvironment, type RunResult, startHelm } from '../tools/run.ts';
import { OLD_AND_NEW, type Place } from './crew.ts';

/** The CI tries few, since each costs half a second of a core. */
const RUNS = Number(process.env.LOCKKEEPER_RUNS ?? 36);
const SEED = Number(process.env.LOCKKEEPER_SEED ?? Date.now() % 1_000_000);

/** Releases that are deployed side by side. */
const LANES = 6;

const CHART = new URL('chart', import.meta.url).pathname;
const ENTRIES = `/apis/lockkeeper.dev/v1alpha1/namespaces/${NAMESPACE}/releaselocks`;

/** A replica that is killed takes the reviews with it that it has not answered. Helm has stored nothing of its deploy yet. */
const CUT_AT_CREATION = /failed calling webhook "gate\.lockkeeper\.dev"/;

interface Deploy {
  readonly verb: 'upgrade' | 'rollback' | 'uninstall';
  readonly who: 'person' | 'gateway' | JobOwner;
  readonly version: Place['version'];
  /** For how long its hook runs: in the middle of a deploy something befalls it. */
  readonly hookMs: number;
}

const deploys: fc.Arbitrary<Deploy> = fc.record({
  verb: fc.constantFrom('upgrade', 'upgrade', 'upgrade', 'rollback', 'uninstall'),
  who: fc.constantFrom('person', 'gateway', 'gateway', ...JOB_OWNERS),
  version: fc.constantFrom(...OLD_AND_NEW),
  hookMs: fc.integer({ min: 0, max: 1_500 }),
});

const TROUBLES = ['kill', 'replace', 'gateway', 'entries'] as const;
type Trouble = (typeof TROUBLES)[number];

interface Scene {
  readonly world: World;
  readonly gateway: Gateway;
  /** What goes through the gateway. */
  readonly passage: { readonly url: string; readonly caCertificate: string };
  /** Of each release, how long its next hook runs. */
  readonly hooks: Map<string, number>;
  /** What befell Lockkeeper, and how often. */
  readonly befell: Map<Trouble, number>;
}

async function setScene(t: Test): Promise<Scene> {
  const world = await startWorld(t, { replicas: 3, modules: [], without: [] });
  const gateway = await world.identities.openGateway('agent');
  const passage = await startPassage(t, world.cluster, {
    mayPass(request) {
      const behind = gateway.identity();
      request.headers.authorization = `Bearer ${behind.token}`;
      behind.close();
      return true;
    },
  });
  const hooks = new Map<string, number>();
  const writes = await watchWrites(world.admin);
  t.teardown(() => writes.stop());
  writes.on(({ verb, object: { kind, metadata } }) => {
    if (verb !== 'ADDED' || kind !== 'Job' || metadata.namespace !== NAMESPACE) return;
    const ms = hooks.get(metadata.name.replace(/-pre-\w+$/, '')) ?? 0;
    setTimeout(() => void world.admin.completeJob(NAMESPACE, metadata.name, 'Complete'), ms);
  });
  return { world, gateway, passage, hooks, befell: new Map() };
}

/** Runs one deploy, in a pod of its own if it runs in one. */
async function run(scene: Scene, release: string, deploy: Deploy, name: string): Promise<RunResult> {
  const { world, passage, hooks } = scene;
  const { cluster, identities, admin } = world;
  const { verb, who, version, hookMs } = deploy;
  hooks.set(release, hookMs);
  const isInPod = who !== 'person' && who !== 'gateway';
  const identity = isInPod ? await identities.inJobPod(name, who) : await identities.person();
  const { url, caCertificate } = who === 'gateway' ? passage : cluster;
  const user = { username: identity.username };
  const kubeconfig = await writeKubeconfig(cluster.folder, {
    url,
    caCertificate,
    token: identity.token,
    user,
    namespace: NAMESPACE,
  });
  const env = helmEnvironment({ folder: cluster.folder, kubeconfig, driver: 'secret' });
  const { helm } = await helmBinary(version);
  try {
    return await startHelm(helm, argumentsOf(verb, release, name), { env }).done;
  } finally {
    identity.close();
    if (isInPod) await removePod(admin, name);
  }
}

function argumentsOf(verb: Deploy['verb'], release: string, message: string): string[] {
  if (verb === 'uninstall') return ['uninstall', release];
  const limit = ['--history-max', '5'];
  if (verb === 'rollback') return ['rollback', release, ...limit];
  const hooks = 'hooks={pre-install,pre-upgrade,pre-rollback},outcome=Never';
  return ['upgrade', '--install', release, CHART, '--set', `${hooks},message=${message}`, ...limit];
}

/** Each again and again, until all have deployed, with a rest in between: in milliseconds. */
function troubles({ world, gateway, befell }: Scene, over: AbortSignal): Promise<unknown> {
  const { replicas, admin } = world;
  const inTurn = [...replicas.places];
  const happened = (kind: Trouble) => void befell.set(kind, (befell.get(kind) ?? 0) + 1);

  /** Any but the last one that is up: those who deploy can be answered. */
  async function end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const [place, another] = inTurn.filter(({ replica }) => replica !== undefined);
    if (place === undefined || another === undefined) return;
    inTurn.push(...inTurn.splice(inTurn.indexOf(place), 1));
    happened(signal === 'SIGKILL' ? 'kill' : 'replace');
    const { replica } = place;
    place.replica = undefined;
    replica?.kill(signal);
    if (signal === 'SIGKILL') replicas.balancer.cut(place.port);
    await replica?.ended;
    await replicas.revive(place, 0, 0);
  }

  async function deleteEntries(): Promise<void> {
    const keeper = await world.cluster.client(LOCKKEEPER);
    for (const { metadata } of await admin.list(ENTRIES)) {
      const { code } = await keeper.request('DELETE', `${ENTRIES}/${metadata.name}`);
      if (code === 200) happened('entries');
    }
    keeper.close();
  }

  async function repeat(restMs: number, befall: () => Promise<unknown>): Promise<void> {
    while (!over.aborted) {
      await befall();
      await pause(restMs, undefined, { signal: over }).catch(() => {});
    }
  }

  return Promise.all([
    repeat(2_000, () => end('SIGKILL')),
    repeat(2_000, () => end('SIGTERM')),
    repeat(1_000, () => gateway.replace().then(() => happened('gateway'))),
    repeat(200, deleteEntries),
  ]);
}

t.test('no deploy fails, whatever befalls Lockkeeper and the gateways', async (t) => {
  t.setTimeout(0);
  t.comment(`LOCKKEEPER_SEED=${SEED} LOCKKEEPER_RUNS=${RUNS}`);
  const scene = await setScene(t);
  const { world, befell } = scene;
  const over = new AbortController();
  const troubled = troubles(scene, over.signal);
  const cases = fc.sample(deploys, { seed: SEED, numRuns: RUNS });
  const kills = () => befell.get('kill') ?? 0;
  let cut = 0;

  /** Whether it ended well; it may be cut off by a kill while it runs, before anything of it is stored. */
  async function endsWell(release: string, deploy: Deploy, index: number): Promise<boolean> {
    const what = `${index}: ${deploy.verb} of ${release} by ${deploy.who}, Helm ${deploy.version}`;
    const before = kills();
    // The kernel may take connections for a process that is killed, until it is gone.
    const isOneAway = world.replicas.places.some(({ replica }) => replica === undefined);
    const result = await run(scene, release, deploy, `deploy-${index}`);
    const isCut = CUT_AT_CREATION.test(result.stderr) && (isOneAway || kills() > before);
    if (isCut) cut += 1;
    else
      t.same(
        { code: result.code, said: result.code === 0 ? '' : result.stderr },
        { code: 0, said: '' },
        what,
      );
    t.same(await pendingRecords(world.admin, release), [], `${what}: nothing is left pending`);
    return result.code === 0;
  }

  async function lane(number: number): Promise<void> {
    const release = `api-${number}`;
    let stored = 0;
    for (const [index, drawn] of [...cases.entries()].filter(([index]) => index % LANES === number)) {
      // A rollback needs a revision before the last one, and what is not there cannot be uninstalled.
      const verb = stored < 2 ? 'upgrade' : drawn.verb;
      if (await endsWell(release, { ...drawn, verb }, index)) stored = verb === 'uninstall' ? 0 : stored + 1;
    }
  }

  await Promise.all(Array.from({ length: LANES }, (_, number) => lane(number)));
  over.abort();
  await troubled;
  t.comment(
    `${[...befell].map(([kind, times]) => `${times} × ${kind}`).join(', ')}; cut at creation: ${cut}`,
  );
  for (const kind of TROUBLES) t.ok(befell.get(kind), `${kind}: it happened`);
});
