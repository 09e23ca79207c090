/** Admission reviews that are nearly right, as the text that is sent. */
import fc from 'fast-check';
import { strangersText } from '../support/unsafe-text.ts';
import { NAMESPACE, NEW_UID, RELEASE, statuses, uidOfStored } from './history.ts';
import { nearly, numbers, oddValues, rarely } from './values.ts';

type Node = Record<string, unknown>;

const operations = fc.oneof(
  { weight: 10, arbitrary: fc.constant('CREATE') },
  { weight: 4, arbitrary: fc.constant('DELETE') },
  { weight: 2, arbitrary: fc.constant('UPDATE') },
  { weight: 1, arbitrary: fc.constantFrom('CONNECT', 'create', '', '__proto__') },
);

const resources = fc.oneof(
  { weight: 10, arbitrary: fc.constant('secrets') },
  { weight: 3, arbitrary: fc.constant('configmaps') },
  { weight: 3, arbitrary: fc.constant('releaselocks') },
  { weight: 1, arbitrary: fc.constantFrom('pods', 'Secrets', '', 'toString') },
);

const POD = {
  'authentication.kubernetes.io/pod-name': ['runner-7f9c'],
  'authentication.kubernetes.io/pod-uid': ['pod-1'],
};

const knownUsers = fc.constantFrom(
  { username: 'alice' },
  { username: 'alice', groups: null, extra: null },
  { username: 'system:serviceaccount:ci:runner', uid: 'u', groups: ['ci'], extra: POD },
  { username: 'system:serviceaccount:kube-system:namespace-controller' },
  { username: 'system:serviceaccount:lockkeeper:lockkeeper' },
  { username: '' },
  {},
);

/** They name themselves, and their pods, so that a terminal obeys. */
const strangers = fc.tuple(strangersText, strangersText).map(([username, pod]) => ({
  username,
  extra: { ...POD, 'authentication.kubernetes.io/pod-name': [pod] },
}));

const users = fc.oneof({ weight: 6, arbitrary: knownUsers }, { weight: 1, arbitrary: strangers });

const uids = fc.oneof(
  { weight: 10, arbitrary: fc.constant(NEW_UID) },
  { weight: 8, arbitrary: fc.integer({ min: 1, max: 5 }).map(uidOfStored) },
  { weight: 1, arbitrary: fc.constantFrom('', 'x'.repeat(10_000), '../..', '\ud800') },
);

const annotations = fc.constantFrom<Node>(
  {},
  {},
  {},
  { 'lockkeeper.dev/allow-delete': 'true' },
  { 'lockkeeper.dev/force': 'true' },
  { 'lockkeeper.dev/allow-delete': 'false' },
);

/** What a review is about, before anything is done to it. */
const facts = fc.record({
  operation: operations,
  resource: resources,
  release: nearly(RELEASE),
  labelled: rarely(nearly(RELEASE)),
  revision: numbers,
  version: rarely(numbers),
  status: statuses,
  uid: uids,
  annotations,
  user: users,
  namespace: nearly(NAMESPACE),
  dryRun: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, fc.constant(true)),
  size: fc.oneof({ weight: 50, arbitrary: fc.constant(10) }, fc.constantFrom(60_000, 1_300_000)),
});

type Facts = typeof facts extends fc.Arbitrary<infer T> ? T : never;

function toReview(about: Facts): Node {
  const { operation, resource, namespace } = about;
  const isEntry = resource === 'releaselocks';
  const object = isEntry ? toEntry(about) : toRecord(about);
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: 'review-1',
      operation,
      namespace,
      name: (object.metadata as Node).name,
      dryRun: about.dryRun,
      resource: { group: isEntry ? 'lockkeeper.dev' : '', version: 'v1', resource },
      userInfo: about.user,
      object: operation === 'DELETE' ? null : object,
      oldObject: operation === 'CREATE' ? null : object,
    },
  };
}

