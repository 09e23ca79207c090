/**
 * While an upgrade is live, other clients write its record: they take it for dead, as Flux does, or do not know of it. Each
 * story is told with real Helm, on a real cluster, with the fence.
 */
import t from 'tap';
import { freePort } from '../support/free-port.ts';
import { record } from '../support/records.ts';
import { eventsOf, historyOf, nameAt, OLD_AND_NEW } from './crew.ts';
import { fencedCrew } from './fenced-crew.ts';
import { DRIVERS, IMPATIENT, liveUpgrade, lockedBy, writeAs } from './live-upgrade.ts';
import { REFUSED_WRITES } from './refused-writes.ts';

const IN_PROGRESS = /another operation \(install\/upgrade\/rollback\) is in progress/;

t.test('Flux takes a live upgrade for a dead one, and deploys', async (t) => {
  const w = await fencedCrew(t, IMPATIENT);
  await Promise.all(
    OLD_AND_NEW.flatMap((version) =>
      DRIVERS.map(async (driver) => {
        const place = { version, driver };
        const release = nameAt(place, 'api');
        const { running, finish, path, stored } = await liveUpgrade(w, place, release);
        const marking = await writeAs(w, 'bob', {
          path,
          stored,
          change: { label: 'failed', payload: 'failed' },
          way: 'PUT',
        });
        const upgrade = await w.helm(place, `upgrade ${release} CHART --set message=third`, 'bob').done;
        const during = await historyOf(w, place, release);
        await finish();
        const { code } = await running.done;
        const name = `Helm ${version}, driver ${driver}: another client that writes failed over a live upgrade is refused`;
        t.match(
          {
            marking: [marking.code, marking.body.message],
            upgrade,
            during,
            ended: code,
            history: await historyOf(w, place, release),
            told: await eventsOf(w.admin, 'Refused', release, 1),
          },
          {
            marking: [409, lockedBy(release, 'While it is live, only its holder may make it failed\\.')],
            upgrade: { code: 1, stderr: IN_PROGRESS },
            during: ['1 deployed', '2 pending-upgrade'],
            ended: 0,
            history: ['1 superseded', '2 deployed'],
            told: [
              `Warning on sh.helm.release.v1.${release}.v2: bob was refused to make it failed: revision 2 (pending-upgrade) of release ${release} is live`,
            ],
          },
          name,
        );
      }),
    ),
  );
});

for (const driver of DRIVERS) {
  t.test(`${driver}: every way in which another client could end a live lock by a write`, async (t) => {
    const w = await fencedCrew(t, IMPATIENT);
    const place = { version: OLD_AND_NEW.at(-1) ?? '4.1.4', driver };
    const { running, finish, path, stored } = await liveUpgrade(w, place, 'api');
    for (const [what, { change, ways, code, words }] of Object.entries(REFUSED_WRITES)) {
      for (const way of ways) {
        const answer = await writeAs(w, 'bob', { path, stored, change, way });
        const message = code === 409 ? lockedBy('api', words) : new RegExp(`denied the request: ${words}`);
        t.match([answer.code, answer.body.message], [code, message], `${way}: ${what}`);
      }
    }
    const { metadata, data } = await w.admin.get(path);
    t.same([metadata.labels, data], [stored.metadata.labels, stored.data], 'nothing of it was stored');

    const hidden = await writeAs(w, 'bob', {
      path,
      stored,
      change: { payload: 'failed' },
      way: 'merge patch',
    });
    t.equal(
      hidden.code,
      200,
      'a payload that lies is not asked about: the label still says that it is locked',
    );
    const upgrade = await w.helm(place, 'upgrade api CHART', 'bob').done;
    t.match(
      upgrade,
      { code: 1, stderr: /release prod\/api is locked by revision 2/ },
      'Helm believes it; the gate does not',
    );

    await finish();
    t.match(await running.done, { code: 0 }, 'the upgrade ends as if nobody had been there');
    t.same(await historyOf(w, place, 'api'), ['1 superseded', '2 deployed']);
  });
}

