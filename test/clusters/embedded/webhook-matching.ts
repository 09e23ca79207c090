/** Which webhooks an operation concerns: rules and selectors of a ValidatingWebhookConfiguration. */
import type { KubernetesObject } from '../kubernetes-object.ts';
import type { Resource } from './resources.ts';
import { compileLabelSelector, type LabelSelector, type Labels } from './selectors.ts';
import type { UserInfo } from './users.ts';

export type Operation = 'CREATE' | 'UPDATE' | 'DELETE';

/** An operation that is about to be stored. */
export interface Attributes {
  readonly operation: Operation;
  readonly resource: Resource;
  readonly subresource: string;
  readonly namespace: string;
  /** Empty in a deletecollection. */
  readonly name: string;
  readonly object: KubernetesObject | null;
  readonly oldObject: KubernetesObject | null;
  readonly user: UserInfo;
  readonly dryRun: boolean;
  /** CreateOptions, UpdateOptions or DeleteOptions. */
  readonly options: object;
}

/** A webhook of a stored configuration: `prepare` has filled in the defaults. */
export interface Webhook {
  readonly name: string;
  readonly clientConfig: {
    readonly url?: string;
    readonly service?: {
      readonly namespace: string;
      readonly name: string;
      readonly path?: string;
      readonly port?: number;
    };
    /** Base64 of PEM. */
    readonly caBundle?: string;
  };
  readonly rules: readonly Rule[];
  readonly failurePolicy: 'Fail' | 'Ignore';
  readonly sideEffects: string;
  readonly timeoutSeconds: number;
  readonly namespaceSelector: LabelSelector;
  readonly objectSelector: LabelSelector;
  readonly matchConditions?: readonly MatchCondition[];
}

interface MatchCondition {
  readonly name: string;
  readonly expression: string;
}

interface Rule {
  readonly operations: readonly string[];
  readonly apiGroups: readonly string[];
  readonly apiVersions: readonly string[];
  readonly resources: readonly string[];
  readonly scope: string;
}

/** `namespaceLabels` finds the labels of a namespace. */
export function isConcerned(
  webhook: Webhook,
  attributes: Attributes,
  namespaceLabels: (namespace: string) => Labels,
): boolean {
  return (
    webhook.rules.some((rule) => matchesRule(rule, attributes)) &&
    matchesNamespace(webhook, attributes, namespaceLabels) &&
    matchesObject(webhook, attributes) &&
    (webhook.matchConditions ?? []).every(
      (condition) => !usersLeftOut(condition)?.includes(attributes.user.username),
    )
  );
}

/** Whom a condition of the form `!(request.userInfo.username in ['a', 'b'])` leaves out; undefined for any other. */
export function usersLeftOut({ expression }: MatchCondition): readonly string[] | undefined {
  const list = /^!\(request\.userInfo\.username in \[([^\]]*)\]\)$/.exec(expression)?.[1];
  return list === undefined ? undefined : [...list.matchAll(/'([^']*)'/g)].map(([, name = '']) => name);
}

function matchesRule(rule: Rule, { operation, resource, subresource }: Attributes): boolean {
  return (
    matchesScope(rule, resource) &&
    includes(rule.operations, operation) &&
    includes(rule.apiGroups, resource.group) &&
    includes(rule.apiVersions, resource.version) &&
    rule.resources.some((pattern) => matchesResource(pattern, resource.plural, subresource))
  );
}

function matchesScope({ scope }: Rule, { namespaced }: Resource): boolean {
  return scope === '*' || (scope === 'Namespaced') === namespaced;
}

function includes(accepted: readonly string[], value: string): boolean {
  return accepted.includes('*') || accepted.includes(value);
}

// `pods`, `pods/status`, `pods/*`, `*`, or `*/status`; a subresource needs a pattern that names it.
function matchesResource(pattern: string, plural: string, subresource: string): boolean {
  const [wantedPlural, wantedSubresource = ''] = pattern.split('/');
  const matchesSubresource = wantedSubresource === '*' || wantedSubresource === subresource;
  return matchesSubresource && (wantedPlural === '*' || wantedPlural === plural);
}

/** A Namespace is matched by its own labels; other cluster-scoped objects always match. */
function matchesNamespace(
  { namespaceSelector }: Webhook,
  { resource, namespace, object, oldObject }: Attributes,
  namespaceLabels: (namespace: string) => Labels,
): boolean {
  const matches = compileLabelSelector(namespaceSelector);
  if (resource.kind === 'Namespace') return matches(labelsOf(object ?? oldObject));
  return namespace === '' || matches(namespaceLabels(namespace));
}

function matchesObject({ objectSelector }: Webhook, { object, oldObject }: Attributes): boolean {
  const matches = compileLabelSelector(objectSelector);
  return [object, oldObject].some((candidate) => candidate !== null && matches(labelsOf(candidate)));
}

function labelsOf(object: KubernetesObject | null): Labels {
  return object?.metadata.labels ?? {};
}
