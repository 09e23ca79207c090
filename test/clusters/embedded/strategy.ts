/** What the API server adds to objects of some kinds before it stores them, and what it refuses. */
import { isDeepStrictEqual } from 'node:util';
import {
  isJsonObject,
  type JsonObject,
  type KubernetesObject,
  type StoredObject,
} from '../kubernetes-object.ts';
import { keyOf, type Resource } from './resources.ts';
import { invalid } from './status.ts';

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
  '/events': (event) => ({
    source: {},
    firstTimestamp: null,
    lastTimestamp: null,
    eventTime: null,
    reportingComponent: '',
    reportingInstance: '',
    ...event,
  }),
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

/** The object with default values, with write-only fields moved to where they are stored, and no empty maps. */
export function prepare(resource: Resource, object: StoredObject): StoredObject {
  const prepared = PREPARE[keyOf(resource)]?.(object) ?? object;
  return { ...withoutEmpty(prepared, DATA), metadata: withoutEmpty(prepared.metadata, METADATA) };
}

const METADATA = ['labels', 'annotations', 'finalizers', 'ownerReferences', 'managedFields'];
const DATA = ['data', 'binaryData', 'webhooks'];

/** Storage is protobuf, which cannot tell an empty map from none. */
function withoutEmpty<T extends JsonObject>(object: T, fields: readonly string[]): T {
  const kept = Object.entries(object).filter(
    ([key, value]) => !(fields.includes(key) && Object.keys({ ...(value as object | null) }).length === 0),
  );
  return kept.length === Object.keys(object).length ? object : (Object.fromEntries(kept) as T);
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

/** RFC 1123, as API errors quote it. The first rule that is broken is told. */
const NAME_RULES: Readonly<Record<Resource['names'], readonly { pattern: RegExp; words: string }[]>> = {
  subdomain: [
    { pattern: /^.{0,253}$/, words: 'must be no more than 253 characters' },
    {
      pattern: /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
      words:
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
    },
  ],
  label: [
    { pattern: /^[^.]*$/, words: 'must not contain dots' },
    { pattern: /^.{0,63}$/, words: 'must be no more than 63 characters' },
    {
      pattern: /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/,
      words:
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
    },
  ],
  path: [
    { pattern: /^(?!\.{1,2}$)/, words: "may not be '.' or '..'" },
    { pattern: /^[^/]*$/, words: "may not contain '/'" },
    { pattern: /^[^%]*$/, words: "may not contain '%'" },
  ],
};

/** The API's limit for the data of one Secret or ConfigMap. */
const MAX_DATA_BYTES = 1_048_576;

/** @throws ApiError 422, in the words of the real API server */
export function validate(resource: Resource, object: StoredObject, previous?: StoredObject): void {
  const { name } = object.metadata;
  const broken = NAME_RULES[resource.names].find(({ pattern }) => !pattern.test(name));
  if (broken) refuse(resource, name, 'metadata.name', `Invalid value: "${name}": ${broken.words}`);
  validateLabels(resource, object);
  validateFinalizers(resource, object, previous);
  if (resource.kind === 'Secret') validateSecret(resource, object, previous);
  if (resource.kind === 'ConfigMap') validateData(resource, object, ['data', 'binaryData'], '[]');
  if (resource.kind === 'Event') validateEvent(resource, object);
  if (resource.kind === 'ValidatingWebhookConfiguration') validateWebhooks(resource, object);
  if (previous?.immutable === true) validateImmutable(resource, object, previous);
}

function validateImmutable(resource: Resource, object: StoredObject, previous: StoredObject): void {
  const changed = ['immutable', 'data'].find((field) => !isDeepStrictEqual(previous[field], object[field]));
  if (changed === undefined) return;
  refuse(resource, object.metadata.name, changed, 'Forbidden: field is immutable when `immutable` is set');
}

const LABEL_VALUE = /^(?=.{0,63}$)(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/;

function validateLabels(resource: Resource, { metadata }: StoredObject): void {
  const bad = Object.values(metadata.labels ?? {}).find((value) => !LABEL_VALUE.test(value));
  if (bad === undefined) return;
  const rule =
    bad.length > 63
      ? 'must be no more than 63 characters'
      : "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
  refuse(resource, metadata.name, 'metadata.labels', `Invalid value: "${bad}": ${rule}`);
}

/** What is on its way out must not be held back any more. */
function validateFinalizers(resource: Resource, { metadata }: StoredObject, previous?: StoredObject): void {
  if (previous?.metadata.deletionTimestamp === undefined) return;
  const known = previous.metadata.finalizers ?? [];
  const added = (metadata.finalizers ?? []).filter((finalizer) => !known.includes(finalizer));
  if (added.length === 0) return;
  const found = added.map((finalizer) => `"${finalizer}"`).join(', ');
  const problem = `Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{${found}}`;
  refuse(resource, metadata.name, 'metadata.finalizers', problem);
}

/** A key is the name of a file in a volume. */
const DATA_KEY = /^[-._a-zA-Z0-9]+$/;

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
  const entries = fields.flatMap((name) => Object.entries(data(object, name)));
  const badKey = entries.find(([key]) => !DATA_KEY.test(key))?.[0];
  if (badKey !== undefined) {
    const problem = `Invalid value: "${badKey}": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')`;
    refuse(resource, object.metadata.name, `data[${badKey}]`, problem);
  }
  const values = entries.map(([, value]) => value);
  const encoding = resource.kind === 'Secret' ? 'base64' : 'utf8';
  const size = values.reduce((sum, value) => sum + Buffer.byteLength(value, encoding), 0);
  if (size > MAX_DATA_BYTES) {
    refuse(resource, object.metadata.name, field, `Too long: may not be more than ${MAX_DATA_BYTES} bytes`);
  }
}

function validateWebhooks(resource: Resource, configuration: StoredObject): void {
  for (const [index, webhook] of ((configuration.webhooks ?? []) as JsonObject[]).entries()) {
    const problem = problemOf(webhook);
    if (problem)
      refuse(resource, configuration.metadata.name, `webhooks[${index}].${problem.field}`, problem.words);
  }
}

function problemOf(webhook: JsonObject): { field: string; words: string } | undefined {
  return WEBHOOK_RULES.map((check) => check(webhook)).find((problem) => problem !== undefined);
}

type WebhookRule = (webhook: JsonObject) => { field: string; words: string } | undefined;

const OPERATIONS = ['*', 'CONNECT', 'CREATE', 'DELETE', 'UPDATE'];

const WEBHOOK_RULES: readonly WebhookRule[] = [
  ({ admissionReviewVersions: versions }) => {
    const field = 'admissionReviewVersions';
    if (!Array.isArray(versions) || versions.length === 0)
      return { field, words: 'Required value: must specify one of v1, v1beta1' };
    if (versions.includes('v1')) return undefined;
    const given = JSON.stringify(versions);
    return { field, words: `Invalid value: ${given}: must include at least one of v1, v1beta1` };
  },
  ({ name }) =>
    String(name).split('.').length >= 3
      ? undefined
      : {
          field: 'name',
          words: `Invalid value: "${name}": should be a domain with at least three segments separated by dots`,
        },
  ({ rules }) => problemOfOperations(rules as readonly JsonObject[]),
  ({ failurePolicy }) => unsupported('failurePolicy', failurePolicy, ['Fail', 'Ignore']),
  ({ sideEffects }) =>
    sideEffects === undefined
      ? { field: 'sideEffects', words: 'Required value: must specify one of None, NoneOnDryRun' }
      : unsupported('sideEffects', sideEffects, ['None', 'NoneOnDryRun']),
  ({ timeoutSeconds }) => {
    const words = `Invalid value: ${timeoutSeconds}: the timeout value must be between 1 and 30 seconds`;
    return Number(timeoutSeconds) >= 1 && Number(timeoutSeconds) <= 30
      ? undefined
      : { field: 'timeoutSeconds', words };
  },
  ({ clientConfig }) => problemOfClient(isJsonObject(clientConfig) ? clientConfig : {}),
];

function unsupported(field: string, value: unknown, supported: readonly string[]) {
  if (supported.includes(String(value))) return undefined;
  const known = supported.map((each) => `"${each}"`).join(', ');
  return { field, words: `Unsupported value: "${value}": supported values: ${known}` };
}

function problemOfOperations(rules: readonly JsonObject[]) {
  for (const [index, { operations = [] }] of rules.entries()) {
    const field = `rules[${index}].operations`;
    const given = operations as readonly string[];
    if (given.length === 0) return { field, words: 'Required value' };
    const bad = given.findIndex((operation) => !OPERATIONS.includes(operation));
    if (bad >= 0) return unsupported(`${field}[${bad}]`, given[bad], OPERATIONS);
  }
  return undefined;
}

function problemOfClient({ url, service }: JsonObject) {
  if ((url === undefined) === (service === undefined)) {
    return { field: 'clientConfig', words: 'Required value: exactly one of url or service is required' };
  }
  const scheme = url === undefined ? 'https' : String(url).split(':')[0];
  if (scheme === 'https') return undefined;
  return {
    field: 'clientConfig.url',
    words: `Invalid value: "${scheme}": 'https' is the only allowed URL scheme; desired format: https://host[/path]`,
  };
}

function refuse(resource: Resource, name: string, field: string, problem: string): never {
  throw invalid(resource.kind, resource.group, name, field, problem);
}
