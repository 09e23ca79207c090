/**
 * What tells an API server to ask Lockkeeper: the gate, for new pending release records, and the guard, for the
 * deletion of pending ones. Nothing else ever reaches it.
 */
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
  const clientConfig = { url: `${url}/admission`, caBundle: Buffer.from(caCertificate).toString('base64') };
  const about = (operation: 'CREATE' | 'DELETE') => ({
    rules: [
      {
        operations: [operation],
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
    admissionReviewVersions: ['v1'],
  });
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: options.name ?? 'lockkeeper' },
    webhooks: [
      {
        name: 'gate.lockkeeper.dev',
        clientConfig,
        ...about('CREATE'),
        failurePolicy: options.failurePolicy ?? 'Fail',
        sideEffects: 'NoneOnDryRun',
        timeoutSeconds: options.timeoutSeconds ?? 15,
      },
      {
        name: 'guard.lockkeeper.dev',
        clientConfig,
        ...about('DELETE'),
        // Deleting a record is the emergency exit of old: it must be open when Lockkeeper is not there.
        failurePolicy: 'Ignore',
        sideEffects: 'None',
        timeoutSeconds: 5,
      },
    ],
  };
}
