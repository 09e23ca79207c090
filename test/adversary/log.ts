/**
 * What the checker knows: the lines of the API server's audit log that tell of one namespace, whose writes are logged whole
 * (audit-policy.json). What the adversary does to the world outside the API server, it announces there as well, in a
 * ConfigMap: a later reader of the log needs nothing else.
 */
import type { AuditEvent } from '../control-plane/audit.ts';

/** The only one whose writes are logged whole. */
export const NAMESPACE = 'adversary';

/** The ConfigMap of the announcements. */
export const TOLD = 'told';

export const RESOURCES = ['secrets', 'configmaps', 'pods', 'releaselocks'] as const;

/** What the adversary says of itself. */
export type Told =
  /** From here on, all that is stored is so much older. Told before it is done, and again when it is done. */
  | { readonly what: 'time'; readonly ms: number; readonly state: 'begins' | 'ends' }
  /** Somebody who has the right wants this record's lock ended, whether it is live or not. */
  | { readonly what: 'force'; readonly uid: string }
  /** Lockkeeper may be out of reach, or unable to read the cluster. */
  | { readonly what: 'fault'; readonly state: 'begins' | 'ends' }
  /** A pod that was deleted is there again, with its uid, as after a restore of etcd. Told when it is. */
  | { readonly what: 'pod returned'; readonly uid: string }
  /** All replicas are up, nobody disturbs them any more, and no client is left that could end its lock. */
  | { readonly what: 'calm' }
  /** Every lock should have ended by now. */
  | { readonly what: 'end' };

/** The client that a ReleaseLock names. */
export interface LoggedHolder {
  readonly user?: string;
  readonly pod?: { readonly uid?: string };
  readonly podKind?: string;
}

/** As far as rules look into it. */
export interface LoggedObject {
  readonly metadata?: {
    readonly name?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly { readonly kind?: string }[];
  };
  readonly data?: Readonly<Record<string, string>>;
  /** Of a ReleaseLock. */
  readonly spec?: { readonly recordUID?: string; readonly holder?: LoggedHolder };
  /** Of a Status. */
  readonly message?: string;
  readonly details?: { readonly uid?: string };
}

/** One request that changed something, or was refused. */
export interface Entry {
  readonly verb: string;
  readonly resource: string;
  readonly name: string;
  readonly user: string;
  /** Of the pod that the user's token is bound to. */
  readonly podUid: string | undefined;
  readonly code: number;
  /** Of a refusal. */
  readonly message: string;
  /** The webhooks that the API server could not ask, and passed over. */
  readonly failedOpen: readonly string[];
  /** Milliseconds since 1970: what was asked for happened between these two, if it did. */
  readonly askedAt: number;
  readonly answeredAt: number;
  readonly asked: LoggedObject | undefined;
  readonly answer: LoggedObject | undefined;
}

interface LoggedEvent extends AuditEvent {
  readonly stageTimestamp: string;
  readonly requestObject?: LoggedObject;
  readonly responseObject?: LoggedObject;
  readonly user: AuditEvent['user'] & { readonly extra?: Readonly<Record<string, readonly string[]>> };
}

const POD_UID = 'authentication.kubernetes.io/pod-uid';

/** How an API server notes in an audit event that it could not ask a webhook whose failurePolicy is Ignore. */
const FAILED_OPEN = 'failed-open.validating.webhook.admission.k8s.io/';

const MARK = `"namespace":"${NAMESPACE}"`;

/** Undefined for a line that no rule is about. */
export function readEntry(line: string): Entry | undefined {
  if (!line.includes(MARK)) return undefined;
  const event = JSON.parse(line) as LoggedEvent;
  const { objectRef, verb, user, requestURI, requestObject, responseObject } = event;
  const isAbout = RESOURCES.some((resource) => resource === objectRef?.resource) && !objectRef?.subresource;
  const isDone = event.stage === 'ResponseComplete' && !requestURI.includes('dryRun=');
  if (!isAbout || !isDone || !['create', 'update', 'patch', 'delete'].includes(verb)) return undefined;
  return {
    verb,
    resource: objectRef?.resource ?? '',
    name: objectRef?.name ?? requestObject?.metadata?.name ?? '',
    user: user.username,
    podUid: user.extra?.[POD_UID]?.[0],
    code: event.responseStatus?.code ?? 0,
    message: responseObject?.message ?? '',
    failedOpen: failedOpenIn(event.annotations),
    askedAt: Date.parse(event.requestReceivedTimestamp),
    answeredAt: Date.parse(event.stageTimestamp),
    asked: requestObject,
    answer: responseObject,
  };
}

function failedOpenIn(annotations: LoggedEvent['annotations'] = {}): string[] {
  const all = Object.entries(annotations);
  return all.flatMap(([key, webhook]) => (key.startsWith(FAILED_OPEN) ? [webhook] : []));
}

/** The announcement that an entry is, if it is one. */
export function toldBy({ resource, name, code, answer }: Entry): Told | undefined {
  if (resource !== 'configmaps' || name !== TOLD || code >= 300) return undefined;
  const { told } = answer?.data ?? {};
  return told === undefined ? undefined : (JSON.parse(told) as Told);
}
