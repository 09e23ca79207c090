/**
 * How soon the same may be applied again. Somebody else may take back what we apply as soon as they see it, such as an
 * injector of authorities or a policy: without a pace, two programs would write as fast as the API server can.
 */

export interface Pace {
  /** Milliseconds until this may be applied; 0 or less is now. */
  wait(what: string | undefined): number;
  /** This has been applied. */
  done(what: string | undefined): void;
}

/** The first time costs next to nothing: whoever upgrades the chart may take the rules away, once. */
const MIN_PAUSE_MS = 100;
const MAX_PAUSE_MS = 30_000;

/** After this time it is no longer the same quarrel. */
const CALM_MS = 60_000;

/** @param now milliseconds since some moment */
export function createPace(now: () => number): Pace {
  let last: { readonly what: string | undefined; readonly at: number; readonly pauseMs: number } | undefined;

  /** The last time, if this is the same again. */
  function quarrel(what: string | undefined) {
    return last && last.what === what && now() - last.at <= CALM_MS ? last : undefined;
  }

  return {
    wait(what) {
      const before = quarrel(what);
      return before ? before.at + before.pauseMs - now() : 0;
    },
    done(what) {
      const before = quarrel(what);
      const pauseMs = before ? Math.min(MAX_PAUSE_MS, before.pauseMs * 2) : MIN_PAUSE_MS;
      last = { what, at: now(), pauseMs };
    },
  };
}
