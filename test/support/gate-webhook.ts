/**
 * What tells an API server to ask Lockkeeper: the gate, for new pending release records, and the guard, for the
 * deletion of pending ones. Nothing else ever reaches it.
 */
import { type Driver, PENDING_STATUSES, RECORD_TYPE } from '../../src/helm/release.ts';

export const GATE_WEBHOOKS_PATH = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';

/**
 * The labels alone keep nearly everything away, on any version of Kubernetes and without CEL. What bears them and is no
 * record of Helm is kept away by this (Kubernetes 1.30): it says what `isHelmRecord` says. An error of CEL would refuse
 * the request or leave the door open, so it looks at nothing that may be missing.
 */
function isHelmRecord(object: 'object' | 'oldObject') {
  const type = `(has(${object}.type) && ${object}.type == '${RECORD_TYPE}')`;
  return {
    name: 'is-a-helm-record',
    expression: `${type} || ${object}.metadata.name.startsWith('sh.helm.release.v1.')`,
  };
}

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
    matchConditions: [isHelmRecord(operation === 'CREATE' ? 'object' : 'oldObject')],
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
