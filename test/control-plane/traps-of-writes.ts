/** Traps 9, 10, 12, 13, 15 and 16: what Helm writes into its records, when, and what it reads of them. */
import { setTimeout } from 'node:timers/promises';
import type { Test } from 'tap';
import { IN_PROGRESS, IN_USE } from './traps-of-pending.ts';
import { copyRecord, pathOf, readRelease, writeStatus } from './traps-records.ts';
import type { Answer } from './traps-webhook.ts';
import { ALL, ENDS, isJob, type Person, type World } from './traps-world.ts';

const NONE_DEPLOYED = /"api" has no deployed releases/;

/** Helm 4 calls it by another name, and knows the old one. */
const ATOMIC = '--atomic';

/** The subject is time, so some of it must pass: one hook takes less than the timeout, and two take more. */
const TIMEOUT_SECONDS = 7;
const HOOK_MS = 4_500;

function denied(message: string): Answer {
  return { allowed: false, status: { code: 403, message } };
}

/** Since 3.13.2, by the source: `rls.Labels = item.ObjectMeta.Labels` in `pkg/storage/driver`. */
function inheritsLabels({ version }: Person): boolean {
  return version !== '3.8.0' && version !== '3.9.4';
}

export function trapsOfWrites(t: Test, w: World): void {
  t.test(
    'trap 9 (seen): Helm puts whole records, whatever was written meanwhile: an annotation is gone with the start of the next hook — proved',
    { buffered: true },
    (t) =>
      w.each(ENDS, async ({ version, namespace, works, until, endHook, record }) => {
        await works('install api CHART');
        const upgrade = await until('pre', 'upgrade api CHART --set hook.pre=true,hook.post=true');
        await w.admin.patch(pathOf(await record(2)), { metadata: { annotations: { team: 'red' } } });
        const post = w.writes.next(isJob(namespace, 'post'));
        await endHook('pre', 'Complete');
        await post;
        t.notOk((await record(2)).metadata.annotations, version);
        await endHook('post', 'Complete');
        await upgrade.done;
      }),
  );

  t.test(
    'trap 9 (read): a client that lost its lock writes deployed over a record that was marked failed, and ends with 0 — proved',
    { buffered: true },
    (t) =>
      w.each(ALL, async ({ version, works, until, endHook, record, history }) => {
        await works('install api CHART');
        const zombie = await until('pre', 'upgrade api CHART --set hook.pre=true');
        await writeStatus(w.admin, await record(2), { inside: 'failed', label: 'failed' });
        await endHook('pre', 'Complete');
        t.match(await zombie.done, { code: 0 }, version);
        t.same(await history(), ['1 superseded', '2 deployed'], version);
      }),
  );

  t.test(
    'trap 9 (seen): a webhook that denies that PUT is logged as “failed to update”, and Helm ends with 1 — proved; by then it has superseded the deployed revision',
    { buffered: true },
    (t) =>
      w.each(ENDS, async ({ version, namespace, works, helm, history }) => {
        await works('install api CHART');
        w.webhook.rule(namespace, ({ name, operation, object }) =>
          operation === 'UPDATE' && name.endsWith('.v2') && object?.metadata.labels?.status === 'deployed'
            ? denied('you lost your lock')
            : undefined,
        );
        const { code, stderr } = await helm('upgrade api CHART');
        t.equal(code, 1, version);
        t.match(stderr, /failed to update.*denied the request: you lost your lock/, version);
        t.same(await history(), ['1 superseded', '2 pending-upgrade'], version);
      }),
  );

  t.test(
    'trap 10 (read): base64 of gzip of JSON in a ConfigMap, one more base64 in a Secret, and Helm reads it without gzip as well — proved',
    { buffered: true },
    (t) =>
      w.each(ENDS, async ({ version }) => {
        for (const driver of ['secret', 'configmap'] as const) {
          const { works, record, history } = await w.person(version, driver);
          await works('install api CHART');
          const stored = await record(1);
          t.match(readRelease(stored), { name: 'api', version: 1, info: { status: 'deployed' } }, version);
          await writeStatus(w.admin, stored, {}, { gzip: false });
          await works('upgrade api CHART');
          t.same(await history(), ['1 superseded', '2 deployed'], `${version}, ${driver}`);
        }
      }),
  );

  t.test(
    'trap 10 (read): the pending check reads the status inside the record, the search for what is deployed reads the label — proved',
    { buffered: true },
    (t) =>
      w.each(ENDS, async ({ version, works, dies, helm, record }) => {
        await works('install api CHART');
        await dies('upgrade api CHART');
        await writeStatus(w.admin, await record(2), { label: 'failed' });
        t.match(await helm('upgrade api CHART'), { code: 1, stderr: IN_PROGRESS }, `${version}: by label`);
        await writeStatus(w.admin, await record(2), { inside: 'uninstalling', label: 'pending-upgrade' });

        await writeStatus(w.admin, await record(1), { inside: 'deployed', label: 'superseded' });
        t.match(await helm('upgrade api CHART'), { code: 1, stderr: NONE_DEPLOYED }, `${version}: inside`);
        await writeStatus(w.admin, await record(1), { inside: 'superseded', label: 'deployed' });
        await works('upgrade api CHART');
      }),
  );

  t.test(
    'trap 10 (not in the design): list and history read the status inside the record, not the label — proved',
    { buffered: true },
    (t) =>
      w.each(ENDS, async ({ version, works, record }) => {
        await works('install api CHART');
        await writeStatus(w.admin, await record(1), { label: 'pending-upgrade' });
        for (const command of ['list --deployed --output json', 'history api --output json']) {
          t.match(JSON.parse((await works(command)).stdout), [{ status: 'deployed' }], version);
        }
      }),
  );

  t.test(
    'trap 12 (read): createdAt disappears at the first PUT — proved; modifiedAt may be inherited by an upgrade from 3.14 — refuted: from 3.13.2',
    { buffered: true },
    (t) =>
      w.each(ALL, async (person) => {
        const { version, namespace, works, record } = person;
        await works('install api CHART');
        const [creation] = w.webhook.asks(namespace);
        t.ok(creation?.object?.metadata.labels?.createdAt, version);
        const { labels } = (await record(1)).metadata;
        t.notOk(labels?.createdAt, `${version}: createdAt is gone`);
        t.ok(labels?.modifiedAt, `${version}: modifiedAt has come`);
        const upgrade = w.webhook.next((ask) => ask.namespace === namespace && ask.operation === 'CREATE');
        await works('upgrade api CHART');
        const inherited = (await upgrade).object?.metadata.labels?.modifiedAt;
        t.equal(inherited, inheritsLabels(person) ? labels?.modifiedAt : undefined, version);
      }),
  );

  t.test(
    'trap 13 (read): Helm writes a record when it creates it, at the start of each hook, and at the end; never at the end of a hook that went well — proved',
    { buffered: true },
    (t) =>
      w.each(ENDS, async (person) => {
        const { version, works, asked } = person;
        person.hooks = 'Complete';
        await works('install api CHART');
        asked();
        await works('upgrade api CHART --set hook.pre=true,hook.post=true');
        t.same(
          asked(),
          [
            'CREATE 2 pending-upgrade',
            'UPDATE 2 pending-upgrade',
            'UPDATE 2 pending-upgrade',
            'UPDATE 1 superseded',
            'UPDATE 2 deployed',
          ],
          version,
        );
      }),
  );

  t.test(
    'trap 13 (read): Helm writes nothing while it waits for resources — proved',
    { buffered: true },
    (t) =>
      w.each(ENDS, async ({ version, namespace, works, helm, asked }) => {
        await works('install api CHART');
        asked();
        const before = w.webhook.asks(namespace).length;
        const result = await helm('upgrade api CHART --set deployment=true --wait --timeout 4s');
        t.equal(result.code, 1, `${version}: it waits in vain`);
        t.same(asked(), ['CREATE 2 pending-upgrade', 'UPDATE 1 deployed', 'UPDATE 2 failed'], version);
        const [creation, next] = w.webhook.asks(namespace).slice(before);
        t.ok(Number(next?.at) - Number(creation?.at) > 3_900, `${version}: both updates come at the end`);
      }),
  );

  t.test(
    'trap 13 (read): --timeout is for each hook and not for all of it, and is not stored — proved',
    { buffered: true },
    (t) =>
      w.each(ENDS, async ({ version, namespace, works, until, endHook, record }) => {
        await works('install api CHART');
        const begunAt = performance.now();
        const upgrade = await until(
          'pre',
          `upgrade api CHART --set hook.pre=true,hook.post=true --timeout ${TIMEOUT_SECONDS}s`,
        );
        const post = w.writes.next(isJob(namespace, 'post'));
        await setTimeout(HOOK_MS);
        await endHook('pre', 'Complete');
        await post;
        await setTimeout(HOOK_MS);
        await endHook('post', 'Complete');
        t.match(await upgrade.done, { code: 0 }, version);
        t.ok(performance.now() - begunAt > TIMEOUT_SECONDS * 1_000, `${version}: longer than its timeout`);
        t.notMatch(JSON.stringify(readRelease(await record(2))), /7s|7000000000|imeout/, version);
      }),
  );

  t.test(
    'trap 15 (read): a rollback whose hook fails ends by itself and leaves its revision pending-rollback — proved',
    { buffered: true },
    (t) =>
      w.each(ENDS, async ({ version }) => {
        for (const hook of ['pre', 'post']) {
          const someone = await w.person(version);
          someone.hooks = 'Complete';
          await someone.works(`install api CHART --set hook.${hook}=true`);
          await someone.works('upgrade api CHART --reset-values');
          someone.hooks = 'Failed';
          t.match(await someone.helm('rollback api 1'), { code: 1 }, `${version}, ${hook}`);
          t.same(
            await someone.history(),
            ['1 superseded', '2 deployed', '3 pending-rollback'],
            `${version}, ${hook}`,
          );
        }
      }),
  );

  t.test(
    'trap 15 (read): --atomic first writes failed, and then creates a rollback of its own — proved',
    { buffered: true },
    (t) =>
      w.each(ENDS, async ({ version, works, until, endHook, asked }) => {
        await works('install api CHART');
        asked();
        const upgrade = await until('pre', `upgrade api CHART --set hook.pre=true ${ATOMIC}`);
        await endHook('pre', 'Failed');
        t.match(await upgrade.done, { code: 1 }, version);
        t.same(
          asked().slice(0, 4),
          [
            'CREATE 2 pending-upgrade',
            'UPDATE 2 pending-upgrade',
            'UPDATE 2 failed',
            'CREATE 3 pending-rollback',
          ],
          version,
        );
      }),
  );

  t.test(
    'trap 15 (read): an error of that first write is only logged, so that the holder of a lock rolls back over its own pending revision — proved',
    { buffered: true },
    (t) =>
      w.each(ENDS, async ({ version, namespace, works, until, endHook, asked, history }) => {
        await works('install api CHART');
        asked();
        w.webhook.rule(namespace, ({ object }) =>
          object?.metadata.labels?.status === 'failed' ? denied('not now') : undefined,
        );
        const upgrade = await until('pre', `upgrade api CHART --set hook.pre=true ${ATOMIC}`);
        await endHook('pre', 'Failed');
        const { code, stderr } = await upgrade.done;
        t.equal(code, 1, version);
        t.match(stderr, /has been rolled back due to .* being set/, version);
        t.equal(asked()[3], 'CREATE 3 pending-rollback', version);
        t.same(await history(), ['1 superseded', '2 pending-upgrade', '3 deployed'], version);
      }),
  );

  t.test(
    'trap 16 (read): after a lone v1 was marked failed, upgrade and upgrade --install work and install says in use; after it was deleted, install and upgrade --install work and upgrade does not — proved',
    { buffered: true },
    (t) =>
      w.each(ENDS, async ({ version, dies, works, helm, record }) => {
        await dies('install api CHART');
        await writeStatus(w.admin, await record(1), { inside: 'failed', label: 'failed' });
        const failed = await record(1);
        const again = async () => {
          for (const number of [1, 2]) {
            await w.admin.request('DELETE', pathOf(failed).replace(/1$/, String(number)));
          }
        };
        t.match(await helm('install api CHART'), { code: 1, stderr: IN_USE }, version);
        await works('upgrade api CHART --reset-values');
        await again();
        await copyRecord(w.admin, failed, 1);
        await works('upgrade --install api CHART --reset-values');
        await again();
        t.match(await helm('upgrade api CHART'), { code: 1, stderr: NONE_DEPLOYED }, version);
        await works('install api CHART');
        await again();
        await works('upgrade --install api CHART');
      }),
  );
}
