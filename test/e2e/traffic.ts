/** Deploys without an end, of releases that nobody else deploys: whatever goes wrong beside them, none may fail. */
import { createEvents } from '../clusters/embedded/events.ts';
import type { RunResult } from '../tools/run.ts';
import { CHART, type People } from './world.ts';

export interface Traffic {
  /** Resolves when so many deploys have begun and ended since. */
  more(count: number): Promise<void>;
  /** Begins no new ones until `resume`. Resolves when none is under way. */
  pause(): Promise<unknown>;
  resume(): void;
  /** Begins no new ones. Resolves to the results of all. */
  end(): Promise<readonly RunResult[]>;
}

/** One deploy at a time of each release. */
export function startTraffic({ helm }: Pick<People, 'helm'>, releases: readonly string[]): Traffic {
  const results: RunResult[] = [];
  const ends = createEvents<number>();
  let going = true;
  let workers = releases.map(keepDeploying);

  async function keepDeploying(release: string): Promise<void> {
    while (going) {
      const message = `message=deploy ${results.length}`;
      results.push(await helm(['upgrade', '--install', release, CHART, '--set', message]).done);
      ends.publish(results.length);
    }
  }

  function pause() {
    going = false;
    return Promise.all(workers);
  }

  return {
    async more(count) {
      // Those that are under way have begun before.
      const enough = results.length + releases.length + count;
      await ends.next((ended) => ended >= enough);
    },
    pause,
    resume() {
      going = true;
      workers = releases.map(keepDeploying);
    },
    async end() {
      await pause();
      return results;
    },
  };
}
