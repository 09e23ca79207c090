/**
 * Tells of what the fence refuses. The fence is the API server's own and tells nobody; but API servers ask mutating
 * webhooks before it, and this one about nothing but what the fence is about to refuse. It changes nothing, and nothing
 * depends on its answer.
 */
import type { Driver } from '../helm/release.ts';
import type { Review, Verdict } from './admission-review.ts';
import { isFenced, screenOverwrite } from './decision.ts';
import type { Call } from './hold.ts';
import type { Reader } from './ports.ts';
import { type Chapter, keptOut } from './story.ts';

export interface FenceObserver {
  /** Allows whatever it is. @throws if the cluster cannot be read, or the caller hung up */
  review(review: Review, call: Call): Promise<Verdict>;
}

export interface FenceObserverOptions {
  readonly drivers: readonly Driver[];
  readonly reader: Pick<Reader, 'at'>;
  /** Told of what is worth an Event; never of a dry run. */
  readonly onStory: (chapter: Chapter) => void;
}

export function createFenceObserver({ drivers, reader, onStory }: FenceObserverOptions): FenceObserver {
  return {
    async review(review, { signal }) {
      const overwrite = screenOverwrite(review, drivers);
      if (overwrite !== undefined && !review.dryRun) {
        const { release, revision, becomes, client } = overwrite;
        // A review can be forged; what is stored cannot.
        const stored = await reader.at(release, revision, signal);
        if (stored && isFenced(stored.status, becomes)) onStory(keptOut(stored, becomes, client));
      }
      return { allowed: true, warnings: [] };
    },
  };
}
