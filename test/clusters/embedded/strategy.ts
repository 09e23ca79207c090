/** What the API server adds to objects of some kinds before it stores them, and what it refuses. */
import {
  isJsonObject,
  type JsonObject,
  type KubernetesObject,
  type StoredObject,
} from '../kubernetes-object.ts';
import { keyOf, type Resource } from './resources.ts';
import { badRequest, invalid } from './status.ts';

/** The default values that clients rely on, by resource. */
const PREPARE: Readonly<Record<string, (object: StoredObject) => StoredObject>> = {
  '/secrets': ({ stringData, ...secret }) => ({
    ...secret,
    ...((secret.data ?? stringData) !== undefined && {
      data: { ...data(secret), ...encoded(stringData) },
    }),
    type: secret.type ?? 'Opaque',
  }),
  '/namespaces': (namespace) => ({
    ...namespace,
    metadata: {
      ...namespace.metadata,
      labels: { ...namespace.metadata.labels, 'kubernetes.io/metadata.name': namespace.metadata.name },
    },
    spec: { finalizers: ['kubernetes'] },
    status: { phase: 'Active', ...(namespace.status as JsonObject | undefined) },
  }),
  '/pods': (pod) => ({ ...pod, status: { phase: 'Pending', ...(pod.status as JsonObject | undefined) } }),
  'admissionregistration.k8s.io/validatingwebhookconfigurations': (configuration) => ({
    ...configuration,
    webhooks: ((configuration.webhooks ?? []) as JsonObject[]).map((webhook) => ({
      failurePolicy: 'Fail',
      matchPolicy: 'Equivalent',
      namespaceSelector: {},
      objectSelector: {},
      timeoutSeconds: 10,
      ...webhook,
      rules: ((webhook.rules ?? []) as JsonObject[]).map((rule) => ({ scope: '*', ...rule })),
    })),
  }),
};

/** The object with default values and with write-only fields moved to where they are stored. */
export function prepare(resource: Resource, object: StoredObject): StoredObject {
  return PREPARE[keyOf(resource)]?.(object) ?? object;
}

function encoded(stringData: unknown): JsonObject {
  return Object.fromEntries(
    Object.entries({ ...(stringData as JsonObject | undefined) }).map(([key, value]) => [
      key,
      Buffer.from(String(value)).toString('base64'),
    ]),
  );
}

function data(object: KubernetesObject, field = 'data'): Record<string, string> {
  return { ...(object[field] as Record<string, string> | undefined) };
}

/** RFC 1123, as API errors quote it. */
const NAME_RULES = {
  subdomain: {
    pattern: /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
    words:
      "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com')",
  },
  label: {
    pattern: /^(?=.{1,63}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?$/,
    words:
      "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name')",
  },
  path: { pattern: /^(?!\.{1,2}$)[^/%]+$/, words: "may not contain '/' or '%'" },
} as const;

/** The API's limit for the data of one Secret or ConfigMap. */
const MAX_DATA_BYTES = 1_048_576;

/** @throws ApiError 422 or 400, in the words of the real API server */
export function validate(resource: Resource, object: StoredObject, previous?: StoredObject): void {
  const { name } = object.metadata;
  const rule = NAME_RULES[resource.names];
  if (!rule.pattern.test(name))
    refuse(resource, name, 'metadata.name', `Invalid value: "${name}": ${rule.words}`);
  if (resource.kind === 'Secret') validateSecret(resource, object, previous);
  if (resource.kind === 'ConfigMap') validateData(resource, object, ['data', 'binaryData'], '[]');
  if (resource.kind === 'Event') validateEvent(resource, object);
  if (resource.kind === 'ValidatingWebhookConfiguration') validateWebhooks(resource, object);
  if (previous?.immutable === true && JSON.stringify(previous.data) !== JSON.stringify(object.data)) {
    refuse(resource, name, 'data', 'Forbidden: field is immutable when `immutable` is set');
  }
}

function validateSecret(resource: Resource, secret: StoredObject, previous: StoredObject | undefined): void {
  validateData(resource, secret, ['data'], 'data');
  if (previous && previous.type !== secret.type) {
    refuse(resource, secret.metadata.name, 'type', `Invalid value: "${secret.type}": field is immutable`);
  }
}

/** An event lives in the namespace of what it is about; those of cluster-scoped objects in `default`. */
function validateEvent(resource: Resource, { metadata, involvedObject }: StoredObject): void {
  const about = isJsonObject(involvedObject) ? String(involvedObject.namespace ?? '') : '';
  if ((about || 'default') === metadata.namespace) return;
  const problem = `Invalid value: "${about}": does not match event.namespace`;
  refuse(resource, metadata.name, 'involvedObject.namespace', problem);
}

function validateData(
  resource: Resource,
  object: StoredObject,
  fields: readonly string[],
  field: string,
): void {
  const values = fields.flatMap((name) => Object.values(data(object, name)));
  if (values.some((value) => typeof value !== 'string')) {
    throw badRequest(
      `${resource.kind} in version "v1" cannot be handled as a ${resource.kind}: json: cannot unmarshal a value of data that is not a string`,
    );
  }
  const encoding = resource.kind === 'Secret' ? 'base64' : 'utf8';
  const size = values.reduce((sum, value) => sum + Buffer.byteLength(value, encoding), 0);
  if (size > MAX_DATA_BYTES) {
    refuse(resource, object.metadata.name, field, `Too long: may not be more than ${MAX_DATA_BYTES} bytes`);
  }
}

function validateWebhooks(resource: Resource, configuration: StoredObject): void {
  for (const [index, webhook] of (configuration.webhooks as JsonObject[]).entries()) {
    const problem = problemOf(webhook);
    if (problem)
      refuse(resource, configuration.metadata.name, `webhooks[${index}].${problem.field}`, problem.words);
  }
}

function problemOf(webhook: JsonObject): { field: string; words: string } | undefined {
  const { sideEffects, admissionReviewVersions, clientConfig } = webhook;
  if (sideEffects !== 'None' && sideEffects !== 'NoneOnDryRun') {
    return { field: 'sideEffects', words: 'Unsupported value: supported values: "None", "NoneOnDryRun"' };
  }
  if (!Array.isArray(admissionReviewVersions) || !admissionReviewVersions.includes('v1')) {
    return {
      field: 'admissionReviewVersions',
      words: 'Invalid value: must include at least one of v1, v1beta1',
    };
  }
  const { url, service } = isJsonObject(clientConfig) ? clientConfig : {};
  if ((url === undefined) === (service === undefined)) {
    return { field: 'clientConfig', words: 'Required value: exactly one of url or service is required' };
  }
  if (url !== undefined && !String(url).startsWith('https://')) {
    return {
      field: 'clientConfig.url',
      words: `Invalid value: "${url}": 'https' is the only allowed URL scheme`,
    };
  }
  return undefined;
}

function refuse(resource: Resource, name: string, field: string, problem: string): never {
  throw invalid(resource.kind, resource.group, name, field, problem);
}
