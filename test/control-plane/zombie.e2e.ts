/**
 * Holders that lost their lock and are alive after all: each is frozen in a hook while its lock is cleared by force, and
 * wakes up when somebody else has deployed. What the fence keeps it from, and, as plainly, what it cannot.
 */
import t, { type Test } from 'tap';
import { type HelmDriver, lockkeeperOn, STALE_AFTER_MS } from '../e2e/world.ts';
import { type RestClient, restClient } from '../support/rest.ts';
import type { HelmVersion } from '../tools/binaries.ts';
import type { RunResult } from '../tools/run.ts';
import {
  type Crew,
  crew,
  fencedOf,
  historyOf,
  nameAt,
  type Place,
  putUpFence,
  putUpObserver,
  VERSIONS,
} from './crew.ts';

interface Story {
  readonly name: string;
  /** All that people do; `R` is the release. */
  readonly before: readonly string[];
  /** Freezes in its hook. */
  readonly zombie: string;
  /** How its lock is cleared, beside by force. */
  readonly clear: 'mark-failed' | 'delete';
  /** By somebody else, while it is frozen. */
  readonly meanwhile: string;
  /** The cluster refuses what the zombie is about to change, by then. */
  readonly obstructed?: boolean;
  readonly drivers?: readonly HelmDriver[];
  /** What the fence keeps the zombie from making deployed again. */
  readonly fenced?: readonly [revision: number, was: string];
  /** How the zombie ends: its exit code, and what it says, with the words of the fence if that says something. */
  readonly end: (version: HelmVersion, refusal: RegExp) => readonly [code: number, stderr: RegExp];
  readonly history: readonly string[];
  /** Of which deploy the release's resources are in the end. */
  readonly resources: 'zombie' | 'meanwhile';
  /** An ordinary upgrade puts it right. */
  readonly repaired?: boolean;
}

const FROZEN_UPGRADE = 'upgrade R CHART --set hooks={pre-upgrade},outcome=Never,message=zombie';
const NEW_DEPLOY = 'upgrade R CHART --set message=meanwhile';

function cannot(revision: number, was: string): RegExp {
  return new RegExp(
    `denied request: release prod/\\S+: revision ${revision} is ${was} and cannot become deployed again: whoever writes this has lost its lock, .* deploy again\\. To write it .* kubectl delete validatingadmissionpolicybinding lockkeeper-fence`,
  );
}

function toldOf(place: Place, revision: number, was: string): string {
  const release = nameAt(place, 'api');
  return `Warning on sh.helm.release.v1.${release}.v${revision}: alice was kept from making revision ${revision} of release ${release}, which is ${was}, deployed again`;
}

const isHelm4 = (version: HelmVersion) => version.startsWith('4.');

const STORIES: readonly Story[] = [
  {
    name: 'an upgrade that lost its lock cannot write its record, and says why',
    before: ['install R CHART'],
    zombie: FROZEN_UPGRADE,
    clear: 'mark-failed',
    meanwhile: NEW_DEPLOY,
    drivers: ['secret', 'configmap'],
    fenced: [2, 'failed'],
    end: (_, refusal) => [1, refusal],
    history: ['1 superseded', '2 failed', '3 deployed'],
    // A limit: what it does to the cluster comes before what it writes into its record.
    resources: 'zombie',
    repaired: true,
  },
  {
    name: 'an upgrade that lost its lock, and fails, does not make the revision below it deployed again',
    before: ['install R CHART'],
    zombie: FROZEN_UPGRADE,
    clear: 'mark-failed',
    meanwhile: NEW_DEPLOY,
    obstructed: true,
    fenced: [1, 'superseded'],
    // Helm 3 tells of the refusal only if it is asked to tell everything.
    end: (version, refusal) => [1, isHelm4(version) ? refusal : /field is immutable/],
    history: ['1 superseded', '2 failed', '3 deployed'],
    resources: 'meanwhile',
  },
  {
    name: 'a first install that lost its lock does not come back over the upgrade that repaired it',
    before: [],
    zombie: 'install R CHART --set hooks={post-install},outcome=Never,message=zombie',
    clear: 'mark-failed',
    meanwhile: NEW_DEPLOY,
    fenced: [1, 'superseded'],
    // A limit: Helm never fails an install whose record it could not write; Helm 3 does not even say so.
    end: (version, refusal) => [0, isHelm4(version) ? refusal : /^$/],
    history: ['1 superseded', '2 deployed'],
    resources: 'meanwhile',
  },
  {
    name: 'an upgrade that lost its lock does not come back over an uninstall',
    before: ['install R CHART'],
    zombie: FROZEN_UPGRADE,
    clear: 'mark-failed',
    meanwhile: 'uninstall R --keep-history',
    fenced: [2, 'uninstalled'],
    end: (_, refusal) => [1, refusal],
    history: ['1 superseded', '2 uninstalled'],
    resources: 'zombie',
  },
  {
    name: 'a rollback that lost its lock supersedes what is deployed, and nothing is then (a limit)',
    before: [
      'install R CHART --set hooks={pre-rollback},outcome=Never,message=zombie',
      'upgrade R CHART --set message=second',
    ],
    zombie: 'rollback R 1',
    clear: 'mark-failed',
    meanwhile: NEW_DEPLOY,
    fenced: [3, 'failed'],
    end: (_, refusal) => [1, refusal],
    history: ['1 superseded', '2 superseded', '3 failed', '4 superseded'],
    resources: 'zombie',
    repaired: true,
  },
  {
    name: 'an upgrade whose record was deleted overwrites the one that took its number (a limit)',
    before: ['install R CHART'],
    zombie: FROZEN_UPGRADE,
    clear: 'delete',
    meanwhile: NEW_DEPLOY,
    end: () => [0, /^$/],
    history: ['1 superseded', '2 deployed'],
    resources: 'zombie',
  },
];

