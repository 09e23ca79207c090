/**
 * `helm uninstall` beside a live deploy. Helm logs a refusal of its first write and deletes everything all the same, so only the
 * wait holds it: Lockkeeper answers 429, and Helm's client comes back as often as ten times.
 */
import t from 'tap';
import { eventsOf, historyOf, nameAt, OLD_AND_NEW, type Place, upToHook, works } from './crew.ts';
import { type FencedCrew, fencedCrew } from './fenced-crew.ts';
import { liveUpgrade, writeAs } from './live-upgrade.ts';

/** Of Lockkeeper: each call is held for a second, and the next one comes a second later. */
const BRIEF = { holdSeconds: 1, retryAfterSeconds: 1 };

const PLACES: readonly Place[] = OLD_AND_NEW.map((version, index) => ({
  version,
  driver: index === 1 ? 'configmap' : 'secret',
}));

/** Each Helm at the same time, with a release of its own. */
function each(name: string, tell: (place: Place, release: string) => Promise<void>): Promise<unknown> {
  return Promise.all(PLACES.map((place) => tell(place, nameAt(place, name))));
}

/** Whether the resources of the release are there. */
async function isDeployed({ admin }: FencedCrew, release: string): Promise<boolean> {
  return (await admin.request('GET', `/api/v1/namespaces/prod/configmaps/${release}`)).code === 200;
}

/** Resolves when Bob's uninstall of this release was sent away so often. */
async function sentAway({ front }: FencedCrew, release: string, times: number): Promise<void> {
  for (let left = times; left > 0; left -= 1) {
    await front.next(({ user, operation, code, name }) => {
      return user === 'bob' && operation === 'UPDATE' && code === 429 && name.includes(`.${release}.`);
    });
  }
}

/** The answers to Bob's first write, call by call. */
function answersTo({ front }: FencedCrew, release: string): (number | undefined)[] {
  return front.admissions
    .filter(
      ({ user, operation, name }) =>
        user === 'bob' && operation === 'UPDATE' && name.includes(`.${release}.`),
    )
    .map(({ allowed, code }) => (allowed ? 200 : code));
}

/** What Helm prints in the end, and so while it waits as well: nothing of the wait. */
const uninstalled = (release: string) => ({
  code: 0,
  stdout: `release "${release}" uninstalled\n`,
  stderr: '',
});

for (const [option, history] of [
  ['', []],
  [' --keep-history', ['1 superseded', '2 uninstalled']],
] as const) {
  t.test(`helm uninstall${option} beside a live upgrade`, async (t) => {
    const w = await fencedCrew(t, BRIEF);
    await each('api', async (place, release) => {
      const { running, finish } = await liveUpgrade(w, place, release);
      const away = sentAway(w, release, 2);
      const uninstall = w.helm(place, `uninstall ${release}${option}`, 'bob');
      await away;
      const during = {
        history: await historyOf(w, place, release),
        isDeployed: await isDeployed(w, release),
      };
      await finish();
      const upgrade = await running.done;
      const name = `Helm ${place.version}, driver ${place.driver}: an uninstall${option} beside a live upgrade waits, and goes through by itself`;
      t.match(
        {
          during,
          upgrade: upgrade.code,
          uninstall: await uninstall.done,
          answers: answersTo(w, release).slice(-2),
          after: { history: await historyOf(w, place, release), isDeployed: await isDeployed(w, release) },
          told: await eventsOf(w.admin, 'Held', release, 1),
        },
        {
          during: { history: ['1 deployed', '2 pending-upgrade'], isDeployed: true },
          upgrade: 0,
          uninstall: uninstalled(release),
          answers: [429, 200],
          after: { history, isDeployed: false },
          told: [
            `Normal on sh.helm.release.v1.${release}.v2: the uninstall of release ${release}, by bob, waits for revision 2 (alice)`,
          ],
        },
        name,
      );
    });
  });
}

t.test('helm uninstall beside a live first install', async (t) => {
  const w = await fencedCrew(t, BRIEF);
  await each('api', async (place, release) => {
    const install = 'install R CHART --set hooks={post-install},outcome=Never';
    const { running, finish } = await upToHook(w, place, release, install);
    const away = sentAway(w, release, 1);
    const uninstall = w.helm(place, `uninstall ${release}`, 'bob');
    await away;
    const during = [...(await historyOf(w, place, release)), await isDeployed(w, release)];
    await finish();
    t.same(
      {
        during,
        install: (await running.done).code,
        uninstall: (await uninstall.done).code,
        after: [...(await historyOf(w, place, release)), await isDeployed(w, release)],
      },
      { during: ['1 pending-install', true], install: 0, uninstall: 0, after: [false] },
      `Helm ${place.version}, driver ${place.driver}: an uninstall beside a live first install waits, and goes through by itself`,
    );
  });
});

t.test('helm uninstall of a chart with a pre-delete hook', async (t) => {
  const w = await fencedCrew(t, BRIEF);
  await each('api', async (place, release) => {
    await works(w, place, release, 'install R CHART');
    const upgrade = 'upgrade R CHART --set hooks={pre-delete,post-upgrade},outcome=Never';
    const { running, finish } = await upToHook(w, place, release, upgrade);
    const away = sentAway(w, release, 2);
    const uninstalling = upToHook(w, place, release, 'uninstall R', 'bob');
    await away;
    const jobs = await w.admin.list('/apis/batch/v1/namespaces/prod/jobs');
    const during = jobs.map(({ metadata }) => metadata.name).filter((name) => name.startsWith(release));
    await finish();
    const ended = (await running.done).code;
    const uninstall = await uninstalling;
    await uninstall.finish();
    t.same(
      {
        during,
        ended,
        uninstall: (await uninstall.running.done).code,
        left: await historyOf(w, place, release),
      },
      { during: [`${release}-post-upgrade`], ended: 0, uninstall: 0, left: [] },
      `Helm ${place.version}, driver ${place.driver}: an uninstall waits before its pre-delete hook is made`,
    );
  });
});

