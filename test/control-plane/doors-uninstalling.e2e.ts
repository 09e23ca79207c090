/** A deploy beside `helm uninstall`: an uninstall that is at work holds deploys, as a deploy does. */
import t from 'tap';
import { STALE_AFTER_MS } from '../e2e/world.ts';
import { historyOf, nameAt, OLD_AND_NEW, type Place, upToHook, works } from './crew.ts';
import { type FencedCrew, fencedCrew } from './fenced-crew.ts';

/** Of Lockkeeper: each call is held for a second, and the next one comes a second later. */
const BRIEF = { holdSeconds: 1, retryAfterSeconds: 1 };

const places: readonly Place[] = OLD_AND_NEW.map((version, index) => ({
  version,
  driver: index === 1 ? 'configmap' : 'secret',
}));

/** An uninstall of Alice's that waits in its hook, and a rollback of Bob's that waits for it. */
async function rollbackBesideUninstall(w: FencedCrew, place: Place, release: string, hook: string) {
  await works(w, place, release, `install R CHART --set hooks={${hook}},outcome=Never`);
  const uninstall = await upToHook(w, place, release, 'uninstall R --keep-history');
  const held = w.lockkeeper.logs.line('held', (line) => line.release === release);
  const rollback = w.helm(place, `rollback ${release} 1`, 'bob');
  return { uninstall, rollback, line: await held };
}

for (const hook of ['pre-delete', 'post-delete']) {
  t.test(`a rollback beside an uninstall that runs a ${hook} hook`, async (t) => {
    const w = await fencedCrew(t, BRIEF);
    await Promise.all(
      places.map(async (place) => {
        const release = nameAt(place, 'api');
        const { uninstall, rollback, line } = await rollbackBesideUninstall(w, place, release, hook);
        const during = await historyOf(w, place, release);
        await uninstall.finish();
        t.match(
          {
            line,
            during,
            uninstall: (await uninstall.running.done).code,
            rollback: (await rollback.done).code,
            history: await historyOf(w, place, release),
          },
          {
            line: { revision: 2, lock: { revision: 1, status: 'uninstalling' } },
            during: ['1 uninstalling'],
            uninstall: 0,
            rollback: 0,
            history: ['1 uninstalled', '2 deployed'],
          },
          `Helm ${place.version}, driver ${place.driver}: a rollback beside an uninstall that runs a ${hook} hook is held, and goes through by itself`,
        );
      }),
    );
  });
}

t.test('an uninstall that died in its hook', async (t) => {
  const w = await fencedCrew(t, BRIEF);
  await Promise.all(
    places.map(async (place) => {
      const release = nameAt(place, 'again');
      await works(w, place, release, 'install R CHART --set hooks={pre-delete},outcome=Never');
      const { running } = await upToHook(w, place, release, 'uninstall R --keep-history');
      running.kill('SIGKILL');
      await running.done;
      const { code } = await w.helm(place, `uninstall ${release} --no-hooks`, 'bob').done;
      const isHeld = w.lockkeeper.logs.lines.some(
        (line) => line.release === release && /held/.test(line.msg),
      );
      t.same(
        { code, isHeld, history: await historyOf(w, place, release) },
        { code: 0, isHeld: false, history: [] },
        `Helm ${place.version}, driver ${place.driver}: a second uninstall passes beside one that is at work`,
      );
    }),
  );
  const stale = await Promise.all(
    places.map(async (place) => {
      const release = nameAt(place, 'stale');
      const { uninstall, rollback } = await rollbackBesideUninstall(w, place, release, 'pre-delete');
      uninstall.running.kill('SIGKILL');
      await uninstall.running.done;
      return { place, release, rollback };
    }),
  );
  await w.cluster.letTimePass(STALE_AFTER_MS);
  await Promise.all(
    stale.map(async ({ place, release, rollback }) => {
      t.same(
        { code: (await rollback.done).code, history: await historyOf(w, place, release) },
        { code: 0, history: ['1 uninstalling', '2 deployed'] },
        `Helm ${place.version}, driver ${place.driver}: a rollback beside a dead uninstall goes through once that is stale`,
      );
    }),
  );
});
