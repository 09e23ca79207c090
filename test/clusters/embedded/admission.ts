/**
 * Validating admission webhooks, as the real API server calls them: all that match, in parallel, before
 * the object is stored.
 * @see https://github.com/kubernetes/apiserver/blob/master/pkg/admission/plugin/webhook/validating/dispatcher.go
 */
import { randomUUID } from 'node:crypto';
import type { StoredObject } from '../kubernetes-object.ts';
import { ApiError, badRequest, internalError, type Status, type StatusDetails } from './status.ts';
import type { Store } from './store.ts';
import type { WebhookCaller } from './webhook-call.ts';
import {
  type Attributes,
  isConcerned,
  type Operation,
  usersLeftOut,
  type Webhook,
} from './webhook-matching.ts';

const CONFIGURATIONS = 'admissionregistration.k8s.io/validatingwebhookconfigurations';

/** A call that a webhook is about to receive. Times are `performance.now()`. */
export interface AdmissionCall {
  readonly phase: 'called';
  readonly at: number;
  /** The name of the webhook, and of the configuration that it is in. */
  readonly webhook: string;
  readonly configuration: string;
  readonly namespace: string;
  /** Of the object. The review itself has no name in a deletecollection. */
  readonly name: string;
  readonly operation: Operation;
  /** The uid of the review. */
  readonly uid: string;
  readonly user: string;
  readonly dryRun: boolean;
}

/** The answer to a call. */
export interface AdmissionAnswer extends Omit<AdmissionCall, 'phase'> {
  readonly phase: 'answered';
  readonly answeredAt: number;
  readonly allowed: boolean;
  readonly code?: number;
  readonly message?: string;
  readonly retryAfterSeconds?: number;
  readonly warnings: readonly string[];
  /** Why there is no valid answer; `failurePolicy` then decided. */
  readonly failed?: string;
}

export type AdmissionEvent = AdmissionCall | AdmissionAnswer;

export interface Admission {
  /**
   * Returns the warnings for the client when every webhook allows.
   * @throws ApiError when one does not, or cannot be called; the warnings are then in `warn` alone
   */
  review(attributes: Attributes, signal: AbortSignal, warn: (text: string) => void): Promise<void>;
}

export interface AdmissionDependencies {
  readonly store: Store;
  readonly caller: WebhookCaller;
  readonly publish: (event: AdmissionEvent) => void;
  readonly log: (message: string) => void;
}

interface Response {
  readonly uid: string;
  readonly allowed: boolean;
  readonly status?: Partial<Omit<Status, 'details'>> & { readonly details?: StatusDetails };
  readonly warnings?: readonly string[];
  readonly patch?: string;
}

export function createAdmission({ store, caller, publish, log }: AdmissionDependencies): Admission {
  const mentioned = new Set<string>();

  function concerned(attributes: Attributes): { configuration: string; webhook: Webhook }[] {
    // As the real server: nobody must be able to lock everybody out of removing a webhook.
    if (attributes.resource.group === 'admissionregistration.k8s.io') return [];
    return [...store.list(CONFIGURATIONS)]
      .flatMap((configuration) => webhooksOf(configuration))
      .filter(({ webhook }) => isConcerned(webhook, attributes, namespaceLabels));
  }

  function namespaceLabels(namespace: string) {
    return store.get('/namespaces', '', namespace)?.metadata.labels ?? {};
  }

  /** CEL is out of reach here, but for one form; the real control plane is the judge of match conditions. */
  function mentionMatchConditions({ name, matchConditions = [] }: Webhook) {
    if (matchConditions.every(usersLeftOut) || mentioned.has(name)) return;
    mentioned.add(name);
    log(`the match conditions of webhook ${name} are taken as true: the embedded cluster has no CEL`);
  }

  async function ask(
    webhook: Webhook,
    configuration: string,
    attributes: Attributes,
    signal: AbortSignal,
    warn: (text: string) => void,
  ): Promise<ApiError | undefined> {
    if (attributes.dryRun && !['None', 'NoneOnDryRun'].includes(webhook.sideEffects)) {
      return badRequest(`admission webhook "${webhook.name}" does not support dry run`);
    }
    mentionMatchConditions(webhook);
    const call: AdmissionCall = {
      phase: 'called',
      at: performance.now(),
      webhook: webhook.name,
      configuration,
      namespace: attributes.namespace,
      name: (attributes.object ?? attributes.oldObject)?.metadata.name ?? '',
      operation: attributes.operation,
      uid: randomUUID(),
      user: attributes.user.username,
      dryRun: attributes.dryRun,
    };
    publish(call);
    try {
      const response = await answerOf(webhook, call.uid, attributes, signal);
      publish(answered(call, response));
      for (const text of response.warnings ?? []) warn(text);
      return response.allowed ? undefined : denial(webhook.name, response.status);
    } catch (error) {
      const failed = (error as Error).message;
      publish({
        ...call,
        phase: 'answered',
        answeredAt: performance.now(),
        allowed: false,
        warnings: [],
        failed,
      });
      return onFailure(webhook, failed);
    }
  }

  async function answerOf(
    webhook: Webhook,
    uid: string,
    attributes: Attributes,
    signal: AbortSignal,
  ): Promise<Response> {
    const body = JSON.stringify(reviewOf(uid, attributes));
    const answer = await caller.call(webhook, body, signal).catch((error: Error) => {
      throw new Error(`failed to call webhook: ${error.message}`);
    });
    return verified(answer, uid);
  }

  function onFailure(webhook: Webhook, failed: string): ApiError | undefined {
    const message = `failed calling webhook "${webhook.name}": ${failed}`;
    log(message);
    return webhook.failurePolicy === 'Ignore' ? undefined : internalError(message);
  }

  return {
    async review(attributes, signal, warn) {
      const errors = await Promise.all(
        concerned(attributes).map(({ webhook, configuration }) =>
          ask(webhook, configuration, attributes, signal, warn),
        ),
      );
      const first = errors.find((error) => error !== undefined);
      if (first) throw first;
    },
  };
}