t.test('an uninstall that has used up its attempts', async (t) => {
  const w = await fencedCrew(t, { holdSeconds: 0, retryAfterSeconds: 1 });
  await each('api', async (place, release) => {
    const { running, finish } = await liveUpgrade(w, place, release);
    const uninstall = await w.helm(place, `uninstall ${release}`, 'bob').done;
    const during = { history: await historyOf(w, place, release), isDeployed: await isDeployed(w, release) };
    await finish();
    t.match(
      {
        answers: answersTo(w, release),
        uninstall,
        during,
        upgrade: (await running.done).code,
        after: { history: await historyOf(w, place, release), isDeployed: await isDeployed(w, release) },
      },
      {
        answers: Array.from({ length: 11 }, () => 429),
        uninstall: {
          code: 1,
          stderr:
            /uninstallation completed with 1 error\(s\): uninstall: Failed to purge the release: .* revision 2 \(pending-upgrade, \S+, alice\) is being deployed/,
        },
        during: { history: ['2 pending-upgrade'], isDeployed: false },
        upgrade: 0,
        after: { history: ['2 deployed'], isDeployed: true },
      },
      `Helm ${place.version}, driver ${place.driver}: an uninstall deletes the resources after eleven attempts, and not the live record (a limit)`,
    );
  });
});

t.test('helm uninstall of a chart whose running hook is a pre-delete hook as well', async (t) => {
  const w = await fencedCrew(t, BRIEF);
  await each('api', async (place, release) => {
    const job = `${release}-pre-upgrade-pre-delete`;
    const next = (verb: string) => {
      return w.writes.next((write) => write.verb === verb && write.object.metadata.name === job);
    };
    await works(w, place, release, 'install R CHART');
    const begun = next('ADDED');
    const upgrade = w.helm(
      place,
      `upgrade ${release} CHART --set hooks={pre-upgrade\\,pre-delete},outcome=Never`,
    );
    await begun;
    const gone = next('DELETED').then(() => 'deleted');
    const uninstall = w.helm(place, `uninstall ${release}`, 'bob');
    // Helm 3 takes a hook that is gone for one that has ended, so its upgrade may go on, and end, at once.
    t.equal(
      await gone,
      'deleted',
      `Helm ${place.version}, driver ${place.driver}: an uninstall deletes the Job of a running hook that is its own as well, before it writes (a limit)`,
    );
    upgrade.kill('SIGKILL');
    uninstall.kill('SIGKILL');
    await Promise.all([upgrade.done, uninstall.done]);
  });
});

t.test('an uninstall that waits while a rollback is faster', async (t) => {
  const w = await fencedCrew(t, BRIEF);
  await each('api', async (place, release) => {
    const { running, finish } = await liveUpgrade(w, place, release);
    const away = sentAway(w, release, 1);
    const uninstall = w.helm(place, `uninstall ${release}`, 'bob');
    await away;
    const held = w.lockkeeper.logs.line('held', (line) => line.release === release);
    const rollback = w.helm(place, `rollback ${release} 1`);
    await held;
    await finish();
    t.match(
      {
        codes: [(await running.done).code, (await rollback.done).code],
        uninstall: await uninstall.done,
        answer: answersTo(w, release).at(-1),
        after: { history: await historyOf(w, place, release), isDeployed: await isDeployed(w, release) },
        told: await eventsOf(w.admin, 'Refused', release, 1),
      },
      {
        codes: [0, 0],
        uninstall: uninstalled(release),
        answer: 409,
        after: { history: ['3 deployed'], isDeployed: false },
        told: [
          `Warning on sh.helm.release.v1.${release}.v3: the uninstall of release ${release}, by bob, was refused: it began at revision 2, and there is revision 3 (deployed). Helm ignores that, and deletes what revision 2 made`,
        ],
      },
      `Helm ${place.version}, driver ${place.driver}: an uninstall that comes too late is refused, and deletes the resources all the same (a limit)`,
    );
  });
});

t.test('a client other than Helm that begins an uninstall', async (t) => {
  const w = await fencedCrew(t, BRIEF);
  const place = { version: OLD_AND_NEW.at(-1) ?? '4.1.4', driver: 'secret' } as const;
  const { running, finish, path, stored } = await liveUpgrade(w, place, 'api');
  const change = { label: 'uninstalling', payload: 'uninstalling' };
  const { code, headers, body } = await writeAs(w, 'bob', { path, stored, change, way: 'merge patch' });
  t.match(
    { code, after: headers['retry-after'], message: body.message },
    { code: 429, after: '1', message: /The uninstall waits for it, and Helm tries again\./ },
    'is told when to come back',
  );
  const dryRun = await writeAs(w, 'bob', { path: `${path}?dryRun=All`, stored, change, way: 'PUT' });
  t.equal(dryRun.code, 409, 'a dry run is not held');
  await finish();
  t.match(await running.done, { code: 0 });
});
