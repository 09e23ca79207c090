/** Which handler answers which review, and what becomes of a handler that cannot. */
import t from 'tap';
import { createAdmissionHandler } from '../../src/gate/admission-handler.ts';
import type { Verdict } from '../../src/gate/admission-review.ts';
import { DRIVERS } from '../../src/helm/release.ts';
import { deployReview, type WireReview } from '../fixtures/reviews.ts';
import { restApp } from '../support/app.ts';

const RELEASE_LOCKS = { group: 'lockkeeper.dev', version: 'v1alpha1', resource: 'releaselocks' };

/** A review of revision 7 of prod/api, with these labels before and after the write. */
function reviewOf(operation: string, before: object | null = {}, after: object | null = {}): WireReview {
  const review = deployReview({ reviewUid: 'r-1' });
  const { request } = review;
  const withLabels = (labels: object | null) =>
    request.object && {
      ...request.object,
      metadata: {
        ...request.object.metadata,
        labels: { ...request.object.metadata.labels, ...labels } as Record<string, string>,
      },
    };
  const object = operation === 'DELETE' ? null : withLabels(after);
  const oldObject = operation === 'CREATE' ? null : withLabels(before);
  return { ...review, request: { ...request, operation, object, oldObject } };
}

function ofReleaseLock(operation: string): WireReview {
  const review = reviewOf(operation);
  return { ...review, request: { ...review.request, resource: RELEASE_LOCKS } };
}

t.test('given a review, then one handler answers it, and is told how long the caller waits', async (t) => {
  const calls: string[] = [];
  const named = (name: string) => ({
    review: async (
      _review: unknown,
      { timeoutMs }: { readonly timeoutMs: number | undefined },
    ): Promise<Verdict> => {
      calls.push(`${name} ${timeoutMs}`);
      return { allowed: false, denial: { code: 409, message: `the ${name} says no` } };
    },
  });
  const admission = createAdmissionHandler({
    drivers: DRIVERS,
    gate: named('gate'),
    guard: named('guard'),
    updates: named('handler of updates'),
    uninstalls: named('handler of uninstalls'),
    restores: named('handler of restores'),
    fenceObserver: named('observer of the fence'),
    releaseLockGuard: named('guard of ReleaseLocks'),
  });
  const { app } = await restApp(t, { admission });
  const rows: [WireReview, string][] = [
    [reviewOf('CREATE'), 'gate'],
    [reviewOf('DELETE'), 'guard'],
    [reviewOf('UPDATE'), 'observer of the fence'],
    [reviewOf('UPDATE', {}, { status: 'failed' }), 'handler of updates'],
    [reviewOf('UPDATE', {}, { status: 'uninstalling' }), 'handler of uninstalls'],
    [reviewOf('UPDATE', { owner: 'nobody' }, { status: 'deployed' }), 'handler of restores'],
    [reviewOf('UPDATE', { status: 'failed' }, { status: 'deployed' }), 'observer of the fence'],
    [ofReleaseLock('UPDATE'), 'guard of ReleaseLocks'],
    [ofReleaseLock('DELETE'), 'guard of ReleaseLocks'],
  ];
  for (const [payload, handler] of rows) {
    const answer = await app.inject({ method: 'POST', url: '/admission?timeout=5s', payload });
    const status = { message: `the ${handler} says no` };
    t.match(answer.json(), { response: { uid: 'r-1', allowed: false, status } }, handler);
  }
  t.strictSame(
    calls,
    rows.map(([, handler]) => `${handler} 5000`),
  );
});

t.test(
  'given a handler cannot read the cluster, then the call fails, and failurePolicy decides',
  async (t) => {
    const { app } = await restApp(t, {
      admission: {
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
