/** Traps 1 to 5: what a pending revision is to Helm, and how revisions are numbered. */
import type { Test } from 'tap';
import { copyRecord, readRelease } from './traps-records.ts';
import type { Answer } from './traps-webhook.ts';
import { ALL, ENDS, type Person, type World } from './traps-world.ts';

export const IN_PROGRESS = /another operation \(install\/upgrade\/rollback\) is in progress/;

/** Helm 4 spells it in one word. */
export const IN_USE = /cannot re-?use a name that is still in use/;

/** An unmodified Helm comes back after that, up to ten times (trap 6). */
const LATER: Answer = {
  allowed: false,
  status: { code: 429, message: 'later', details: { retryAfterSeconds: 2 } },
};

/** A line of `helm list`. */
interface Shown {
  readonly name: string;
  readonly status: string;
}

export function trapsOfPending(t: Test, w: World): void {
  t.test('a dead upgrade', { buffered: true }, async (t) => {
    const people: Person[] = [];
    await w.each(ALL, async (person) => {
      await person.works('install api CHART --set hook.test=true');
      await person.dies('upgrade api CHART');
      person.asked();
      people.push(person);
    });
    const all = (tell: (person: Person) => Promise<void>) => Promise.all(people.map(tell));

    await t.test(
      'trap 1 (seen): upgrade finds the pending revision on the client, and a webhook never sees it — proved',
      (t) =>
        all(async ({ version, helm, asked, history }) => {
          t.match(await helm('upgrade api CHART'), { code: 1, stderr: IN_PROGRESS }, version);
          t.match(await helm('upgrade --install api CHART'), { code: 1, stderr: IN_PROGRESS }, version);
          t.same(asked(), [], `${version}: nothing was to be written`);
          t.same(await history(), ['1 deployed', '2 pending-upgrade']);
        }),
    );

    await t.test(
      '§1 (seen): list does not show a pending release — proved for Helm 3; refuted for Helm 4, which shows it as pending',
      (t) =>
        all(async ({ version, works }) => {
          const shown: Shown[] = JSON.parse((await works('list --output json')).stdout);
          t.same(
            shown.map(({ name, status }) => `${name} ${status}`),
            version.startsWith('3') ? [] : ['api pending-upgrade'],
            version,
          );
        }),
    );

    await t.test(
      'trap 1 (read): install does not look for a pending revision: it refuses any revision but an uninstalled or failed one, with the same words — proved',
      (t) =>
        all(async ({ version, helm }) => {
          for (const install of ['install api CHART', 'install --replace api CHART']) {
            t.match(await helm(install), { code: 1, stderr: IN_USE }, `${version}: ${install}`);
          }
        }),
    );

    await t.test('trap 1 (read): test does not look for a pending revision — proved', (t) =>
      all(async (person) => {
        const { version, works, asked } = person;
        person.hooks = 'Complete';
        await works('test api');
        // So it looks like a sign of life of the holder.
        t.same(
          asked(),
          // Of revision 2, which has a hook, but no test.
          ['UPDATE 2 pending-upgrade'],
          `${version}: it writes the pending record`,
        );
        person.hooks = 'run';
      }),
    );

    await t.test('trap 1 (read): rollback does not look for a pending revision — proved', (t) =>
      all(async ({ version, works, asked, history }) => {
        await works('rollback api 1');
        t.equal(asked()[0], 'CREATE 3 pending-rollback', `${version}: a webhook sees it`);
        t.same(await history(), ['1 superseded', '2 pending-upgrade', '3 deployed']);
      }),
    );

    await t.test(
      'trap 3 (seen): after a rollback over it, a pending revision stays so below the deployed ones, and hinders nobody — proved',
      (t) =>
        all(async ({ version, works, history }) => {
          await works('upgrade api CHART');
          t.same(
            await history(),
            ['1 superseded', '2 pending-upgrade', '3 superseded', '4 deployed'],
            version,
          );
        }),
    );

    await t.test('trap 1 (read): uninstall does not look for a pending revision — proved', (t) =>
      all(async ({ version, dies, works, asked, history }) => {
        await dies('upgrade api CHART');
        asked();
        await works('uninstall api');
        t.equal(asked()[0], 'UPDATE 5 uninstalling', version);
        t.same(await history(), [], version);
      }),
    );
  });

  t.test(
    'trap 1 (not in the design): test writes back the record that it read at its start, so a test beside an upgrade that ends makes the deployed revision pending again — proved',
    { buffered: true },
    (t) =>
      w.each(ENDS, async ({ version, works, until, endHook, helm, history }) => {
        await works('install api CHART');
        const upgrade = await until('pre', 'upgrade api CHART --set hook.pre=true,hook.test=true');
        const test = await until('test', 'test api');
        await endHook('pre', 'Complete');
        t.match(await upgrade.done, { code: 0 }, version);
        t.same(await history(), ['1 superseded', '2 deployed']);
        await endHook('test', 'Complete');
        t.match(await test.done, { code: 0 }, version);
        t.same(await history(), ['1 superseded', '2 pending-upgrade'], version);
        t.match(await helm('upgrade api CHART'), { code: 1, stderr: IN_PROGRESS }, version);
      }),
  );

  t.test(
    'trap 2 (seen): of two upgrades that race both are admitted before either is stored, and one ends in “already exists” — proved',
    { buffered: true },
    (t) =>
      w.each(ENDS, async ({ version, namespace, works, helm, asked, history }) => {
        await works('install api CHART');
        asked();
        const both = Promise.withResolvers<void>();
        let creations = 0;
        w.webhook.rule(namespace, async ({ operation }) => {
          if (operation !== 'CREATE') return undefined;
          creations += 1;
          if (creations === 2) both.resolve();
          await both.promise;
          return undefined;
        });
        const results = await Promise.all([helm('upgrade api CHART'), helm('upgrade api CHART')]);
        const [loser] = results.filter(({ code }) => code !== 0);
        t.equal(results.filter(({ code }) => code === 0).length, 1, `${version}: one wins`);
        t.match(loser?.stderr, /UPGRADE FAILED: release: already exists/, version);
        t.same(asked().slice(0, 2), ['CREATE 2 pending-upgrade', 'CREATE 2 pending-upgrade'], version);
        t.same(await history(), ['1 superseded', '2 deployed']);
      }),
  );

  t.test(
    'trap 4 (unmarked): a new revision has the number of the newest stored one plus 1, by number and not by name — proved',
    { buffered: true },
    (t) =>
      w.each(ENDS, async ({ version, works, record, asked }) => {
        await works('install api CHART');
        const first = await record(1);
        for (const number of [9, 10]) await copyRecord(w.admin, first, number);
        for (const [command, created] of [
          ['upgrade api CHART', 'CREATE 11 pending-upgrade'],
          ['rollback api 9', 'CREATE 12 pending-rollback'],
        ] as const) {
          asked();
          await works(command);
          t.equal(asked()[0], created, version);
        }
      }),
  );

  t.test(
    'trap 4 (unmarked): a release is locked exactly when R-1 is pending — refuted: a refused client comes back with a number that was pruned meanwhile, below a pending one',
    { buffered: true },
    (t) =>
      w.each(ENDS, async ({ version, namespace, works, start, until, endHook, history }) => {
        await works('install api CHART');
        let late = false;
        w.webhook.rule(namespace, ({ object }) =>
          object && !late && readRelease(object).config?.message === 'slow' ? LATER : undefined,
        );
        const sentAway = w.webhook.next((ask) => ask.namespace === namespace);
        const slow = start('upgrade api CHART --set message=slow');
        await sentAway;
        const failing = await until('pre', 'upgrade api CHART --set hook.pre=true');
        await endHook('pre', 'Failed');
        await failing.done;
        const live = await until('pre', 'upgrade api CHART --set hook.pre=true --history-max 2');
        t.same(await history(), ['1 deployed', '3 pending-upgrade'], version);
        late = true;
        t.match(await slow.done, { code: 0 }, version);
        t.same(await history(), ['1 superseded', '2 deployed', '3 pending-upgrade'], version);
        live.kill('SIGKILL');
        await live.done;
      }),
  );

  t.test(
    'trap 5 (seen): rollback --history-max 2 deletes the pending record before it creates its own — proved',
    { buffered: true },
    (t) =>
      w.each(ENDS, async ({ version, works, dies, asked, history }) => {
        await works('install api CHART');
        await dies('upgrade api CHART');
        asked();
        await works('rollback api 1 --history-max 2');
        t.same(asked().slice(0, 2), ['DELETE 2', 'CREATE 3 pending-rollback'], version);
        t.same(await history(), ['1 superseded', '3 deployed']);
      }),
  );
}
