/** Records that come beside a live upgrade, as restores and migrations create them: with a status that no deploy begins with. */
import t from 'tap';
import { STATUSES } from '../support/statuses.ts';
import { eventsOf, historyOf, nameAt, OLD_AND_NEW } from './crew.ts';
import { fencedCrew } from './fenced-crew.ts';
import { DRIVERS, IMPATIENT, liveUpgrade, lockedBy, writeAs } from './live-upgrade.ts';
import { nextRecord, recordPath } from './record-writes.ts';

/** What is not pending; the last two are none of Helm's. */
const NOT_PENDING = [...STATUSES.filter((status) => !status.startsWith('pending-')), 'restored', ''];

for (const driver of DRIVERS) {
  t.test(
    `${driver}: a record that is created beside a live lock, as a restore or a migration does`,
    async (t) => {
      const w = await fencedCrew(t, IMPATIENT);
      const place = { version: OLD_AND_NEW.at(-1) ?? '4.1.4', driver };
      const collection = `/api/v1/namespaces/prod/${driver}s`;
      const { running, finish, stored } = await liveUpgrade(w, place, 'api');
      const bob = await w.cluster.client({ username: 'bob' });
      const create = (object: object) => bob.request<{ message?: string }>('POST', collection, object);
      const third = (status: string, metadata: object = {}) => {
        const next = nextRecord(stored, status);
        return { ...next, metadata: { ...next.metadata, ...metadata } };
      };
      const labels = third('deployed').metadata.labels as Readonly<Record<string, string>>;
      const words = (status: string) =>
        `A record that is ${status || 'without a status'} from its start, as a restore or a migration writes it, has to come when the release is free\\.`;

      for (const status of NOT_PENDING) {
        const { code, body } = await create(third(status));
        t.match(
          [code, body.message],
          [409, lockedBy('api', words(status))],
          `revision 3, ${status || 'no status'}`,
        );
      }
      for (const [what, metadata] of Object.entries({
        'named after another release, with the label of this one': { name: 'sh.helm.release.v1.web.v3' },
        'named after this release, with the label of another one': { labels: { ...labels, name: 'web' } },
        'with a generated name': { name: undefined, generateName: 'sh.helm.release.v1.api.v' },
        'of revision 7': { name: 'sh.helm.release.v1.api.v7', labels: { ...labels, version: '7' } },
      })) {
        const { code, body } = await create(third('deployed', metadata));
        t.match([code, body.message], [409, lockedBy('api', words('deployed'))], what);
      }

      const unlabelled = `${collection}/sh.helm.release.v1.api.v3`;
      await bob.create(collection, third('deployed', { labels: undefined }));
      for (const given of [labels, { owner: 'helm', name: 'api' }, { ...labels, status: 'failed' }]) {
        const { code, body } = await bob.request<{ message?: string }>(
          'PATCH',
          unlabelled,
          { metadata: { labels: given } },
          { headers: { 'content-type': 'application/merge-patch+json' } },
        );
        const status = 'status' in given ? (given.status ?? '') : '';
        t.match(
          [code, body.message],
          [409, lockedBy('api', words(status))],
          `labels that come later: ${JSON.stringify(given)}`,
        );
      }
      await bob.remove(unlabelled);

      await bob.remove(recordPath(driver, 'api', 1));
      const first = {
        ...third('superseded'),
        metadata: {
          name: 'sh.helm.release.v1.api.v1',
          labels: { ...labels, version: '1', status: 'superseded' },
        },
      };
      t.equal((await create(first)).code, 201, 'what comes back below the live revision passes no lock');
      t.match(
        (await eventsOf(w.admin, 'Refused', 'api', 1))[0],
        /^Warning on sh\.helm\.release\.v1\.api\.v2: bob was refused to create \S+ \(.*\) beside it: revision 2 \(pending-upgrade\) of release api is live$/,
      );

      await finish();
      t.match(await running.done, { code: 0 }, 'the upgrade ends as if nobody had been there');
      t.same(await historyOf(w, place, 'api'), ['1 superseded', '2 deployed']);
      t.equal((await create(third('failed'))).code, 201, 'and then it may be created');
    },
  );
}

t.test('helm-mapkubeapis migrates a release whose upgrade is live', async (t) => {
  const w = await fencedCrew(t, IMPATIENT);
  await Promise.all(
    OLD_AND_NEW.map(async (version) => {
      const place = { version, driver: 'secret' } as const;
      const release = nameAt(place, 'api');
      const { running, finish, path, stored } = await liveUpgrade(w, place, release);
      const change = { label: 'superseded', payload: 'superseded' };
      const superseding = await writeAs(w, 'bob', { path, stored, change, way: 'PUT' });
      const bob = await w.cluster.client({ username: 'bob' });
      const next = nextRecord(stored, 'deployed');
      const creating = await bob.request('POST', '/api/v1/namespaces/prod/secrets', next);
      await finish();
      const { code } = await running.done;
      t.same(
        { codes: [superseding.code, creating.code, code], history: await historyOf(w, place, release) },
        { codes: [409, 409, 0], history: ['1 superseded', '2 deployed'] },
        `Helm ${version}: a migration of a release whose upgrade is live is refused, at both its writes`,
      );
    }),
  );
});
