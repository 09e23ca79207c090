/** Whether a client is the one that holds a lock, as far as the API server's word goes. */
import type { Client, Holder } from './lock.ts';

/**
 * How a client relates to the holder of a lock.
 *
 * - `same-job-pod`: the same user in the same pod, and that pod runs one job.
 * - `same-client`: the same user. The holder has no pod, or a gateway pod, whose next pod may carry on.
 * - `another-client`: anybody else.
 * - `unknown-holder`: nobody knows who holds the lock, so the client may be its holder.
 */
export const RELATIONS = ['same-job-pod', 'same-client', 'another-client', 'unknown-holder'] as const;
export type Relation = (typeof RELATIONS)[number];

/** Whether the client is known to hold the lock. */
export function isHolder(relation: Relation): boolean {
  return relation === 'same-job-pod' || relation === 'same-client';
}

export function relationOf(client: Client, holder: Holder | undefined): Relation {
  if (holder === undefined) return 'unknown-holder';
  if (!isSameUser(client, holder)) return 'another-client';
  if (holder.pod === undefined || holder.podKind !== 'job') return 'same-client';
  return client.pod?.uid === holder.pod.uid ? 'same-job-pod' : 'another-client';
}

/** A user name of EKS may name a session of a role, which differs from job to job; the role's own ARN does not. */
function isSameUser(one: Client, other: Client): boolean {
  const sharesRole = one.canonicalArn !== undefined && one.canonicalArn === other.canonicalArn;
  return one.user === other.user || sharesRole;
}
