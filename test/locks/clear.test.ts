/** Clearing a lock, §4.3: what comes of it, and what is left behind, when nobody else writes meanwhile. */
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { STRATEGIES } from '../../src/gate/clearing.ts';
import { DRIVERS } from '../../src/helm/release.ts';
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import {
  helmRecord,
  jsonOf,
  lockedRelease,
  MINUTE,
  pathOf,
  releaseJson,
  startClearing,
} from '../support/clearing.ts';
import { record } from '../support/records.ts';

for (const driver of DRIVERS) {
  const helm = driver === 'secrets' ? 'helm' : 'HELM_DRIVER=configmap helm';
  const rollback = `${helm} rollback api 5 -n prod`;
  const upgrades = [`${helm} upgrade api CHART -n prod`, `${helm} upgrade --install api CHART -n prod`];

  t.test(`given a stale lock in ${driver}`, async (t) => {
    for (const strategy of STRATEGIES) {
      const clearing = await startClearing(t);
      const { metadata } = await lockedRelease(clearing, { driver });
      const outcome = await clearing.clear({ strategy });
      t.match(
        outcome,
        {
          kind: 'cleared',
          lock: {
            revision: { number: 6, status: 'pending-upgrade', uid: metadata.uid, release: { driver } },
          },
          judgement: { verdict: 'expired', reason: /^no sign of life for 1h/ },
        },
        `when it is cleared by ${strategy}, then the lock and the verdict are told`,
      );
      const next = outcome.kind === 'cleared' && outcome.next;
      t.same(next, [...upgrades, rollback], 'and what works now');
      const left = (await clearing.admin.list(pathOf(driver))).map(
        (object) => `${object.metadata.labels?.version} ${object.metadata.labels?.status}`,
      );
      t.same(left, strategy === 'delete' ? ['5 deployed'] : ['5 deployed', '6 failed']);
      t.same(await clearing.clear({ strategy }), { kind: 'free' }, 'and a second time there is no lock');
    }
  });

  t.test(`given a stale lock in ${driver} with things on it that are not Helm's`, async (t) => {
    const clearing = await startClearing(t);
    const before = await lockedRelease(clearing, {
      driver,
      change: (helms) => ({
        ...helms,
        data: { ...(helms.data as object), other: 'AAECAw==' },
        metadata: {
          ...helms.metadata,
          labels: { ...helms.metadata.labels, modifiedAt: '1767225600', team: 'blue' },
          annotations: { 'example.com/note': 'keep me — ünchanged' },
          finalizers: ['example.com/keep'],
          ownerReferences: [
            { apiVersion: 'v1', kind: 'Namespace', name: 'prod', uid: 'u', controller: false },
          ],
        },
      }),
    });
    t.match(await clearing.clear({ reason: 'CI job "42" died €' }), { kind: 'cleared' });
    const after = await clearing.admin.get(pathOf(driver, 6));

    const description =
      /^Cleared by alice at (\S+), was pending-upgrade: no sign of life for 1h.*; CI job "42" died €$/;
    const json = jsonOf(after);
    const info = JSON.parse(json).info as { description: string };
    t.match(info.description, description, 'when it is marked failed, then the description says who and why');
    const at = Date.parse(description.exec(info.description)?.[1] ?? '');
    t.ok(Math.abs(at - clearing.cluster.clock.now()) < MINUTE / 2, 'and when, by the clock of the cluster');
    t.equal(
      json,
      releaseJson('failed', 6, JSON.stringify(info.description).slice(1, -1)),
      'and no other byte of the JSON is changed',
    );
    t.same(withoutWrite(after), withoutWrite(before), 'and nothing else of the object');
    t.equal(after.metadata.labels?.status, 'failed', 'but the label');
    t.not(after.metadata.resourceVersion, before.metadata.resourceVersion);
  });
}

/** An object without what marking it failed changes, and what the API server notes of each write. */
function withoutWrite({ metadata, ...object }: StoredObject): object {
  const { managedFields: _managedFields, resourceVersion: _resourceVersion, ...kept } = metadata;
  const labels = { ...metadata.labels, status: '' };
  return { ...object, data: { ...(object.data as object), release: '' }, metadata: { ...kept, labels } };
}

t.test('given a lock that is still live', async (t) => {
  for (const strategy of STRATEGIES) {
    const clearing = await startClearing(t);
    await lockedRelease(clearing, { minutes: 5 });
    clearing.cluster.traffic.reset();
    t.match(
      await clearing.clear({ strategy }),
      {
        kind: 'live',
        lock: { revision: { number: 6 } },
        judgement: { verdict: 'live', reason: /^created 5m.* ago, stale in / },
      },
      `when it is cleared by ${strategy}, then it is left alone`,
    );
    t.same(
      ['list', 'get', 'update', 'delete', 'create'].map(clearing.count),
      [1, 0, 0, 0, 0],
      'for one look, and nothing is read or written',
    );
    t.same(clearing.cleared, []);
    t.match(
      await clearing.clear({ strategy, force: true }),
      { kind: 'cleared', judgement: { verdict: 'live' } },
      'when it is forced, then it is cleared',
    );
  }
});

