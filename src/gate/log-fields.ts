import type { Deploy } from './decision.ts';
import type { Lock } from './lock.ts';
import { who } from './words.ts';

/** The fields of a log line about a deploy: names and numbers only, never the payload. */
export function describe({ release, revision, status, client, dryRun }: Deploy): object {
  return {
    namespace: release.namespace,
    release: release.name,
    driver: release.driver,
    revision,
    status,
    client: who(client),
    ...(dryRun && { dryRun }),
  };
}

export function describeLock({ revision, holder }: Lock): object {
  return { lock: { revision: revision.number, status: revision.status, holder: who(holder) } };
}
