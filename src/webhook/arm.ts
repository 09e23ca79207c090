/**
 * What Lockkeeper adds to its webhook configuration, without I/O.
 *
 * A webhook without rules is asked about nothing. So the configuration may be installed before anybody can answer, and
 * Lockkeeper arms it when it can: an installation whose image cannot be pulled stops nobody's deploy.
 */
import { isDeepStrictEqual } from 'node:util';
import type {
  AppliedWebhook,
  AppliedWebhooks,
  ClientConfig,
  Webhook,
  WebhookConfiguration,
} from '../kubernetes/webhook-configurations.ts';
import { pathIn, withPath } from './client-config.ts';

export interface ArmOptions {
  /** PEM of the authorities that API servers are to trust; undefined if others see to that. */
  readonly bundle: string | undefined;
  /** Where API servers are to send reviews; undefined if others see to that. */
  readonly path: PathToTell | undefined;
  /** Whether the Service has had time to find this replica. A URL finds it at once. */
  readonly isSettled: boolean;
}

export interface PathToTell {
  readonly wanted: string;
  /** What may stay, where it is. */
  readonly alsoFine: readonly string[];
}

/** What each webhook is asked about, before labels and conditions decide. */
export const RULES = {
  'gate.lockkeeper.dev': rulesFor('', 'v1', ['CREATE'], ['secrets', 'configmaps']),
  'guard.lockkeeper.dev': rulesFor('', 'v1', ['DELETE'], ['secrets', 'configmaps']),
  'updates.lockkeeper.dev': rulesFor('', 'v1', ['UPDATE'], ['secrets', 'configmaps']),
  'releaselocks.lockkeeper.dev': rulesFor(
    'lockkeeper.dev',
    'v1alpha1',
    ['CREATE', 'UPDATE', 'DELETE'],
    ['releaselocks'],
  ),
  'fence.lockkeeper.dev': rulesFor('', 'v1', ['UPDATE'], ['secrets', 'configmaps']),
} as const;

const RULES_BY_NAME: Readonly<Record<string, readonly object[]>> = RULES;

function rulesFor(
  group: string,
  version: string,
  operations: readonly string[],
  resources: readonly string[],
): readonly [object] {
  return [{ apiGroups: [group], apiVersions: [version], operations, resources, scope: 'Namespaced' }];
}

/** Undefined if all is as it should be. */
export function whatToApply(
  { metadata, webhooks = [] }: WebhookConfiguration,
  options: ArmOptions,
): AppliedWebhooks | undefined {
  const ours = webhooks.flatMap((webhook) => {
    const ourRules = RULES_BY_NAME[webhook.name];
    return ourRules === undefined ? [] : [{ webhook, wanted: wantedOf(webhook, ourRules, options) }];
  });
  if (ours.every(({ webhook, wanted }) => isThere(webhook, wanted))) return undefined;
  return { metadata, webhooks: ours.map(({ wanted }) => wanted) };
}

function wantedOf(
  webhook: Webhook,
  ourRules: readonly object[],
  { bundle, path, isSettled }: ArmOptions,
): AppliedWebhook {
  const { name, clientConfig, rules = [] } = webhook;
  const isTrusted = (bundle ?? clientConfig.caBundle ?? clientConfig.url) !== undefined;
  const isReachable = isSettled || clientConfig.url !== undefined;
  // What somebody else has written stays. What is ours already is said again: who leaves it out gives it up.
  const isOurs = isDeepStrictEqual(rules, ourRules) || (rules.length === 0 && isTrusted && isReachable);
  const ours: ClientConfig = {
    ...(bundle !== undefined && { caBundle: Buffer.from(bundle).toString('base64') }),
    ...(path !== undefined && withPath(clientConfig, pathFor(clientConfig, path))),
  };
  return {
    name,
    ...(Object.keys(ours).length > 0 && { clientConfig: ours }),
    ...(isOurs && { rules: ourRules }),
  };
}

function pathFor(clientConfig: ClientConfig, { wanted, alsoFine }: PathToTell): string {
  const present = pathIn(clientConfig);
  return alsoFine.includes(present) ? present : wanted;
}

function isThere(
  { clientConfig, rules }: Webhook,
  { clientConfig: ours = {}, ...wanted }: AppliedWebhook,
): boolean {
  const isTrusted = ours.caBundle === undefined || ours.caBundle === clientConfig.caBundle;
  const isRightUrl = ours.url === undefined || ours.url === clientConfig.url;
  const isRightPath = ours.service === undefined || ours.service.path === clientConfig.service?.path;
  return isTrusted && isRightUrl && isRightPath && (!wanted.rules || isDeepStrictEqual(rules, wanted.rules));
}

/** Where API servers send reviews now: of each of our webhooks. */
export function pathsOf({ webhooks = [] }: WebhookConfiguration): string[] {
  return webhooks.filter(({ name }) => name in RULES).map(({ clientConfig }) => pathIn(clientConfig));
}

/** Whether API servers ask any of our webhooks about anything. */
export function isArmed({ webhooks = [] }: WebhookConfiguration): boolean {
  return webhooks.some(({ name, rules = [] }) => name in RULES && rules.length > 0);
}

/** Whether each of our webhooks tells API servers to trust this PEM certificate. */
export function trusts({ webhooks = [] }: WebhookConfiguration, certificate: string): boolean {
  const ours = webhooks.filter(({ name }) => name in RULES);
  const trusted = ours.map(({ clientConfig: { caBundle = '' } }) =>
    Buffer.from(caBundle, 'base64').toString(),
  );
  return ours.length > 0 && trusted.every((bundle) => bundle.includes(certificate.trim()));
}
