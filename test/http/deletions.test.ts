/** Deletions are the guard's business, ReleaseLocks have a guard of their own, everything else is the gate's. */
import t from 'tap';
import type { Verdict } from '../../src/gate/admission-review.ts';
import { deployReview } from '../fixtures/reviews.ts';
import { restApp } from '../support/app.ts';

const RELEASE_LOCKS = { group: 'lockkeeper.dev', version: 'v1alpha1', resource: 'releaselocks' };

function reviewOf(operation: string, resource?: typeof RELEASE_LOCKS) {
  const { request, ...review } = deployReview({ reviewUid: 'r-1' });
  if (resource) request.resource = resource;
  const objects = operation === 'DELETE' ? { object: null, oldObject: request.object } : {};
  return { ...review, request: { ...request, operation, ...objects } };
}

t.test(
  'given a review, then one of the three answers it, and is told how long the caller waits',
  async (t) => {
    const calls: string[] = [];
    const judge = (name: string) => ({
      review: async (
        _review: unknown,
        { timeoutMs }: { readonly timeoutMs: number | undefined },
      ): Promise<Verdict> => {
        calls.push(`${name} ${timeoutMs}`);
        return { allowed: false, denial: { code: 409, message: `the ${name} says no` } };
      },
    });
    const { app } = await restApp(t, {
      gate: judge('gate'),
      guard: judge('guard'),
      fenceObserver: judge('observer of the fence'),
      releaseLockGuard: judge('guard of ReleaseLocks'),
    });
    for (const [operation, message, resource] of [
      ['CREATE', 'the gate says no'],
      ['UPDATE', 'the observer of the fence says no'],
      ['DELETE', 'the guard says no'],
      ['UPDATE', 'the guard of ReleaseLocks says no', RELEASE_LOCKS],
      ['DELETE', 'the guard of ReleaseLocks says no', RELEASE_LOCKS],
    ] as const) {
      const payload = reviewOf(operation, resource);
      const answer = await app.inject({ method: 'POST', url: '/admission?timeout=5s', payload });
      t.match(answer.json(), { response: { uid: 'r-1', allowed: false, status: { message } } }, operation);
    }
    t.strictSame(calls, [
      'gate 5000',
      'observer of the fence 5000',
      'guard 5000',
      ...Array(2).fill('guard of ReleaseLocks 5000'),
    ]);
  },
);

t.test(
  'given the guard cannot read the cluster, then the call fails, and failurePolicy decides',
  async (t) => {
    const { app } = await restApp(t, {
      guard: {
        review: async () => {
          throw new Error('connect ECONNREFUSED');
        },
      },
    });
    const answer = await app.inject({ method: 'POST', url: '/admission', payload: reviewOf('DELETE') });
    t.equal(answer.statusCode, 500);
    t.equal(answer.body, 'lockkeeper cannot read release records: connect ECONNREFUSED');
  },
);