t.test('who may end a live lock by a write', async (t) => {
  const w = await fencedCrew(t, IMPATIENT);
  const [alice, bob] = [
    await w.cluster.client({ username: 'alice' }),
    await w.cluster.client({ username: 'bob' }),
  ];
  const collection = '/api/v1/namespaces/prod/configmaps';
  const driver = 'configmaps';
  const end = async (release: string, user: string) => {
    const path = `${collection}/sh.helm.release.v1.${release}.v1`;
    const stored = await w.admin.get(path);
    const ended = record(release, 1, 'failed', {
      driver,
      payload: JSON.stringify({ info: { status: 'failed' } }),
    });
    const body = { ...ended, metadata: { ...ended.metadata, annotations: stored.metadata.annotations } };
    return (await w.cluster.client({ username: user })).request<{ message?: string }>('PUT', path, body);
  };
  const lock = (release: string) =>
    alice.create(collection, record(release, 1, 'pending-install', { driver }));

  await lock('own');
  t.equal((await end('own', 'alice')).code, 200, 'its holder may');
  await w.lockkeeper.logs.line('a lock was ended', ({ release }) => release === 'own');

  await lock('marked');
  await bob.patch(`${collection}/sh.helm.release.v1.marked.v1`, {
    metadata: { annotations: { 'lockkeeper.dev/allow-delete': 'true' } },
  });
  t.equal((await end('marked', 'bob')).code, 200, 'anybody may, once the record is marked');

  await lock('stale');
  await w.cluster.letTimePass(3_600_000);
  t.equal((await end('stale', 'bob')).code, 200, 'anybody may, once the lock is stale');

  await w.lockkeeper.removeWebhook();
  await lock('unknown');
  await w.lockkeeper.installWebhook();
  t.equal((await end('unknown', 'bob')).code, 200, 'anybody may, if the holder is unknown');

  for (const [release, holder] of [
    ['marked', 'its holder is alice'],
    ['stale', 'its holder is alice'],
    ['unknown', 'its holder is unknown'],
  ] as const) {
    t.same(await eventsOf(w.admin, 'Ended', release, 1), [
      `Warning on sh.helm.release.v1.${release}.v1: revision 1 (pending-install) of release ${release} was ended by bob: it is failed now; ${holder}`,
    ]);
  }
  t.same(await eventsOf(w.admin, 'Ended', 'own', 0), [], 'the end by its holder needs no Event');
});

t.test('another client that writes deployed is allowed, and everybody can see it', async (t) => {
  const metricsPort = await freePort();
  const w = await fencedCrew(t, { ...IMPATIENT, metricsPort });
  for (const version of OLD_AND_NEW) {
    const place = { version, driver: 'secret' } as const;
    const release = nameAt(place, 'api');
    const { running, finish, path, stored } = await liveUpgrade(w, place, release);
    const { code } = await writeAs(w, 'bob', {
      path,
      stored,
      change: { label: 'deployed', payload: 'deployed' },
      way: 'PUT',
    });
    const line = await w.lockkeeper.logs.line(
      'a client that is not known to hold the lock ended it',
      (one) => one.release === release,
    );
    await finish();
    const name = `Helm ${version}: another client that writes deployed is allowed, and Lockkeeper reports it`;
    t.match(
      {
        code,
        line,
        told: await eventsOf(w.admin, 'Ended', release, 1),
        ended: (await running.done).code,
        history: await historyOf(w, place, release),
      },
      {
        code: 200,
        line: { client: 'bob', before: 'pending-upgrade', after: 'deployed', relation: 'another-client' },
        told: [
          `Warning on sh.helm.release.v1.${release}.v2: revision 2 (pending-upgrade) of release ${release} was ended by bob: it is deployed now; its holder is alice`,
        ],
        ended: 0,
        history: [/^1 (deployed|superseded)$/, '2 deployed'],
      },
      name,
    );
  }
  const metrics = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const ended = new RegExp(
    `^lockkeeper_locks_ended_total\\{relation="another-client",status="deployed"\\} ${OLD_AND_NEW.length}$`,
    'm',
  );
  t.match(metrics, ended);
  t.match(metrics, /^lockkeeper_locks_ended_total\{relation="same-client",status="deployed"\} \d+$/m);
});
