/** The first chapters: deploys that meet. Each sentence with a tick was checked before it was printed. */
import type { AdmissionEvent } from '../test/clusters/embedded/admission.ts';
import type { LogLine } from '../test/support/log.ts';
import { NAMESPACE, type Stage } from './stage.ts';
import {
  claimHistory,
  claimSuccess,
  dieInMidUpgrade,
  hookOf,
  SHOWN_CHART,
  soon,
  succeed,
  type Teller,
  type,
  words,
} from './teller.ts';

export async function firstInstall(teller: Teller): Promise<void> {
  teller.narrator.chapter('1 · A first install');
  await succeed(teller, 'runner', `install api ${SHOWN_CHART}`);
  const { stage } = teller;
  const admitted = await soon(stage, 'the gate lets revision 1 pass', stage.log.line('admitted'));
  teller.narrator.claim(
    `the gate let revision 1 pass at once (${admitted.elapsedMs} ms)`,
    admitted.revision === 1,
    admitted,
  );
  await claimHistory(teller, '1 deployed');
}

export async function heldRollback(teller: Teller): Promise<void> {
  const { narrator, stage } = teller;
  narrator.chapter('2 · A rollback beside a running upgrade is held, and goes through by itself');
  const { upgrade, finish } = await upgradeInFlight(teller, 2);
  const held = stage.log.nextLine('held');
  const rollback = type(teller, 'alice', 'rollback api 1');
  claimWaits(teller, await soon(stage, 'the rollback is held', held), 3, 2);
  narrator.say('The hook ends, and with it the upgrade.');
  await claimAdmittedByTheWrite(teller, 2, finish);
  await claimSuccess(teller, upgrade, 'the upgrade ended as if nobody had been there');
  await claimSuccess(teller, rollback, 'the rollback went through; nobody typed anything');
  await claimHistory(teller, '1 superseded, 2 superseded, 3 deployed');
}

export async function sentAway(teller: Teller): Promise<void> {
  const { narrator, stage } = teller;
  narrator.chapter('3 · Longer than one webhook call: Helm is sent away, and comes back by itself');
  const { upgrade, finish } = await upgradeInFlight(teller, 4);
  const held = stage.log.nextLine('held');
  const rollback = type(teller, 'alice', 'rollback api 1');
  claimWaits(teller, await soon(stage, 'the rollback is held', held), 5, 4);
  const refused = await soon(stage, 'it is answered 429', stage.log.nextLine('refused'));
  const seconds = (Number(refused.elapsedMs) / 1000).toFixed(1);
  narrator.claim(
    `after ${seconds} s in the gate it was answered 429: come back later`,
    refused.code === 429,
    refused,
  );
  const end = narrator.waiting('Helm waits as it was told, and says nothing');
  const again = await soon(stage, 'Helm comes back', stage.log.nextLine('held'));
  end();
  const away = ((again.time - refused.time) / 1000).toFixed(1);
  narrator.claim(`${away} s later the same Helm was back, and is held again`, again.revision === 5, again);
  await claimAdmittedByTheWrite(teller, 4, finish);
  await claimSuccess(teller, upgrade, 'the upgrade ended');
  await claimSuccess(
    teller,
    rollback,
    'the rollback went through; its user saw one command that took a little longer',
  );
  await claimHistory(teller, '3 superseded, 4 superseded, 5 deployed');
}

export async function race(teller: Teller): Promise<void> {
  const { narrator, stage } = teller;
  narrator.chapter('4 · Two upgrades at the same moment');
  const both = meetAtTheDoor(stage);
  const racers = [
    type(teller, 'runner', `upgrade api ${SHOWN_CHART} --set message=blue`),
    type(teller, 'alice', `upgrade api ${SHOWN_CHART} --set message=green`),
  ];
  await soon(stage, 'both upgrades ask to create revision 6', both);
  const results = await Promise.all(racers);
  const loser = results.find(({ code }) => code !== 0);
  narrator.claim(
    'one of them won',
    results.filter(({ code }) => code === 0).length === 1,
    results.map(words),
  );
  const said = loser ? words(loser) : '';
  narrator.claim(
    'the other one was refused at once, in plain words:',
    /another deploy was first\. Yours was to be revision 6, and there is revision 6/.test(said),
    said,
  );
  narrator.quote(said);
  await claimHistory(teller, '5 superseded, 6 deployed');
}

