/** `npm run bench -- --check`: whether Lockkeeper became slower, compared with what runs beside it. */
import { prepareContest } from './admission.ts';
import { listenToAudit } from './audit.ts';
import { type Bound, type Judged, judgeBound, words } from './bounds.ts';
import { createDeploys, createSender } from './reviews.ts';
import { LOCKKEEPER, onStage, type Stage } from './stage.ts';
import { startInTurn, timesOf } from './start.ts';

/** Many short rounds: on a busy machine, few are undisturbed. */
const ROUNDS = 40;
const ASKS = 20;
const STARTS = 3;

const COUNTED = 100;

/** Three: what is below, what is stored under its own name, and what is above. No machine is too busy to count them. */
const READS: Bound = { what: 'reads of an admission', atMost: 3.1 };
/** On two cores with eight programs at work, 0.99 to 1.35 were seen; one more read, after the others, makes it 1.7 on a quiet machine. */
const ADMISSION: Bound = { what: 'an admission, compared with the same route and three reads', atMost: 1.6 };
/** There, 4.5 to 12.4 were seen. */
const START: Bound = { what: 'the time to readiness, compared with Fastify alone', atMost: 18 };

/** The exit code. */
export async function runCheck(say: (line: string) => void): Promise<number> {
  const judged = await onStage(async (stage) => [
    await checkAdmission(stage),
    await checkReads(stage),
    await checkStart(stage),
  ]);
  for (const one of judged) say(words(one));
  return judged.every(({ holds }) => holds) ? 0 : 1;
}

async function checkAdmission(stage: Stage): Promise<Judged> {
  const contest = await prepareContest(stage);
  const laps = await contest({ size: '2 KB', lanes: 1, rounds: ROUNDS, asks: ASKS });
  return judgeBound(ADMISSION, laps.Lockkeeper.medians, laps['three reads'].medians);
}

/** Of releases that are stored already. */
async function checkReads(stage: Stage): Promise<Judged> {
  const { url } = await stage.lockkeeper();
  const { caCertificate } = stage;
  const sender = createSender({ url, caCertificate, lanes: 1, size: '2 KB', deploys: createDeploys() });
  const audit = await listenToAudit(stage);
  for (let count = 0; count < COUNTED; count += 1) await sender.ask(0);
  const reads = (await audit.events()).filter(
    ({ user, verb }) => user.username === LOCKKEEPER.username && ['get', 'list'].includes(verb),
  );
  await sender.close();
  // The last one may be noted a moment later, which makes it one fewer.
  return judgeBound(READS, [reads.length], [COUNTED]);
}

async function checkStart(stage: Stage): Promise<Judged> {
  const starts = await startInTurn(stage, STARTS);
  return judgeBound(START, timesOf(starts.authority), timesOf(starts.bare));
}
