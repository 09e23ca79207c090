import type { ResourceTarget } from './request-info.ts';
import type { UserInfo } from './users.ts';

/** Who writes what, and how; the same for every kind of write. */
export interface WriteRequest extends ResourceTarget {
  readonly user: UserInfo;
  /** One of the deletions of a deletecollection; the reviews of those do not say the name. */
  readonly isCollection: boolean;
  /** Who becomes the owner of the fields. */
  readonly manager: string;
  /** Nothing is stored, and webhooks are told. */
  readonly dryRun: boolean;
  /** The options that a review shows: `fieldManager`, `propagationPolicy`, … */
  readonly options: Readonly<Record<string, unknown>>;
  /** Aborted when the client hangs up. */
  readonly signal: AbortSignal;
  /** Sends a warning to the client. */
  readonly warn: (text: string) => void;
}
