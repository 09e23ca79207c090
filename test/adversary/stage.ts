/** One run: releases of its own, and the clients that work on them. */
import type { Driver } from '../../src/helm/release.ts';
import { type Client, startSynthetic } from './clients.ts';
import type { Gateway } from './identities.ts';
import type { Command } from './synthetic-helm.ts';
import type { PendingRecord, World } from './world.ts';

export interface Stage {
  readonly world: World;
  readonly releases: readonly StageRelease[];
  readonly clients: Client[];
  readonly gateways: readonly Gateway[];
  /** The name of the job pod that several clients share. */
  readonly sharedPod: string;
  /** What is still going on of what was begun. */
  readonly underWay: Set<Promise<unknown>>;
  /** The pending record of each release that was seen last. */
  readonly seen: Map<string, PendingRecord>;
}

export interface StageRelease {
  readonly name: string;
  readonly driver: Driver;
}

/** Of two releases of one name only the first to be locked has a ReleaseLock; so only one name is in both drivers. */
const RELEASES = [
  { name: 'api', driver: 'secrets' },
  { name: 'web', driver: 'configmaps' },
  { name: 'db', driver: 'secrets' },
  { name: 'db', driver: 'configmaps' },
] as const;

const GATEWAYS = ['agent', 'proxy'] as const;

let runs = 0;

/** Each release has a first revision. */
export async function newStage(world: World): Promise<Stage> {
  runs += 1;
  const releases = RELEASES.map(({ name, driver }) => ({ name: `${name}-${runs}`, driver }));
  const installs = releases.map(async ({ name, driver }) => {
    const client = startSynthetic(
      { ...INSTALL, release: name, driver },
      await world.identities.person(),
      false,
    );
    client.end('deployed');
    await client.done;
  });
  await Promise.all(installs);
  const gateways = await Promise.all(GATEWAYS.map(world.identities.openGateway));
  const sharedPod = `shared-${runs}`;
  return { world, releases, clients: [], gateways, sharedPod, underWay: new Set(), seen: new Map() };
}

const INSTALL: Omit<Command, 'release' | 'driver'> = {
  verb: 'upgrade',
  historyMax: 0,
  atomic: false,
  keepHistory: false,
  isStrict: false,
};

/** What is awaited at the end of a run, and may fail there only. */
export function background(stage: Stage, doing: Promise<unknown>): true {
  stage.underWay.add(doing);
  doing.then(
    () => stage.underWay.delete(doing),
    () => {},
  );
  return true;
}

export function pick<T>(all: readonly T[], index: number): T | undefined {
  return all[index % Math.max(1, all.length)];
}
