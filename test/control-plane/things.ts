/** One of each that a test may make. */
import { DEFINITIONS } from '../clusters/control-plane/custom-resources.ts';
import type { ObjectMetadata } from '../clusters/kubernetes-object.ts';

interface Thing {
  /** Of the collection, with NAMESPACE in place of `namespaces/prod`. */
  readonly path: string;
  readonly object: { readonly metadata: ObjectMetadata; readonly [field: string]: unknown };
}

const metadata = { name: 'thing.example.com' };

const container = { name: 'main', image: 'none' };

const labels = { app: 'thing' };

const template = { metadata: { labels }, spec: { containers: [container] } };

const webhooks = [
  {
    name: 'thing.example.com',
    // Nobody is there: whatever it is asked about is refused.
    clientConfig: { url: 'https://127.0.0.1:1/' },
    rules: [{ operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['secrets'] }],
    sideEffects: 'None',
    admissionReviewVersions: ['v1'],
  },
];

const RBAC = '/apis/rbac.authorization.k8s.io/v1';

const ADMISSION = '/apis/admissionregistration.k8s.io/v1';

const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' };

/** Of Things, which are served at `/apis/example.com/v1/namespaces/…/things`. */
export const DEFINITION = {
  metadata: { name: 'things.example.com' },
  spec: {
    group: 'example.com',
    scope: 'Namespaced',
    names: { plural: 'things', singular: 'thing', kind: 'Thing' },
    versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
  },
};

/** What could refuse others comes last. */
export const THINGS: readonly Thing[] = [
  { path: '/api/v1/NAMESPACE/secrets', object: { metadata } },
  { path: '/api/v1/NAMESPACE/configmaps', object: { metadata } },
  { path: '/api/v1/NAMESPACE/serviceaccounts', object: { metadata } },
  {
    path: '/api/v1/NAMESPACE/services',
    // Without an address: the API server may hear of a Service before it hears of the address that it gave it, and
    // then writes an Event about that (ClusterIPNotAllocated), which no test has made.
    object: { metadata: { name: 'thing' }, spec: { clusterIP: 'None', ports: [{ port: 80 }] } },
  },
  {
    path: '/apis/batch/v1/NAMESPACE/jobs',
    object: {
      metadata,
      spec: { template: { spec: { containers: [container], restartPolicy: 'Never' } } },
    },
  },
  {
    path: '/apis/apps/v1/NAMESPACE/deployments',
    object: { metadata, spec: { selector: { matchLabels: labels }, template } },
  },
  {
    path: '/apis/events.k8s.io/v1/NAMESPACE/events',
    object: {
      metadata,
      eventTime: '2026-01-01T00:00:00.000000Z',
      reportingController: 'example.com/test',
      reportingInstance: 'test-1',
      action: 'Testing',
      reason: 'Tested',
      type: 'Normal',
      regarding: { namespace: 'default' },
    },
  },
  { path: '/apis/coordination.k8s.io/v1/NAMESPACE/leases', object: { metadata } },
  {
    path: '/apis/policy/v1/NAMESPACE/poddisruptionbudgets',
    object: { metadata, spec: { maxUnavailable: 1 } },
  },
  {
    path: '/apis/networking.k8s.io/v1/NAMESPACE/networkpolicies',
    object: { metadata, spec: { podSelector: {} } },
  },
  { path: `${RBAC}/NAMESPACE/roles`, object: { metadata } },
  { path: `${RBAC}/NAMESPACE/rolebindings`, object: { metadata, roleRef } },
  { path: `${RBAC}/clusterroles`, object: { metadata } },
  { path: `${RBAC}/clusterrolebindings`, object: { metadata, roleRef } },
  { path: DEFINITIONS, object: DEFINITION },
  {
    path: `${ADMISSION}/validatingadmissionpolicies`,
    object: {
      metadata,
      spec: {
        matchConstraints: {
          resourceRules: [
            { operations: ['*'], apiGroups: [''], apiVersions: ['*'], resources: ['configmaps'] },
          ],
        },
        validations: [{ expression: 'false' }],
      },
    },
  },
  {
    path: `${ADMISSION}/validatingadmissionpolicybindings`,
    object: { metadata, spec: { policyName: metadata.name, validationActions: ['Deny'] } },
  },
  { path: `${ADMISSION}/validatingwebhookconfigurations`, object: { metadata, webhooks } },
  { path: `${ADMISSION}/mutatingwebhookconfigurations`, object: { metadata, webhooks } },
];
