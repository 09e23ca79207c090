/** How much one of many may have of something at once. */
export interface Quota {
  /** Takes one; undefined if that would be too many. Call what is returned, once, to give it back. */
  take(who: string): (() => void) | undefined;
}

export function createQuota(max: number): Quota {
  const taken = new Map<string, number>();

  function change(who: string, by: number): void {
    const count = (taken.get(who) ?? 0) + by;
    if (count === 0) taken.delete(who);
    else taken.set(who, count);
  }

  return {
    take(who) {
      if ((taken.get(who) ?? 0) >= max) return undefined;
      change(who, 1);
      return () => change(who, -1);
    },
  };
}
