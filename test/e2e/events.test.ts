/** The story of a lock, as `kubectl get events` tells it afterwards. */
import t from 'tap';
import { until } from '../support/until.ts';
import { CHART, history, STALE_AFTER_MS, succeeds, upgradeInFlight, world } from './world.ts';

interface Event {
  readonly metadata: { readonly resourceVersion: string };
  readonly reason: string;
  readonly message: string;
  readonly source?: { readonly component?: string };
  readonly involvedObject: { readonly uid: string; readonly kind: string; readonly name: string };
}

const RECORD = 'sh.helm.release.v1.api.v';

t.test('who held a lock, who waited for it, who was refused, and who went on', async (t) => {
  const w = await world(t, '4.1.4', 'secret', { config: { holdSeconds: 1, retryAfterSeconds: 1 } });
  await succeeds(t, w.helm(['install', 'api', CHART]), 'a first install');
  const live = await upgradeInFlight(w);
  const sentAway = () => w.front.next(({ code }) => code === 429);
  const twice = sentAway().then(sentAway);
  const rollback = w.helm(['rollback', 'api', '1'], 'bob');
  await twice;
  t.match(await w.kubectl(['delete', 'secret', `${RECORD}2`], 'bob'), { code: 1 });
  await live.finish();
  await succeeds(t, live.upgrade, 'the upgrade ends');
  await succeeds(t, rollback, 'the rollback goes on by itself');

  const { upgrade } = await upgradeInFlight(w, ['--reset-values', '--set', 'hook.pre=true']);
  upgrade.kill('SIGKILL');
  await upgrade.done;
  await w.cluster.letTimePass(STALE_AFTER_MS);
  // Its verdict, too: where time passes by giving records other dates, the entry that tells of the old ones goes first.
  const said = '--output=jsonpath={.spec.revision} {.status.verdict}';
  await until(
    () => w.kubectl(['get', 'rlock', 'api', said]),
    ({ stdout }) => stdout === '4 expired',
  );
  const deletion = await w.kubectl(['delete', 'rlock', 'api'], 'bob');
  t.equal(deletion.code, 0, `a stale lock is cleared ${deletion.stderr}`);
  t.same(await history(w), ['1 superseded', '2 superseded', '3 deployed', '4 failed']);

  const toldOf = async (kind: string) => {
    const { stdout } = await w.kubectl(['get', 'events', '--output', 'json']);
    const items = (JSON.parse(stdout).items as Event[])
      .filter(
        ({ source, involvedObject }) => source?.component === 'lockkeeper' && involvedObject.kind === kind,
      )
      .toSorted((a, b) => Number(a.metadata.resourceVersion) - Number(b.metadata.resourceVersion));
    // Where time passes by other dates, another ReleaseLock tells of the same lock: each is stale once.
    const newest = items.at(-1)?.involvedObject.uid;
    return items
      .filter(({ reason, involvedObject }) => reason !== 'Stale' || involvedObject.uid === newest)
      .map(({ reason, involvedObject, message }) => [reason, involvedObject.name, message]);
  };
  const events = (nameOf: (revision: number) => string) => [
    [
      'Held',
      nameOf(2),
      /^revision 3 \(pending-rollback\) of release api, by bob, waits for revision 2 \(alice\)$/,
    ],
    [
      'Refused',
      nameOf(2),
      /^bob was refused to delete its record: revision 2 \(pending-upgrade\) of release api is live$/,
    ],
    [
      'Admitted',
      nameOf(3),
      /^revision 3 \(pending-rollback\) of release api, by bob, went on after a wait of \d+s$/,
    ],
    [
      'Stale',
      nameOf(4),
      /^revision 4 \(pending-upgrade, .*\) of release api is stale: no sign of life for .*\. To clear it: kubectl delete /,
    ],
    [
      'Cleared',
      nameOf(4),
      /^revision 4 \(pending-upgrade\) of release api: Cleared by bob at .*: no sign of life for /,
    ],
  ];
  for (const [kind, nameOf] of [
    ['Secret', (revision: number) => `${RECORD}${revision}`],
    ['ReleaseLock', () => 'api'],
  ] as const) {
    const told = await until(
      () => toldOf(kind),
      (found) => found.length >= 5,
    );
    t.match(told, events(nameOf), kind);
    t.equal(told.length, 5, 'and nothing is told twice');
  }
});
