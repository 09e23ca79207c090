/** What the API server knows of users. */
import t, { type Test } from 'tap';
import { createRequests } from '../../src/kubernetes/requests.ts';
import { createReviews, type ResourceAttributes, type UserInfo } from '../../src/kubernetes/reviews.ts';
import type { EmbeddedClusterOptions } from '../clusters/embedded/cluster.ts';
import { failure, never, startMeddling } from '../support/clearing.ts';

const ALICE = {
  username: 'alice',
  uid: '2',
  groups: ['devs'],
  extra: { 'example.com/team': ['blue', 'green'] },
};

async function startReviews(t: Test, options?: EmbeddedClusterOptions) {
  const meddling = await startMeddling(t, options);
  return {
    ...meddling,
    reviews: createReviews(createRequests({ connection: meddling.connection, pool: 'errands' })),
  };
}

/** Reviews of an API server that says this. */
function reviewsOf(answer: object) {
  const asked: { path: string; body: object }[] = [];
  const reviews = createReviews({
    async ask<T>(path: string, body: object) {
      asked.push({ path, body });
      return answer as T;
    },
  });
  return { asked, reviews };
}

t.test('whose token it is', async (t) => {
  const { reviews, cluster, once, on } = await startReviews(t);
  const groups = ['devs', 'system:authenticated'];
  t.same(await reviews.whose(await cluster.token(ALICE), never), { ...ALICE, groups });
  t.equal(await reviews.whose('forged', never), undefined, 'nobody’s');
  once('POST', () => ({ status: 503 }));
  t.match(await reviews.whose(await cluster.token(ALICE), never), { username: 'alice' }, 'asked again');
  on('POST', () => ({ status: 403 }));
  t.match(await failure(reviews.whose('forged', never)), { status: 403 }, 'unknown is not nobody’s');
});

t.test('a token is nobody’s unless the API server says whose it is', async (t) => {
  for (const [name, answer] of [
    ['no status', {}],
    ['no word of it', { status: {} }],
    ['not authenticated', { status: { authenticated: false, user: { username: 'alice' } } }],
    ['no user', { status: { authenticated: true } }],
    ['no name', { status: { authenticated: true, user: { username: '' } } }],
  ] as const) {
    t.equal(await reviewsOf(answer).reviews.whose('token', never), undefined, name);
  }
});

t.test('what a user may do', async (t) => {
  const asked: object[] = [];
  const { reviews } = await startReviews(t, {
    authorize: (request) => {
      if (!request.resource.startsWith('releaselocks')) return true;
      asked.push(request);
      return request.name === 'api';
    },
  });
  const attributes: ResourceAttributes = {
    group: 'lockkeeper.dev',
    resource: 'releaselocks',
    subresource: 'force',
    verb: 'delete',
    namespace: 'prod',
    name: 'api',
  };
  t.equal(await reviews.may(ALICE, attributes, never), true);
  t.equal(await reviews.may(ALICE, { ...attributes, name: 'web' }, never), false);
  t.match(asked[0], {
    user: { username: 'alice' },
    resource: 'releaselocks/force',
    verb: 'delete',
    namespace: 'prod',
    name: 'api',
  });
});

t.test('what the user who asks may do', async (t) => {
  const { asked, reviews } = reviewsOf({ status: { allowed: true } });
  const resourceAttributes = { group: 'lockkeeper.dev', resource: 'releaselocks', verb: 'list' };
  t.equal(await reviews.mayI(resourceAttributes, never), true);
  t.same(asked, [
    {
      path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
      body: {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SelfSubjectAccessReview',
        spec: { resourceAttributes },
      },
    },
  ]);
  for (const answer of [{}, { status: {} }, { status: { allowed: false } }]) {
    t.equal(await reviewsOf(answer).reviews.mayI(resourceAttributes, never), false);
  }
});

t.test('what is asked of it: the whole user, as it came', async (t) => {
  const { asked, reviews } = reviewsOf({ status: { allowed: true } });
  const resourceAttributes = { group: 'lockkeeper.dev', resource: 'releaselocks', verb: 'list' };
  const bob: UserInfo = { username: 'bob' };
  for (const user of [ALICE, bob]) t.equal(await reviews.may(user, resourceAttributes, never), true);
  const review = { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview' };
  const { username, ...more } = ALICE;
  t.same(
    asked.map(({ path, body }) => [path, JSON.parse(JSON.stringify(body))]),
    [
      [
        '/apis/authorization.k8s.io/v1/subjectaccessreviews',
        { ...review, spec: { user: username, ...more, resourceAttributes } },
      ],
      [
        '/apis/authorization.k8s.io/v1/subjectaccessreviews',
        { ...review, spec: { user: 'bob', resourceAttributes } },
      ],
    ],
  );
});

t.test('nobody may do anything unless the API server says so', async (t) => {
  for (const answer of [{}, { status: {} }, { status: { allowed: false } }, { status: { denied: true } }]) {
    const { reviews } = reviewsOf(answer);
    const attributes = { group: '', resource: 'secrets', verb: 'get' };
    t.equal(await reviews.may(ALICE, attributes, never), false, JSON.stringify(answer));
  }
});

t.test('who Lockkeeper is, asked once', async (t) => {
  const { reviews, on, cluster } = await startReviews(t);
  const mend = on('POST', () => ({ status: 403 }));
  t.match(await failure(reviews.whoAmI(never)), { status: 403 });
  mend();
  t.equal(await reviews.whoAmI(never), 'lockkeeper', 'a failure is not remembered');
  cluster.traffic.reset();
  t.equal(await reviews.whoAmI(never), 'lockkeeper');
  t.same(cluster.traffic.requests(), []);
});
