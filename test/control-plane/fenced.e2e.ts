/** What the fence refuses is told: the API server asks Lockkeeper before it asks the fence, and about nothing else. */
import t from 'tap';
import { lockkeeperOn } from '../e2e/world.ts';
import { startFront } from '../support/front.ts';
import { record } from '../support/records.ts';
import { STATUSES } from '../support/statuses.ts';
import { crew, fencedOf, putUpFence, putUpObserver } from './crew.ts';

t.test('a zombie is kept out, and that is told of its record', async (t) => {
  const { admin, cluster } = await crew(t);
  // One of its own for the webhook of the fence: another webhook is asked about updates, too.
  const front = await startFront(t, await lockkeeperOn(t, cluster));
  await putUpFence(admin);
  await putUpObserver(admin, front);
  const zombie = await cluster.client({ username: 'bob' });

  /** Of a release of its own: the gate has whoever takes a number again wait for a second. */
  async function write(
    release: string,
    was: string,
    becomes: string,
    query: '?dryRun=All' | '',
  ): Promise<number> {
    const { metadata, ...rest } = record(release, 6, was, { driver: 'configmaps' });
    const annotations = { 'lockkeeper.dev/allow-delete': 'true' };
    const before = { ...rest, metadata: { ...metadata, annotations } };
    const collection = '/api/v1/namespaces/prod/configmaps';
    const path = `${collection}/${metadata.name}`;
    await admin.create(collection, before);
    const after = record(release, 6, becomes, { driver: 'configmaps' });
    const { code } = await zombie.request('PUT', `${path}${query}`, after);
    await admin.remove(path);
    return code;
  }

  const asked = () => front.admissions.filter(({ operation }) => operation === 'UPDATE').length;
  for (const was of STATUSES) {
    for (const becomes of STATUSES) {
      const before = asked();
      const code = await write(`${was}-${becomes}`, was, becomes, '?dryRun=All');
      t.equal(asked() - before, code === 200 ? 0 : 1, `${was} → ${becomes}: ${code}`);
    }
  }
  t.same(await fencedOf(admin, 'failed-deployed', 0), [], 'nothing is told of dry runs');
  t.not(await write('api', 'failed', 'deployed', ''), 200);
  t.same(await fencedOf(admin, 'api', 1), [
    'Warning on sh.helm.release.v1.api.v6: bob was kept from making revision 6 of release api, which is failed, deployed again',
  ]);
});
