/**
 * A pipeline's pod dies in the middle of a deploy, in random ways: the lock is cleared soon, and never one that is alive.
 * `LOCKKEEPER_RUNS=100` for more of them, `LOCKKEEPER_SEED` for those of another run, whose seed the test tells.
 */
import { setTimeout as pause } from 'node:timers/promises';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { lockkeeperOn } from '../e2e/world.ts';
import { restClient } from '../support/rest.ts';
import { until } from '../support/until.ts';
import { VERSIONS } from './crew.ts';
import {
  type Deploy,
  ENDINGS,
  type Ending,
  endPod,
  infoOf,
  PHASES,
  type Runner,
  type Runners,
  recordNameOf,
  runners,
} from './runners.ts';

const RUNS = Number(process.env.LOCKKEEPER_RUNS ?? 8);
const SEED = Number(process.env.LOCKKEEPER_SEED ?? Date.now() % 1_000_000);

/** Deploys that die at the same time. */
const AT_ONCE = 8;

const RELEASE_LOCKS = '/apis/lockkeeper.dev/v1alpha1/namespaces/prod/releaselocks';

/** From the death of a holder until its lock is cleared. */
const LIMIT_MS = 20_000;

interface Death {
  readonly deploy: Omit<Deploy, 'release' | 'revision'>;
  readonly namespace: string;
  readonly ending: Ending;
  /** Whether the pod ends before its process does, as the API server sees it. */
  readonly podFirst: boolean;
  /** For how long Helm stays at its phase. */
  readonly afterMs: number;
}

const deaths: fc.Arbitrary<Death> = fc.record({
  deploy: fc.record({
    place: fc.record({
      version: fc.constantFrom(...VERSIONS),
      driver: fc.constantFrom('secret', 'configmap'),
    }),
    command: fc.constantFrom('install', 'upgrade', 'rollback'),
    phase: fc.constantFrom(...PHASES),
  }),
  namespace: fc.constantFrom('ci', 'team-a', 'team-b'),
  ending: fc.constantFrom(...ENDINGS),
  podFirst: fc.boolean(),
  afterMs: fc.nat(2_000),
});

const WORDS: Readonly<Record<Ending, string>> = {
  deleted: 'is gone',
  // It may be seen while the second is not there yet.
  replaced: '(was replaced by another pod of that name|is gone)',
  Failed: 'has finished \\(Failed\\)',
  Succeeded: 'has finished \\(Succeeded\\)',
};

/** What a release needs before its deploy: revision 1, whose chart has the hook of the rollback to it. */
async function prepare({ helm }: Runners, { place, release, command, phase }: Deploy): Promise<void> {
  if (command === 'install') return;
  const hooks = phase === 'in its hook' ? 'hooks={pre-rollback},outcome=Never' : 'hooks=null';
  const { code, stderr } = await helm(place, `install ${release} CHART --set ${hooks}`).done;
  if (code !== 0) throw new Error(`${release} could not be prepared: ${stderr}`);
}

function toDeploy({ deploy }: Death, release: string): Deploy {
  return { ...deploy, release, revision: deploy.command === 'install' ? 1 : 2 };
}

/** Resolves with the milliseconds from the death of its holder until the lock is cleared. */
async function die(t: Test, w: Runners, death: Death, release: string): Promise<number> {
  const { namespace, ending, podFirst, afterMs } = death;
  const deploy = toDeploy(death, release);
  await prepare(w, deploy);
  const { helm } = await w.start(deploy, await w.token(namespace, release));
  await pause(afterMs);
  const name = recordNameOf(deploy);
  const cleared = w.writes
    .next(({ object: { metadata } }) => metadata.name === name && metadata.labels?.status === 'failed')
    .then(() => performance.now());
  const kill = () => {
    helm.kill('SIGKILL');
    return helm.done;
  };
  if (!podFirst) await kill();
  const diedAt = performance.now();
  await endPod(w.admin, namespace, release, ending);
  await kill();

  const took = (await Promise.race([cleared, pause(2 * LIMIT_MS, diedAt + 2 * LIMIT_MS)])) - diedAt;
  const what = `${release}: ${deploy.command} (${deploy.place.version}, ${deploy.place.driver}), ${deploy.phase}, ${ending}`;
  t.ok(took < LIMIT_MS, `${what}: cleared after ${(took / 1000).toFixed(1)} s`);
  const { status, description } = infoOf(await w.record(deploy), deploy.place.driver);
  const why = `^Cleared by lockkeeper at \\S+, was pending-${deploy.command}: its holder, pod ${namespace}/${release}, ${WORDS[ending]}$`;
  t.match({ status, description }, { status: 'failed', description: new RegExp(why) }, what);
  return took;
}

