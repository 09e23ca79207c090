/** The wire format: what is read from a review, what is refused, and the exact answers. */
import { createHash } from 'node:crypto';
import t from 'tap';
import { parseAdmissionReview, type Review, toAdmissionReview } from '../../src/gate/admission-review.ts';
import { deployReview, fixture } from '../fixtures/reviews.ts';

function reviewOf(wire: unknown): Review {
  const parsed = parseAdmissionReview(wire);
  if ('problem' in parsed) throw new Error(parsed.problem);
  return parsed.review;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

t.test('a body that is no review is refused in words, with its uid if it has one', async (t) => {
  const good = () => deployReview({ reviewUid: 'r-1' });
  const withRequest = (change: object) => ({ ...good(), request: { ...good().request, ...change } });
  const rows: [string, unknown, string | undefined, RegExp][] = [
    ['nothing', undefined, undefined, /the body must be object/],
    ['null', null, undefined, /the body must be object/],
    ['a text', 'hello', undefined, /the body must be object/],
    ['a list', [], undefined, /the body must/],
    ['an empty object', {}, undefined, /the body must have required properties apiVersion, kind, request/],
    [
      'a version of long ago',
      { ...good(), apiVersion: 'admission.k8s.io/v1beta1' },
      'r-1',
      /apiVersion must be/,
    ],
    ['another kind', { ...good(), kind: 'ConversionReview' }, 'r-1', /kind must be/],
    ['no request', { ...good(), request: null }, undefined, /request must be object/],
    ['a request that is a text', { ...good(), request: 'x' }, undefined, /request must be object/],
    ['an empty uid', withRequest({ uid: '' }), undefined, /request\.uid must/],
    ['a number as uid', withRequest({ uid: 7 }), undefined, /request\.uid must be string/],
    ['no operation', withRequest({ operation: undefined }), 'r-1', /operation/],
    ['no resource', withRequest({ resource: undefined }), 'r-1', /resource/],
    ['a number as namespace', withRequest({ namespace: 5 }), 'r-1', /request\.namespace must be string/],
    ['dryRun "yes"', withRequest({ dryRun: 'yes' }), 'r-1', /request\.dryRun must/],
    ['labels that are numbers', labelled({ version: 7 }), 'r-1', /request\.object/],
    [
      'annotations that are numbers',
      withRequest({ operation: 'DELETE', oldObject: { metadata: { annotations: { a: 1 } } } }),
      'r-1',
      /request\.oldObject/,
    ],
    [
      'wrong in two places: the first one is told, and no other',
      { ...withRequest({ resource: {} }), kind: 'X' },
      'r-1',
      /: kind must be "AdmissionReview"$/,
    ],
    ['a name that no object can have', withRequest({ name: 'a=b' }), 'r-1', /request\.name must match/],
    ['a path as name', named({ name: '../x' }), 'r-1', /request\.object\.metadata\.name must match/],
    ['half a character', named({ name: 'a\ud800' }), 'r-1', /request\.object\.metadata\.name must match/],
    ['a name that is too long', withRequest({ name: 'a'.repeat(254) }), 'r-1', /more than 253/],
    ['a namespace that is none', withRequest({ namespace: '..' }), 'r-1', /request\.namespace must match/],
    ['too long a namespace', withRequest({ namespace: 'a'.repeat(64) }), 'r-1', /more than 63/],
    ['a uid that is none', named({ uid: '{}' }), 'r-1', /request\.object\.metadata\.uid must match/],
    ['a uid of a megabyte', named({ uid: 'a'.repeat(2 ** 20) }), 'r-1', /more than 64/],
    ['nobody asks', withRequest({ userInfo: null }), 'r-1', /request\.userInfo must be object/],
    [
      'groups that are numbers, of which the first is told',
      withRequest({ userInfo: { groups: ['a', ...Array(10_000).fill(7)] } }),
      'r-1',
      /: request\.userInfo\.groups\.1 must be string$/,
    ],
    [
      'extra values that are no lists',
      withRequest({ userInfo: { extra: { a: null, b: 'c', d: 'e' } } }),
      'r-1',
      /: request\.userInfo\.extra\.b must be array$/,
    ],
    [
      'a label whose name is not for terminals, and is long',
      labelled({ [`\u001b[2J${'a'.repeat(70)}`]: 7 }),
      'r-1',
      /: request\.object\.metadata\.labels\."\\u001b\[2Ja{56}…" must be string$/,
    ],
  ];
  for (const [name, body, uid, problem] of rows) {
    const parsed = parseAdmissionReview(body);
    t.equal(parsed.uid, uid, `${name}: the uid`);
    const text = 'problem' in parsed ? parsed.problem : 'none';
    t.match(text, problem, name);
    t.match(text, /^not an AdmissionReview of admission\.k8s\.io\/v1: /, name);
  }
});

function labelled(labels: object): object {
  return named({ labels });
}

function named(metadata: object): object {
  const review = deployReview({ reviewUid: 'r-1' });
  Object.assign(review.request.object?.metadata ?? {}, metadata);
  return review;
}

t.test('a DELETE shows what is to be deleted', async (t) => {
  const deletion = fixture('helm4.1.4-uninstall-delete-none');
  t.match(reviewOf(deletion), {
    operation: 'DELETE',
    name: /^sh\.helm\.release\.v1\./,
    labels: { owner: 'helm' },
    objectUid: deletion.request.oldObject?.metadata.uid,
    type: 'helm.sh/release.v1',
    annotations: {},
  });
  // When a collection is deleted, the API server names none of its objects.
  const unnamed = fixture('helm4.1.4-uninstall-delete-none');
  const { name } = unnamed.request;
  unnamed.request.name = '';
  t.equal(reviewOf(unnamed).name, name);
});

t.test('a creation shows what is to be stored, a deletion what was', async (t) => {
  const record = (uid: string) => ({ metadata: { uid, annotations: { of: uid } } });
  for (const [operation, uid] of [
    ['CREATE', 'new'],
    ['UPDATE', 'new'],
    ['DELETE', 'old'],
  ] as const) {
    const wire = deployReview();
    Object.assign(wire.request, { operation, object: record('new'), oldObject: record('old') });
    t.match(reviewOf(wire), { operation, objectUid: uid, annotations: { of: uid } }, operation);
  }
  const gone = deployReview();
  Object.assign(gone.request, { operation: 'DELETE', oldObject: null });
  t.match(reviewOf(gone), { objectUid: '', labels: {}, annotations: {} }, 'a deletion that shows nothing');
});

t.test('an update shows what it replaces', async (t) => {
  const wire = deployReview();
  const { request } = wire;
  const labels = { owner: 'helm', status: 'pending-install' };
  const metadata = { name: 'x', labels, annotations: { a: 'b' } };
  Object.assign(request, { operation: 'UPDATE', oldObject: { type: 'helm.sh/release.v1', metadata } });
  t.match(reviewOf(wire).before, { type: 'helm.sh/release.v1', labels, annotations: { a: 'b' } });
  for (const oldObject of [null, {}, { metadata: null }]) {
    Object.assign(request, { oldObject });
    t.strictSame(reviewOf(wire).before, { type: undefined, labels: {}, annotations: {} });
  }
  for (const operation of ['CREATE', 'DELETE']) {
    Object.assign(request, { operation });
    t.equal(reviewOf(wire).before, undefined, operation);
  }
});

t.test('who sent it', async (t) => {
  const extra = (name: unknown, uid: unknown) => ({
    'authentication.kubernetes.io/pod-name': name,
    'authentication.kubernetes.io/pod-uid': uid,
  });
  const runner = 'system:serviceaccount:ci:runner';
  const pod = { namespace: 'ci', name: 'runner-7f9c', uid: 'f4ff' };
  for (const [name, userInfo, expected] of [
    ['a person', { username: 'alice' }, { user: 'alice', pod: undefined }],
    ['a person with empty extras', { username: 'alice', extra: null }, { user: 'alice', pod: undefined }],
    [
      'a service account in a pod',
      { username: runner, extra: extra(['runner-7f9c'], ['f4ff']) },
      { user: runner, pod },
    ],
    ['a token without a pod', { username: runner, extra: {} }, { user: runner, pod: undefined }],
    ['a pod without a uid', { username: runner, extra: extra(['p'], []) }, { user: runner, pod: undefined }],
    [
      'a person who claims a pod',
      { username: 'mallory', extra: extra(['p'], ['u']) },
      { user: 'mallory', pod: undefined },
    ],
    [
      'a pod that cannot be',
      { username: runner, extra: extra(['../runner'], ['f4ff']) },
      { user: runner, pod: undefined },
    ],
    [
      'a name that is too long to be remembered',
      { username: 'a'.repeat(1_025) },
      { user: `${'a'.repeat(955)}\\u{…${sha256('a'.repeat(1_025))}}`, pod: undefined },
    ],
    [
      'a name that a terminal would obey',
      { username: 'alice\u001b[2J\u202e' },
      { user: 'alice\\u{1b}[2J\\u{202e}', pod: undefined },
    ],
    [
      'a role with such a name',
      { username: 'alice', extra: { canonicalArn: ['arn:\u009b'] } },
      { user: 'alice', canonicalArn: 'arn:\\u{9b}', pod: undefined },
    ],
    [
      'a session of a role, on EKS',
      { username: 'deployer:job-1', extra: { canonicalArn: ['arn:aws:iam::1:role/deployer'] } },
      { user: 'deployer:job-1', canonicalArn: 'arn:aws:iam::1:role/deployer', pod: undefined },
    ],
    [
      'a role without a name',
      { username: 'alice', extra: { canonicalArn: [''] } },
      { user: 'alice', pod: undefined },
    ],
    [
      'a role whose name is too long',
      { username: 'alice', extra: { canonicalArn: ['a'.repeat(1_025)] } },
      {
        user: 'alice',
        canonicalArn: `${'a'.repeat(955)}\\u{…${sha256('a'.repeat(1_025))}}`,
        pod: undefined,
      },
    ],
    ['nobody', {}, { user: 'an unnamed user', pod: undefined }],
  ] as const) {
    const wire = deployReview();
    Object.assign(wire.request, { userInfo });
    t.same(reviewOf(wire).client, expected, name);
  }
});

t.test('odd but possible objects', async (t) => {
  const generated = deployReview();
  generated.request.name = '';
  t.equal(
    reviewOf(generated).name,
    'sh.helm.release.v1.api.v7',
    'generateName: the name is in the object only',
  );

  const nameless = deployReview();
  Object.assign(nameless.request, { object: {} });
  t.equal(
    reviewOf(nameless).name,
    'sh.helm.release.v1.api.v7',
    'the request names it when the object does not',
  );
  Object.assign(nameless.request, { name: undefined, namespace: undefined, dryRun: undefined });
  t.match(reviewOf(nameless), { name: '', namespace: '', dryRun: false });

  for (const data of [undefined, null, 'text', {}, { release: 7 }]) {
    const wire = deployReview();
    Object.assign(wire.request.object ?? {}, { data });
    t.equal(reviewOf(wire).payload(), '', `a record whose data is ${JSON.stringify(data)}`);
  }
  const review = reviewOf(deployReview({ payload: 'SDRz' }));
  t.equal(review.payload(), 'SDRz');
  review.forgetPayload();
  t.equal(review.payload(), '');
});

t.test('a review can be logged without its payload', async (t) => {
  t.notMatch(JSON.stringify(reviewOf(deployReview({ payload: 'top-secret-values' }))), /top-secret-values/);
});

t.test('the answers, to the byte', async (t) => {
  for (const [name, verdict, response] of [
    ['allowed', { allowed: true, warnings: [] }, { uid: 'r-1', allowed: true }],
    [
      'allowed with a warning',
      { allowed: true, warnings: ['careful'] },
      { uid: 'r-1', allowed: true, warnings: ['careful'] },
    ],
    [
      '400',
      { allowed: false, denial: { code: 400, message: 'no' } },
      {
        uid: 'r-1',
        allowed: false,
        status: { status: 'Failure', code: 400, reason: 'BadRequest', message: 'no' },
      },
    ],
    [
      '403',
      { allowed: false, denial: { code: 403, message: 'no' } },
      {
        uid: 'r-1',
        allowed: false,
        status: { status: 'Failure', code: 403, reason: 'Forbidden', message: 'no' },
      },
    ],
    [
      '409',
      { allowed: false, denial: { code: 409, message: 'no' } },
      {
        uid: 'r-1',
        allowed: false,
        status: { status: 'Failure', code: 409, reason: 'Conflict', message: 'no' },
      },
    ],
    [
      '429',
      { allowed: false, denial: { code: 429, message: 'later', retryAfterSeconds: 20 } },
      {
        uid: 'r-1',
        allowed: false,
        status: {
          status: 'Failure',
          code: 429,
          reason: 'TooManyRequests',
          message: 'later',
          details: { retryAfterSeconds: 20 },
        },
      },
    ],
  ] as const) {
    t.equal(
      JSON.stringify(toAdmissionReview('r-1', verdict)),
      JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response }),
      name,
    );
  }
});

t.test('rule 1 does not ask what an object looks like that is no record', async (t) => {
  for (const [name, object] of [
    ['a type that is an object', { type: { a: 1 }, metadata: {} }],
    ['no metadata', { metadata: null }],
    ['labels that are numbers', { metadata: { labels: { a: 1 } } }],
  ] as const) {
    const wire = deployReview();
    wire.request.resource.resource = 'pods';
    Object.assign(wire.request, { object, userInfo: null });
    t.match(reviewOf(wire), { driver: undefined, operation: 'CREATE' }, name);
  }
});

t.test('what Go writes for nothing is nothing', async (t) => {
  const wire = deployReview();
  Object.assign(wire.request, { dryRun: null, userInfo: { username: 'alice', extra: { scopes: null } } });
  t.match(reviewOf(wire), { dryRun: false, client: { user: 'alice', pod: undefined } });
  Object.assign(wire.request, { object: { type: null, metadata: null, data: null } });
  t.match(reviewOf(wire), { type: undefined, labels: {}, objectUid: '' });
});
