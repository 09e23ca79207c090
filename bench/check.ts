/** `npm run bench -- --check`: whether Lockkeeper became slower, compared with what runs beside it. */
import { prepareContest } from './admission.ts';
import { type Bound, type Judged, judgeBound, words } from './bounds.ts';
import { onStage, type Stage } from './stage.ts';
import { startInTurn, timesOf } from './start.ts';

/** Many short rounds: on a busy machine, few are undisturbed. */
const ROUNDS = 40;
const ASKS = 20;
const STARTS = 3;

/** A second read, one after the other, would add as much as the first one takes. */
const ADMISSION: Bound = { what: 'an admission, compared with the same route and two reads', atMost: 1.6 };
const START: Bound = { what: 'the time to readiness, compared with Fastify alone', atMost: 15 };

/** The exit code. */
export async function runCheck(say: (line: string) => void): Promise<number> {
  const judged = await onStage(async (stage) => [await checkAdmission(stage), await checkStart(stage)]);
  for (const one of judged) say(words(one));
  return judged.every(({ holds }) => holds) ? 0 : 1;
}

async function checkAdmission(stage: Stage): Promise<Judged> {
  const contest = await prepareContest(stage);
  const laps = await contest({ size: '2 KB', lanes: 1, rounds: ROUNDS, asks: ASKS });
  return judgeBound(ADMISSION, laps.Lockkeeper.medians, laps['two reads'].medians);
}

async function checkStart(stage: Stage): Promise<Judged> {
  const starts = await startInTurn(stage, STARTS);
  return judgeBound(START, timesOf(starts.authority), timesOf(starts.bare));
}
