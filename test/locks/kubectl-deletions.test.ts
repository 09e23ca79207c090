/** For how long the ReleaseLock of a lock that has ended is left to kubectl. */
import t from 'tap';
import type { Judgement } from '../../src/gate/lock.ts';
import type { ReleaseLock } from '../../src/kubernetes/release-locks.ts';
import { createKubectlDeletions } from '../../src/locks/kubectl-deletions.ts';
import { revision } from '../support/revisions.ts';

const SPEC = { driver: 'secrets', revision: 6, status: 'pending-upgrade', recordUID: 'uid-of-6', since: '' };

function entry(changes: Partial<ReleaseLock> = {}, annotations?: Record<string, string>): ReleaseLock {
  const metadata = { name: 'api', namespace: 'prod', uid: 'e', resourceVersion: '1' };
  return { metadata: { ...metadata, ...(annotations && { annotations }) }, spec: SPEC, ...changes };
}

function judged(verdict: Judgement['verdict']) {
  const lock = { revision: revision(6, 'pending-upgrade', { uid: 'uid-of-6' }), holder: undefined };
  return { lock, judgement: { verdict, reason: 'any', staleInSeconds: 0 } };
}

t.test('only a lock that kubectl may have ended keeps its ReleaseLock for a moment', async (t) => {
  const stored = entry();
  const deletions = createKubectlDeletions(new Map([['prod/api', stored]]));
  t.equal(deletions.graceFor(stored), 0, 'it was live');
  t.equal(deletions.graceFor(entry({ status: { verdict: 'expired' } })), 500, 'it says that it is stale');
  t.equal(deletions.graceFor(entry({}, { 'lockkeeper.dev/force': 'true' })), 500, 'it is marked');
  t.equal(deletions.graceFor(entry({}, { 'lockkeeper.dev/force': 'false' })), 0);
  deletions.note([judged('expired')]);
  t.equal(deletions.graceFor(stored), 500, 'it was stale when it was last seen');
  const { spec: _, ...empty } = stored;
  t.equal(deletions.graceFor(empty), 0, 'one that names no record');
  deletions.note([judged('live')]);
  t.equal(deletions.graceFor(stored), 0, 'it was written again');
});

t.test('what is not listed any more is forgotten', async (t) => {
  const entries = new Map([['prod/api', entry()]]);
  const deletions = createKubectlDeletions(entries);
  deletions.note([judged('dead-holder')]);
  entries.delete('prod/api');
  deletions.note([]);
  t.equal(deletions.graceFor(entry()), 0);
});