t.test('given a lock whose holder’s pod is there again', async (t) => {
  const clearing = await startClearing(t);
  const { clear, holders, deaths, revived } = clearing;
  const { metadata } = await lockedRelease(clearing);
  const pod = { namespace: 'ci', name: 'runner-7f9c', uid: 'pod-1' };
  holders.set(metadata.uid, { user: 'runner', pod, podKind: 'job' });
  deaths.set(pod.uid, { how: 'is gone', provenAt: 0 });
  revived.add(pod.uid);
  t.match(await clear(), { kind: 'live', judgement: { verdict: 'live' } });
  revived.clear();
  t.match(await clear(), { kind: 'cleared', judgement: { verdict: 'dead-holder' } });
});

t.test('given a lock of which the caller names a part', async (t) => {
  const clearing = await startClearing(t);
  const { metadata } = await lockedRelease(clearing);
  const lock = { revision: { number: 6, uid: metadata.uid } };
  for (const [name, named] of [
    ['another revision', { revision: 5 }],
    ['another uid', { uid: 'another' }],
    ['its revision, and another uid', { revision: 6, uid: 'another' }],
    ['its uid, and another revision', { revision: 7, uid: metadata.uid }],
    ['another revision, by force', { revision: 5, force: true }],
  ] as const) {
    for (const strategy of STRATEGIES) {
      t.match(
        await clearing.clear({ ...named, strategy }),
        { kind: 'other', lock },
        `${name}, by ${strategy}`,
      );
    }
  }
  t.equal((await clearing.admin.get(pathOf('secrets', 6))).metadata.labels?.status, 'pending-upgrade');
  t.match(await clearing.clear({ revision: 6, uid: metadata.uid }), { kind: 'cleared' }, 'the very one');
});

t.test('given a release without a lock', async (t) => {
  const clearing = await startClearing(t);
  const { admin, cluster } = clearing;
  const target = (name: string) => ({ target: { namespace: 'prod', name } });
  await admin.create(pathOf('secrets'), record('shadowed', 6, 'pending-upgrade'));
  await admin.create(pathOf('secrets'), record('shadowed', 7, 'deployed'));
  await admin.create(pathOf('secrets'), record('done', 1, 'deployed'));
  cluster.clock.advance(60 * MINUTE);
  for (const [name, release] of [
    ['that does not exist', 'nobody'],
    ['that is deployed', 'done'],
    ['whose pending revision has a newer one above it', 'shadowed'],
  ] as const) {
    t.same(await clearing.clear({ ...target(release), force: true }), { kind: 'free' }, name);
  }
});

t.test('given locks of one name in both drivers', async (t) => {
  const clearing = await startClearing(t);
  await lockedRelease(clearing, { driver: 'secrets' });
  await lockedRelease(clearing, { driver: 'configmaps' });
  const statuses = async () =>
    Promise.all(
      DRIVERS.map(async (driver) => (await clearing.admin.get(pathOf(driver, 6))).metadata.labels?.status),
    );
  t.match(await clearing.clear({ target: { namespace: 'prod', name: 'api', driver: 'configmaps' } }), {
    kind: 'cleared',
  });
  t.same(await statuses(), ['pending-upgrade', 'failed'], 'when one is named, then that one is cleared');
  t.match(await clearing.clear(), { kind: 'cleared' });
  t.same(await statuses(), ['failed', 'failed'], 'when none is named, then the one that is left');
});

t.test('given a lone first revision', async (t) => {
  for (const [strategy, next] of [
    ['delete', ['helm install api CHART -n prod', 'helm upgrade --install api CHART -n prod']],
    ['mark-failed', ['helm upgrade api CHART -n prod', 'helm upgrade --install api CHART -n prod']],
  ] as const) {
    const clearing = await startClearing(t);
    await clearing.admin.create(pathOf('secrets'), helmRecord(1, 'pending-install'));
    clearing.cluster.clock.advance(60 * MINUTE);
    t.match(await clearing.clear({ strategy }), { kind: 'cleared', next }, `trap 16: ${strategy}`);
  }
});

t.test('given a record that cannot be edited', async (t) => {
  const gzipped = (json: string) => gzipSync(json).toString('base64');
  for (const [name, change, words] of [
    ['whose payload is no base64', { payload: '%%%' }, 'its payload is not base64'],
    [
      'that says deployed inside',
      { payload: gzipped(releaseJson('deployed', 6)) },
      'its own status is deployed',
    ],
    ['without data', undefined, 'its payload is not a JSON object'],
  ] as const) {
    const clearing = await startClearing(t);
    const { data, ...rest } = record('api', 6, 'pending-upgrade', change);
    const before = await clearing.admin.create(pathOf('secrets'), change ? { ...rest, data } : rest);
    clearing.cluster.clock.advance(60 * MINUTE);
    clearing.cluster.traffic.reset();
    const outcome = await clearing.clear();
    t.match(outcome, { kind: 'unreadable', lock: { revision: { number: 6 } } }, name);
    t.ok(outcome.kind === 'unreadable' && outcome.words.startsWith(words), 'then it is said why');
    t.same(await clearing.admin.get(pathOf('secrets', 6)), before, 'and it stays as it is');
    t.same(clearing.cleared, []);
    t.match(await clearing.clear({ strategy: 'delete' }), { kind: 'cleared' }, 'but it can be deleted');
  }
});