function webhooksOf(configuration: StoredObject): { configuration: string; webhook: Webhook }[] {
  const webhooks = (configuration.webhooks ?? []) as Webhook[];
  return webhooks.map((webhook) => ({ configuration: configuration.metadata.name, webhook }));
}

/** The review in the order of fields, and with the nulls, of the real one. */
function reviewOf(uid: string, attributes: Attributes): object {
  const { resource, subresource, namespace, name, operation, user, object, oldObject, dryRun, options } =
    attributes;
  const kind = { group: resource.group, version: resource.version, kind: resource.kind };
  const groupResource = { group: resource.group, version: resource.version, resource: resource.plural };
  return {
    kind: 'AdmissionReview',
    apiVersion: 'admission.k8s.io/v1',
    request: {
      uid,
      kind,
      resource: groupResource,
      ...(subresource !== '' && { subResource: subresource }),
      requestKind: kind,
      requestResource: groupResource,
      ...(subresource !== '' && { requestSubResource: subresource }),
      ...(name !== '' && { name }),
      ...(namespace !== '' && { namespace }),
      operation,
      userInfo: user,
      object,
      oldObject,
      dryRun,
      options,
    },
  };
}

function verified(answer: string, uid: string): Response {
  const invalid = (problem: string) => new Error(`received invalid webhook response: ${problem}`);
  const review = parse(answer);
  const { kind, apiVersion } = review;
  if (kind !== 'AdmissionReview' || apiVersion !== 'admission.k8s.io/v1') {
    throw new Error(`failed to call webhook: no kind "${kind}" is registered for version "${apiVersion}"`);
  }
  if (!review.response) throw invalid('webhook response was absent');
  if (review.response.uid !== uid) {
    throw invalid(`expected response.uid="${uid}", got "${review.response.uid}"`);
  }
  if (review.response.patch !== undefined) throw invalid('validating webhook may not return response.patch');
  return review.response;
}

function parse(answer: string): { kind?: string; apiVersion?: string; response?: Response } {
  try {
    return JSON.parse(answer);
  } catch (error) {
    const problem = `couldn't get version/kind; json parse error: ${(error as Error).message}`;
    throw new Error(`failed to call webhook: ${problem}`);
  }
}

function answered(call: AdmissionCall, { allowed, status, warnings }: Response): AdmissionAnswer {
  const retryAfterSeconds = status?.details?.retryAfterSeconds;
  return {
    ...call,
    phase: 'answered',
    answeredAt: performance.now(),
    allowed,
    ...(status?.code !== undefined && { code: status.code }),
    ...(status?.message !== undefined && { message: status.message }),
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
    warnings: warnings ?? [],
  };
}

/** @see https://github.com/kubernetes/apiserver/blob/master/pkg/admission/plugin/webhook/errors/statuserror.go */
function denial(webhook: string, status: Response['status'] = {}): ApiError {
  const deniedBy = `admission webhook "${webhook}" denied the request`;
  const why = status.message || status.reason;
  return new ApiError({
    ...status,
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: why ? `${deniedBy}: ${why}` : `${deniedBy} without explanation`,
    code: Math.max(status.code ?? 0, 400),
  });
}