interface World extends Crew {
  /** Bob's. */
  readonly rest: RestClient;
}

/** A cluster with the fence and Lockkeeper; whoever meets a live lock there is refused at once. */
async function world(t: Test): Promise<World> {
  const c = await crew(t);
  const lockkeeper = await lockkeeperOn(t, c.cluster, { config: { holdSeconds: 0, maxWaitSeconds: 0 } });
  await putUpFence(c.admin);
  await putUpObserver(c.admin, lockkeeper.front);
  return { ...c, rest: await restClient(t, lockkeeper, { username: 'bob' }) };
}

/** Runs Helm, which must not fail. */
async function works(w: World, place: Place, release: string, command: string, user?: string): Promise<void> {
  const { code, stderr } = await w.helm(place, command.replace(/\bR\b/, release), user).done;
  if (code !== 0) throw new Error(`Helm ${place.version}: ${command}: ${stderr}`);
}

/** Resolves when its hook runs, and it is frozen. */
async function freeze(w: World, place: Place, release: string, command: string) {
  const hook = w.writes.next(({ verb, object: { kind, metadata } }) => {
    return verb === 'ADDED' && kind === 'Job' && metadata.name.startsWith(release);
  });
  const running = w.helm(place, command.replace(/\bR\b/, release));
  const { object } = await hook;
  running.kill('SIGSTOP');
  return {
    async thaw(): Promise<RunResult> {
      running.kill('SIGCONT');
      await w.admin.completeJob('prod', object.metadata.name, 'Complete');
      return running.done;
    },
  };
}

/** One story of one Helm, to the end of its zombie. */
async function live(w: World, place: Place, story: Story) {
  const release = nameAt(place, 'api');
  const resources = `/api/v1/namespaces/prod/configmaps/${release}`;
  for (const command of story.before) await works(w, place, release, command);
  const zombie = await freeze(w, place, release, story.zombie);
  const { status } = await w.rest.remove(`/${release}?force=true&strategy=${story.clear}`);
  await works(w, place, release, story.meanwhile, 'bob');
  if (story.obstructed) await w.admin.patch(resources, { immutable: true });
  const { code, stderr } = await zombie.thaw();
  const { body } = await w.admin.request<{ data?: { message?: string } }>('GET', resources);
  return {
    cleared: status,
    ended: [code, stderr.trimEnd()],
    history: await historyOf(w, place, release),
    resources: body.data?.message,
    told: await fencedOf(w.admin, release, story.fenced ? 1 : 0),
  };
}

for (const story of STORIES) {
  t.test(story.name, async (t) => {
    const w = await world(t);
    const { drivers = ['secret'], fenced, end, history, resources } = story;
    const refusal = fenced ? cannot(...fenced) : /^$/;
    const places = VERSIONS.flatMap((version) => drivers.map((driver) => ({ version, driver })));
    await Promise.all(
      places.map(async (place) => {
        const { version, driver } = place;
        const { ended, ...outcome } = await live(w, place, story);
        const told = fenced ? [toldOf(place, ...fenced)] : [];
        const name = `Helm ${version}, driver ${driver}: ${story.name}`;
        t.match(ended, end(version, refusal), name);
        t.same(outcome, { cleared: 200, history, resources, told }, name);
        if (story.repaired) await works(w, place, nameAt(place, 'api'), 'upgrade R CHART --reset-values');
      }),
    );
  });
}

t.test('a rollback clears a stale lock on its way, and the fence lets both pass', async (t) => {
  const w = await world(t);
  const place = { version: '4.1.4', driver: 'secret' } as const;
  await works(w, place, 'api', 'install R CHART');
  const { thaw } = await freeze(w, place, 'api', FROZEN_UPGRADE);
  await w.cluster.letTimePass(STALE_AFTER_MS);
  await works(w, place, 'api', 'rollback R 1', 'bob');
  t.match(await thaw(), { code: 1, stderr: cannot(2, 'failed') });
  t.same(await historyOf(w, place, 'api'), ['1 superseded', '2 failed', '3 deployed']);
});
