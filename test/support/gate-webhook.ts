/** What tells an API server to ask Lockkeeper: one webhook, for new pending release records and nothing else. */
import { type Driver, PENDING_STATUSES } from '../../src/helm/release.ts';

export const GATE_WEBHOOKS_PATH = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';

export interface GateWebhookOptions {
  readonly url: string;
  /** PEM of the authority that signed the serving certificate. */
  readonly caCertificate: string;
  readonly drivers?: readonly Driver[];
  readonly timeoutSeconds?: number;
  readonly failurePolicy?: 'Fail' | 'Ignore';
  readonly name?: string;
}

export function gateWebhook(options: GateWebhookOptions) {
  const { url, caCertificate, drivers = ['secrets', 'configmaps'] } = options;
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: options.name ?? 'lockkeeper' },
    webhooks: [
      {
        name: 'gate.lockkeeper.dev',
        clientConfig: { url: `${url}/admission`, caBundle: Buffer.from(caCertificate).toString('base64') },
        rules: [
          {
            operations: ['CREATE'],
            apiGroups: [''],
            apiVersions: ['v1'],
            resources: [...drivers],
            scope: 'Namespaced',
          },
        ],
        objectSelector: {
          matchLabels: { owner: 'helm' },
          matchExpressions: [{ key: 'status', operator: 'In', values: [...PENDING_STATUSES] }],
        },
        matchPolicy: 'Equivalent',
        failurePolicy: options.failurePolicy ?? 'Fail',
        sideEffects: 'NoneOnDryRun',
        timeoutSeconds: options.timeoutSeconds ?? 15,
        admissionReviewVersions: ['v1'],
      },
    ],
  };
}
