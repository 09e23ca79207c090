/** Locks whose holders are silent for too long. Each sentence with a tick was checked before it was printed. */
import type { RestAnswer } from './rest.ts';
import { CHART } from './stage.ts';
import {
  claimHistory,
  claimSuccess,
  dieInMidUpgrade,
  SHOWN_CHART,
  soon,
  succeed,
  type Teller,
  type,
  words,
} from './teller.ts';

export async function clearedByPipeline(teller: Teller): Promise<void> {
  const { narrator } = teller;
  narrator.chapter('6 · A deploy dies half-way, and a pipeline clears its lock');
  await dieInMidUpgrade(teller, 'api');
  await claimHistory(teller, '9 deployed, 10 pending-upgrade');
  const refused = await type(teller, 'alice', `upgrade api ${SHOWN_CHART}`);
  narrator.claim(
    'Helm itself refuses the next upgrade:',
    refused.code !== 0 &&
      /another operation \(install\/upgrade\/rollback\) is in progress/.test(words(refused)),
    words(refused),
  );
  narrator.quote(words(refused));

  narrator.say('The pipeline asks Lockkeeper, with a token of the cluster in $TOKEN:');
  const shown = await ask(teller, 'GET', '/api');
  const { revision, status, holder, verdict, reason } = shown.body;
  narrator.claim(
    'whose lock it is, and that this one may still be at work:',
    shown.code === 200 && revision === 10 && holder?.pod?.name === 'runner-7f9c' && verdict === 'live',
    shown,
  );
  narrator.quote(
    [
      `"revision": ${revision}, "status": "${status}", "verdict": "${verdict}", …`,
      `"holder": {"user": "${holder.user}", "pod": {"name": "${holder.pod.name}", …}}`,
      `"reason": "${reason}"`,
    ].join('\n'),
  );

  const live = await ask(teller, 'DELETE', '/api');
  narrator.claim(
    'answered 409: it is live, so nothing is cleared:',
    live.code === 409 && /that lock is live: .* stale in (2h|1h59m)/.test(live.body.detail),
    live,
  );
  narrator.quote(live.body.detail);

  await passHours(teller);
  const cleared = await ask(teller, 'DELETE', '/api?reason=node+died');
  narrator.claim(
    'answered 200: it is cleared; `next` says what works now:',
    cleared.code === 200 &&
      cleared.body.cleared.verdict === 'expired' &&
      cleared.body.next[0] === 'helm upgrade api CHART -n shop',
    cleared,
  );
  narrator.quote(cleared.body.next.join('\n'));
  await succeed(teller, 'runner', `upgrade api ${SHOWN_CHART}`);
  const history = await claimHistory(teller, '9 superseded, 10 failed, 11 deployed');
  const { description = '' } = history[1] ?? {};
  narrator.claim(
    'helm history says who cleared revision 10, and why:',
    /^Cleared by system:serviceaccount:ci:runner at .*: no sign of life for 2h.*; node died$/.test(
      description,
    ),
    description,
  );
  narrator.quote(description);
}

export async function oldHabits(teller: Teller): Promise<void> {
  const { narrator, stage } = teller;
  narrator.chapter('7 · On a stale lock, the old habits work: helm rollback and kubectl delete');
  narrator.say('There are two more releases, web and mail, and their upgrades die as well.');
  const releases = ['web', 'mail'];
  const installs = Promise.all(releases.map((name) => stage.run('runner', ['install', name, CHART]).done));
  const failed = (await soon(stage, 'web and mail are installed', installs)).find(({ code }) => code !== 0);
  if (failed) narrator.claim('web and mail are installed', false, words(failed));
  await Promise.all(releases.map((release) => dieInMidUpgrade(teller, release)));

  const remove = 'delete secret sh.helm.release.v1.mail.v2';
  const guarded = await type(teller, 'alice', remove, 'kubectl');
  narrator.claim(
    'refused by the guard of Lockkeeper, because the lock is live:',
    guarded.code !== 0 && /"guard\.lockkeeper\.dev" denied .* so the record was kept\./.test(words(guarded)),
    words(guarded),
  );
  narrator.quote(words(guarded));

  await passHours(teller);
  const start = stage.log.lines.length;
  const rollback = type(teller, 'alice', 'rollback web 1');
  await claimSuccess(teller, rollback, 'the rollback goes through');
  const { stderr } = await rollback;
  narrator.claim(
    'nobody waited: Lockkeeper marked the dead upgrade as failed, and said so:',
    /lockkeeper marked revision 2 of shop\/web as failed/.test(stderr) && !waitedSince(teller, start),
    stderr,
  );
  narrator.quote(stderr);
  await claimHistory(teller, '1 superseded, 2 failed, 3 deployed', 'web');

  await claimSuccess(teller, type(teller, 'alice', remove, 'kubectl'), 'now the record may be deleted');
  await succeed(teller, 'alice', `upgrade mail ${SHOWN_CHART}`);
  await claimHistory(teller, '1 superseded, 2 deployed', 'mail');
}

/** Longer than the holder of a lock may be silent while its pod runs. Nobody waits for it. */
async function passHours({ narrator, stage }: Teller): Promise<void> {
  narrator.say('Two hours and a minute pass, and the pod still runs (the demo makes what is stored older).');
  await stage.cluster.letTimePass((2 * 60 + 1) * 60_000);
}

function waitedSince({ stage }: Teller, start: number): boolean {
  return stage.log.lines.slice(start).some(({ msg }) => msg === 'held');
}

/** Shows the request as the runner would type it, sends it, and returns the answer. */
function ask({ narrator, stage }: Teller, method: 'GET' | 'DELETE', path: string): Promise<RestAnswer> {
  narrator.command('runner', stage.rest.curl(method, path));
  return soon(stage, `${method} …/locks${path} is answered`, stage.rest.request(method, path));
}
