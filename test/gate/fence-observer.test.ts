/** What is told of the writes that the fence refuses. */
import t from 'tap';
import { parseAdmissionReview } from '../../src/gate/admission-review.ts';
import { createFenceObserver } from '../../src/gate/fence-observer.ts';
import type { Chapter } from '../../src/gate/story.ts';
import { DRIVERS, type Driver, type Revision } from '../../src/helm/release.ts';
import { type DeployOptions, deployReview } from '../fixtures/reviews.ts';
import { revision } from '../support/revisions.ts';
import { STATUSES } from '../support/statuses.ts';

interface Write extends DeployOptions {
  readonly operation?: string;
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** What is told when alice writes revision 6 of `prod/api`. */
async function toldOf(
  { operation = 'UPDATE', name, labels, ...options }: Write,
  stored: Revision | undefined,
  drivers: readonly Driver[] = DRIVERS,
): Promise<readonly Chapter[]> {
  const wire = deployReview({ revision: 6, user: 'alice', ...options });
  Object.assign(wire.request, { operation });
  if (name !== undefined) Object.assign(wire.request.object?.metadata ?? {}, { name });
  if (labels !== undefined) Object.assign(wire.request.object?.metadata ?? {}, { labels });
  const parsed = parseAdmissionReview(wire);
  if ('problem' in parsed) throw new Error(parsed.problem);
  const story: Chapter[] = [];
  const observer = createFenceObserver({
    drivers,
    reader: { at: async () => stored },
    onStory: (chapter) => story.push(chapter),
  });
  const call = { signal: new AbortController().signal, timeoutMs: 2_000 };
  t.same(await observer.review(parsed.review, call), { allowed: true, warnings: [] });
  return story;
}

t.test('given each status that a record has, and shall have, then these are told', async (t) => {
  const told: string[] = [];
  for (const was of [...STATUSES, '']) {
    for (const becomes of [...STATUSES, '']) {
      const story = await toldOf({ status: becomes }, revision(6, was));
      if (story.length > 0) told.push(`${was} → ${becomes}`);
    }
  }
  const pending = ['pending-install', 'pending-upgrade', 'pending-rollback'];
  t.same(told, [
    ...pending.map((status) => `deployed → ${status}`),
    ...['failed', 'superseded', 'uninstalling', 'uninstalled'].flatMap((was) =>
      ['deployed', ...pending].map((status) => `${was} → ${status}`),
    ),
  ]);
});

t.test('given a zombie, then it is told who it was, of the record as it is stored', async (t) => {
  t.same(await toldOf({ status: 'deployed', uid: 'forged' }, revision(6, 'failed')), [
    {
      reason: 'Fenced',
      record: { driver: 'secrets', namespace: 'prod', name: 'sh.helm.release.v1.api.v6', uid: 'uid-of-6' },
      message: 'alice was kept from making revision 6 of release api, which is failed, deployed again',
    },
  ]);
});

t.test('given anything else, then nothing is told', async (t) => {
  const failed = revision(6, 'failed');
  t.same(await toldOf({ status: 'deployed' }, undefined), [], 'no such record');
  t.same(await toldOf({ status: 'deployed', dryRun: true }, failed), [], 'a dry run');
  t.same(await toldOf({ status: 'deployed', operation: 'CREATE' }, failed), [], 'a creation');
  t.same(await toldOf({ status: 'deployed', name: 'settings' }, failed), [], 'no record of Helm');
  t.same(await toldOf({ labels: {} }, failed), [], 'a record that says nothing of itself');
  t.same(await toldOf({ status: 'deployed', driver: 'configmaps' }, failed, ['secrets']), [], 'not gated');
});