/** Deploys that are alive, however little is heard of some of them. Each waits in its hook. */
async function startLive(w: Runners, batch: number): Promise<Runner[]> {
  const { admin, cluster } = w;
  const pods = '/api/v1/namespaces/ci/pods';
  const start = async (name: string, token: string) =>
    w.start(
      {
        place: { version: '4.1.4', driver: 'secret' },
        release: `${name}-${batch}`,
        revision: 1,
        command: 'install',
        phase: 'in its hook',
      },
      token,
    );
  const [running, terminating, lost] = [`running-${batch}`, `terminating-${batch}`, `lost-${batch}`];
  const live = await Promise.all([
    start('running', await w.token('ci', running)),
    start('terminating', await w.token('ci', terminating)),
    start('lost', await w.token('ci', lost)),
    start('unbound', await w.token('ci')),
    start('person', await cluster.token({ username: 'carol' })),
  ]);
  await admin.patch(`${pods}/${running}/status`, { status: { phase: 'Running' } });
  await admin.patch(`${pods}/${lost}/status`, { status: { phase: 'Unknown' } });
  await admin.patch(`${pods}/${terminating}`, { metadata: { finalizers: ['lockkeeper.dev/test'] } });
  await admin.remove(`${pods}/${terminating}?gracePeriodSeconds=0`);
  return live;
}

/** Each ends well, and nobody has touched its record. */
async function finishLive(t: Test, w: Runners, live: readonly Runner[]): Promise<void> {
  for (const { deploy, finish, helm } of live) {
    t.equal((await w.record(deploy)).metadata.labels?.status, 'pending-install', `${deploy.release} is kept`);
    await finish();
    t.match(await helm.done, { code: 0 }, `${deploy.release} ends well`);
    t.match(infoOf(await w.record(deploy), 'secret'), {
      status: 'deployed',
      description: 'Install complete',
    });
  }
}

/** Every write that gave a record the status `failed`, by the name of the record. */
function noteFailures({ writes }: Runners): string[] {
  const failed: string[] = [];
  writes.on(({ verb, object: { metadata } }) => {
    if (verb === 'MODIFIED' && metadata.labels?.status === 'failed') failed.push(metadata.name);
  });
  return failed;
}

t.test('whoever dies is cleared away, and nobody else is', async (t) => {
  t.comment(`LOCKKEEPER_SEED=${SEED} LOCKKEEPER_RUNS=${RUNS}`);
  const w = await runners(t);
  const lockkeeper = await lockkeeperOn(t, w.cluster, { config: { holdSeconds: 0, maxWaitSeconds: 0 } });
  const rest = await restClient(t, lockkeeper, { username: 'bob' });
  const failed = noteFailures(w);
  const cases = fc.sample(deaths, { seed: SEED, numRuns: RUNS });
  const times: number[] = [];
  for (let first = 0; first < cases.length; first += AT_ONCE) {
    const live = await startLive(w, first);
    const batch = cases.slice(first, first + AT_ONCE);
    times.push(
      ...(await Promise.all(batch.map((death, index) => die(t, w, death, `dead-${first + index}`)))),
    );
    await finishLive(t, w, live);
    t.same((await rest.get('')).body, { items: [] }, 'no lock is left');
    await until(
      () => w.admin.list(RELEASE_LOCKS),
      (found) => found.length === 0,
    );
  }
  const expected = cases.map((death, index) => recordNameOf(toDeploy(death, `dead-${index}`)));
  t.same(failed.toSorted(), expected.toSorted(), 'each was cleared once, and no other');
  const sorted = times.toSorted((a, b) => a - b).map((ms) => (ms / 1000).toFixed(1));
  const median = sorted[Math.floor(sorted.length / 2)];
  t.comment(`seconds from death to clear: fastest ${sorted[0]}, median ${median}, slowest ${sorted.at(-1)}`);
});
