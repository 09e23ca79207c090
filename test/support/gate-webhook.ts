/**
 * What tells an API server to ask Lockkeeper: the webhooks of deploy/lockkeeper.yaml, armed as Lockkeeper would arm them,
 * and called by a URL.
 */
import { readFileSync } from 'node:fs';
import { loadAllYaml } from '@kubernetes/client-node';
import { RULES } from '../../src/webhook/arm.ts';
import type { KubernetesObject } from '../clusters/kubernetes-object.ts';

export const GATE_WEBHOOKS_PATH = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';

export interface GateWebhookOptions {
  readonly url: string;
  /** PEM of the authority that signed the serving certificate. */
  readonly caCertificate: string;
  /** Of the gate. */
  readonly timeoutSeconds?: number;
  readonly failurePolicy?: 'Fail' | 'Ignore';
}

/** All but what arms it. */
interface Webhook {
  readonly name: string;
  readonly clientConfig: object;
}

const MANIFEST = readFileSync(new URL('../../deploy/lockkeeper.yaml', import.meta.url), 'utf8');

const CONFIGURATION = (loadAllYaml(MANIFEST) as KubernetesObject[]).find(
  ({ kind }) => kind === 'ValidatingWebhookConfiguration',
) as KubernetesObject & { readonly webhooks: readonly Webhook[] };

export function gateWebhook(options: GateWebhookOptions) {
  const { url, caCertificate, timeoutSeconds, failurePolicy } = options;
  const clientConfig = { url: `${url}/admission`, caBundle: Buffer.from(caCertificate).toString('base64') };
  const ofGate = {
    ...(timeoutSeconds !== undefined && { timeoutSeconds }),
    ...(failurePolicy !== undefined && { failurePolicy }),
  };
  const webhooks = CONFIGURATION.webhooks.map((webhook) => {
    const isGate = webhook.name === 'gate.lockkeeper.dev';
    return {
      ...webhook,
      ...(isGate && ofGate),
      clientConfig,
      rules: RULES[webhook.name as keyof typeof RULES],
    };
  });
  return { ...CONFIGURATION, webhooks };
}
