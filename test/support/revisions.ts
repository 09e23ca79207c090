/** Revisions for tests of what is decided on them. */
import type { Revision } from '../../src/helm/release.ts';

export type RevisionOptions = Partial<Omit<Revision, 'number' | 'status'>>;

/** Of `prod/api` in a Secret, unless said otherwise; last written when it was created. */
export function revision(
  number: number,
  status: string,
  { createdAt = 0, ...options }: RevisionOptions = {},
): Revision {
  return {
    release: { driver: 'secrets', namespace: 'prod', name: 'api' },
    number,
    status,
    uid: `uid-of-${number}`,
    resourceVersion: String(number),
    createdAt,
    lastWriteAt: createdAt,
    ...options,
  };
}

/** Nobody whom a registry tells anything. */
export const DEAF = { onAppeared: () => {}, onChange: () => {} };
