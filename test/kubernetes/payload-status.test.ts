/** The status that Helm reads in a stored record. */
import t from 'tap';
import { createPayloadStatusReader } from '../../src/kubernetes/payload-status.ts';
import type { StoredRecord } from '../../src/kubernetes/records.ts';
import { revision } from '../support/revisions.ts';

function packed(status: string): string {
  return btoa(btoa(JSON.stringify({ name: 'api', info: { status } })));
}

t.test('of this very record, and of no other', async (t) => {
  const metadata = { name: 'sh.helm.release.v1.api.v6', namespace: 'prod', uid: 'uid-of-6' };
  const rows: [string, StoredRecord | undefined, string | undefined][] = [
    ['the payload says it', { metadata, data: { release: packed('pending-upgrade') } }, 'pending-upgrade'],
    [
      'another record of that name',
      { metadata: { ...metadata, uid: 'x' }, data: { release: packed('failed') } },
      undefined,
    ],
    ['it is gone', undefined, undefined],
    ['it has no payload', { metadata }, undefined],
    ['it is no release', { metadata, data: { release: 'cGFzc3dvcmQ=' } }, undefined],
  ];
  for (const [name, stored, expected] of rows) {
    const asked: unknown[] = [];
    const statusOf = createPayloadStatusReader({
      read: async (...question) => {
        asked.push(question.slice(0, 3));
        return stored;
      },
    });
    t.equal(await statusOf(revision(6, 'deployed'), new AbortController().signal), expected, name);
    t.strictSame(asked, [['secrets', 'prod', 'sh.helm.release.v1.api.v6']]);
  }
});