export async function shadowed(teller: Teller): Promise<void> {
  const { narrator, stage } = teller;
  narrator.chapter('5 · An old wound: a pending revision below the newest locks nothing');
  narrator.say('As it was before Lockkeeper: the webhook is taken away, and a deploy dies half-way.');
  await stage.removeWebhook();
  await dieInMidUpgrade(teller, 'api');
  await succeed(teller, 'alice', 'rollback api 6');
  await claimHistory(teller, '6 superseded, 7 pending-upgrade, 8 deployed');
  narrator.say('Helm leaves revision 7 pending for ever. The webhook is back; does 7 lock the release?');
  await stage.installWebhook();
  const start = stage.log.lines.length;
  await succeed(teller, 'runner', `upgrade api ${SHOWN_CHART}`);
  const held = stage.log.lines.slice(start).filter(({ msg }) => msg === 'held');
  narrator.claim('no: only the newest revision is a lock, and nobody waited', held.length === 0, held);
  await claimHistory(teller, '7 pending-upgrade, 8 superseded, 9 deployed');
}

/** An upgrade whose hook's Job nobody completes until `finish` is called. */
export async function upgradeInFlight(teller: Teller, revision: number) {
  const { narrator, stage } = teller;
  const job = hookOf(stage, 'api');
  const upgrade = type(teller, 'runner', `upgrade api ${SHOWN_CHART} --set hook.pre=true`);
  const failed = upgrade.then(({ stderr }) => stderr);
  const started = await Promise.race([job.then(() => ''), failed]);
  narrator.claim(`revision ${revision} is pending-upgrade: its hook is running`, started === '', started);
  return { upgrade, finish: () => stage.admin.completeJob(NAMESPACE, 'api-pre', 'Complete') };
}

function claimWaits({ narrator }: Teller, held: LogLine, revision: number, locked: number): void {
  const expected = `alice waits, with revision ${revision}, for revision ${locked} of the runner in pod ci/runner-7f9c`;
  const lock = held.lock as { revision: number; holder: string };
  const seen = held.client === 'alice' && held.revision === revision && lock.revision === locked;
  narrator.claim(expected, seen && lock.holder.endsWith('in pod ci/runner-7f9c'), held);
}

/** Frees the lock, and measures in the API server how long after that write the held call was answered. */
async function claimAdmittedByTheWrite(
  { narrator, stage }: Teller,
  revision: number,
  finish: () => Promise<void>,
) {
  const { cluster } = stage;
  const name = new RegExp(`\\.v${revision}$`);
  const write = cluster.waitForWrite(
    ({ object }) => name.test(object.metadata.name) && object.metadata.labels?.status === 'deployed',
  );
  const answer = cluster.waitForAdmission((event) => event.phase === 'answered' && event.user === 'alice');
  await finish();
  const both = Promise.all([answer, write]);
  const [answered, { at }] = await soon(stage, 'the held call is answered', both);
  const ms = answeredAt(answered) - at;
  narrator.claim(
    `the held call was answered ${ms.toFixed(1)} ms after the write that freed the lock`,
    ms > 0 && ms < 1_000,
    ms,
  );
}

function answeredAt(event: AdmissionEvent): number {
  return event.phase === 'answered' ? event.answeredAt : Number.NaN;
}

/** Lets the next two creations of a record reach the gate together, as an unlucky moment would. */
function meetAtTheDoor({ cluster }: Stage): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let creations = 0;
  const stop = cluster.faults.failRequests(({ method, path }) => {
    if (method !== 'POST' || !path.endsWith('/secrets')) return undefined;
    creations += 1;
    if (creations === 2) {
      stop();
      resolve();
    }
    return { until: promise };
  });
  return promise;
}
