/** The last chapters: locks that kubectl shows and waits for, and one that nobody has to clear. */
import { NAMESPACE, PODS_PATH, RUNNER_POD } from './stage.ts';
import { upgradeInFlight } from './story.ts';
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

export async function waitWithKubectl(teller: Teller): Promise<void> {
  const { narrator } = teller;
  narrator.chapter('8 · kubectl shows the locks, and makes an upgrade wait for its turn');
  const shown = releaseLock(teller);
  const { upgrade, finish } = await upgradeInFlight(teller, 12);
  await soon(teller.stage, 'there is a ReleaseLock', shown);
  await claimShown(teller, 'live');
  const wait = type(teller, 'alice', 'wait --for=delete rlock/api --timeout=60s', 'kubectl');
  narrator.say('The hook ends, and with it the upgrade.');
  await finish();
  await claimSuccess(teller, upgrade, 'the upgrade ended');
  await claimSuccess(teller, wait, 'and the wait');
  await succeed(teller, 'alice', `upgrade api ${SHOWN_CHART} --reset-values`);
  await claimHistory(teller, '12 superseded, 13 deployed');
}

export async function deadPod(teller: Teller): Promise<void> {
  const { narrator, stage } = teller;
  narrator.chapter('9 · The pod of a pipeline dies in mid-upgrade, and nobody has to do anything');
  await dieInMidUpgrade(teller, 'api');
  narrator.say(`Its pod, ci/${RUNNER_POD}, is gone with its node. Somebody rolls back, and waits:`);
  await stage.admin.remove(`${PODS_PATH}/${RUNNER_POD}`);
  const died = performance.now();
  const held = stage.log.nextLine('held');
  const cleared = stage.log.nextLine('cleared');
  const rollback = type(teller, 'alice', 'rollback api 13');
  const { client } = await soon(stage, 'the rollback is held', held);
  narrator.claim(
    'the rollback is held: the token of a pod is good for 10 s after its end',
    client === 'alice',
    client,
  );
  const line = await soon(stage, 'the lock is cleared', cleared);
  const seconds = ((performance.now() - died) / 1000).toFixed(0);
  narrator.claim(
    `${seconds} s after its end the lock was cleared, with nobody asking for it`,
    line.verdict === 'dead-holder' && line.trigger !== 'rest',
    line,
  );
  await claimSuccess(teller, rollback, 'the rollback went through');
  const [, { description = '' } = {}] = await claimHistory(teller, '13 superseded, 14 failed, 15 deployed');
  narrator.claim(
    'helm history says why revision 14 failed:',
    /pod ci\/runner-7f9c, is gone$/.test(description),
    description,
  );
  narrator.quote(description);
}

/** The next ReleaseLock of `api` that says what its verdict is. */
function releaseLock({ stage: { cluster } }: Teller): Promise<unknown> {
  return cluster.waitForWrite(
    ({ object }) =>
      object.kind === 'ReleaseLock' &&
      object.metadata.namespace === NAMESPACE &&
      (object as { status?: { verdict?: string } }).status?.verdict !== undefined,
  );
}

async function claimShown(teller: Teller, verdict: string): Promise<void> {
  const shown = await type(teller, 'alice', 'get rlock', 'kubectl');
  const isShown = new RegExp(
    `api +12 +pending-upgrade +system:serviceaccount:ci:runner +${RUNNER_POD} .* ${verdict} `,
  );
  teller.narrator.claim('who holds which lock:', isShown.test(shown.stdout), words(shown));
  teller.narrator.quote(words(shown));
}