function toRecord({ resource, release, labelled, revision, version, status, ...more }: Facts): Node {
  const name = `sh.helm.release.v1.${release}.v${revision}`;
  const labels = { owner: 'helm', name: labelled ?? release, status, version: version ?? revision };
  const { namespace, uid, annotations, size } = more;
  return {
    ...(resource === 'secrets' && { type: 'helm.sh/release.v1' }),
    metadata: { name, namespace, uid, labels, annotations },
    data: { release: 'A'.repeat(size) },
  };
}

function toEntry({ release, namespace, uid, annotations, revision, status, version }: Facts): Node {
  const driver = version === undefined ? 'secrets' : 'configmaps';
  return {
    metadata: { name: release, namespace, uid: 'uid-of-entry', annotations },
    spec: { driver, revision: Number(revision), status, recordUID: uid, since: '2026-11-22T12:50:00Z' },
  };
}

/** Where something is put, or taken away. */
const PLACES = [
  'apiVersion',
  'kind',
  'request',
  'request.uid',
  'request.operation',
  'request.resource',
  'request.resource.group',
  'request.resource.version',
  'request.namespace',
  'request.name',
  'request.dryRun',
  'request.userInfo',
  'request.userInfo.username',
  'request.userInfo.groups',
  'request.userInfo.extra',
  'request.object',
  'request.oldObject',
  ...['object', 'oldObject'].flatMap((object) =>
    [
      'type',
      'metadata',
      'metadata.name',
      'metadata.uid',
      'metadata.labels',
      'metadata.labels.owner',
      'metadata.labels.name',
      'metadata.labels.version',
      'metadata.labels.status',
      'metadata.labels.__proto__',
      'metadata.annotations',
      'metadata.__proto__',
      'spec',
      'spec.driver',
      'spec.recordUID',
      'data',
      'data.release',
      'more',
    ].map((place) => `request.${object}.${place}`),
  ),
];

interface Change {
  readonly place: string;
  /** Undefined takes away what is there. */
  readonly value: unknown;
}

const changes: fc.Arbitrary<readonly Change[]> = fc.oneof(
  { weight: 3, arbitrary: fc.constant([]) },
  {
    weight: 1,
    arbitrary: fc.array(
      fc.record({
        place: fc.constantFrom(...PLACES),
        value: fc.option(oddValues, { freq: 4, nil: undefined }),
      }),
      { minLength: 1, maxLength: 3 },
    ),
  },
);

function change(review: Node, { place, value }: Change): void {
  const path = place.split('.');
  const last = path.pop() as string;
  let node: unknown = review;
  for (const member of path) node = isNode(node) ? node[member] : undefined;
  if (!isNode(node)) return;
  if (value === undefined) delete node[last];
  // An assignment to `__proto__` would add no member.
  else Object.defineProperty(node, last, { value, enumerable: true, configurable: true, writable: true });
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null;
}

/** What can only be done to the text. */
const TWISTS: readonly ((text: string) => string)[] = [
  (text) => `\ufeff${text}`,
  (text) => ` \n${text}\n `,
  (text) => `${text}}`,
  (text) => text.slice(0, -1),
  (text) => text.replace('"metadata":', '"metadata":{"labels":{"status":"deployed"}},"metadata":'),
  (text) => text.replace('"status":', '"status":"deployed","status":'),
  (text) => text.replace(/("status":"[^"]*")/, '$1,"status":"deployed"'),
  (text) => text.replace('"operation":', '"operation":"DELETE","operation":'),
  (text) => `${text.slice(0, -1)},"deep":${'['.repeat(20_000)}${']'.repeat(20_000)}}`,
  (text) => `${text.slice(0, -1)},"__proto__":{"request":{"operation":"DELETE"}}}`,
  (text) => `[${text}]`,
  (text) => JSON.stringify(text),
];

export const reviews: fc.Arbitrary<string> = fc
  .tuple(facts, changes, rarely(fc.constantFrom(...TWISTS)))
  .map(([about, changed, twist]) => {
    // What it is made of is made again for others.
    const review = structuredClone(toReview(about));
    for (const each of changed) change(review, each);
    const text = JSON.stringify(review);
    return twist ? twist(text) : text;
  });
