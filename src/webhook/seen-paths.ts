/** The paths that a webhook configuration was seen to have: by these, API servers send reviews now, or did a moment ago. */

export interface SeenPaths {
  /** It has these now: one for each of our webhooks, and none if there is no configuration. Returns whether that is new. */
  note(paths: readonly string[]): boolean;
  /** For how many milliseconds it has had these very paths. */
  sinceMs(): number;
  /** Those that it has, and those that it had not long ago. */
  recent(): readonly string[];
  /** For how many milliseconds it has had no other path than this; undefined if it has another, or was never seen. */
  onlyMs(path: string): number | undefined;
}

/**
 * @param now milliseconds, never going back
 * @param keepMs how long API servers may take to hear of a change
 */
export function createSeenPaths(now: () => number, keepMs: number): SeenPaths {
  let current: { readonly paths: ReadonlySet<string>; readonly since: number } | undefined;
  const leftAt = new Map<string, number>();

  return {
    note(paths) {
      const found = new Set(paths);
      if (current && isSame(found, current.paths)) return false;
      for (const path of current?.paths ?? []) leftAt.set(path, now());
      for (const [path, at] of leftAt) if (found.has(path) || now() - at > keepMs) leftAt.delete(path);
      current = { paths: found, since: now() };
      return true;
    },
    sinceMs: () => (current ? now() - current.since : 0),
    recent: () => [
      ...(current?.paths ?? []),
      ...[...leftAt].filter(([, at]) => now() - at <= keepMs).map(([path]) => path),
    ],
    onlyMs: (path) =>
      current && [...current.paths].every((one) => one === path) ? now() - current.since : undefined,
  };
}

function isSame(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  return one.size === other.size && [...one].every((path) => other.has(path));
}
