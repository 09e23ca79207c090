/** What every chapter is told with: commands that are shown and run, waits with a limit, claims about Helm. */
import type { RunResult } from '../test/tools/run.ts';
import { ClaimError, type Narrator } from './narrator.ts';
import { CHART, type Program, type Stage, type UserName } from './stage.ts';

export interface Teller {
  readonly stage: Stage;
  readonly narrator: Narrator;
}

/** What is typed is shown with `./chart`; what is run has the whole path. */
export const SHOWN_CHART = './chart';

/**
 * Far longer than any step takes, on a busy machine as well. The longest is a deploy that waits until a dead pod's lock is
 * cleared, 18 s, and then for Helm's next try. A demo that waits for ever tells nobody what is wrong.
 */
const STEP_MS = 120_000;

/** What was waited for, or the end of the demo: with the limit, or with Lockkeeper. */
export async function soon<T>({ lockkeeperEnded }: Stage, expected: string, event: Promise<T>): Promise<T> {
  const { promise: timeout, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new ClaimError(expected, `nothing for ${STEP_MS / 1000} s`)),
    STEP_MS,
  );
  const crash = lockkeeperEnded.then((code) => {
    throw new ClaimError(expected, `Lockkeeper ended with ${code}`);
  });
  return Promise.race([event, timeout, crash]).finally(() => clearTimeout(timer));
}

/** Shows the command, runs it, and returns what came of it. */
export function type(
  { narrator, stage }: Teller,
  user: UserName,
  command: string,
  program: Program = 'helm',
): Promise<RunResult> {
  narrator.command(user, `${program} ${command}`);
  const { done } = stage.run(user, command.replace(SHOWN_CHART, CHART).split(' '), program);
  return soon(stage, `${program} ${command} ends`, done);
}

export async function succeed(teller: Teller, user: UserName, command: string): Promise<void> {
  const result = await type(teller, user, command);
  if (result.code !== 0) teller.narrator.claim(`helm ${command} succeeds`, false, words(result));
}

export async function claimSuccess(
  { narrator }: Teller,
  running: Promise<RunResult>,
  claim: string,
): Promise<void> {
  const result = await running;
  narrator.claim(claim, result.code === 0, words(result));
}

/** What a program printed for its user. */
export function words({ code, stdout, stderr }: RunResult): string {
  return code === 0 ? stdout.trim() : stderr.trim();
}

/** The runner's upgrade ends as its machine would: in the middle, with no word to anybody. */
export async function dieInMidUpgrade({ narrator, stage }: Teller, release: string): Promise<void> {
  const job = hookOf(stage, release);
  const command = `upgrade ${release} ${SHOWN_CHART} --set hook.pre=true`;
  narrator.command('runner', `helm ${command}      (killed with kill -9)`);
  const upgrade = stage.run('runner', command.replace(SHOWN_CHART, CHART).split(' '));
  await soon(stage, `the upgrade of ${release} begins`, job);
  upgrade.kill('SIGKILL');
  const { signal, stderr } = await upgrade.done;
  if (signal !== 'SIGKILL') narrator.claim(`the upgrade of ${release} is killed`, false, stderr);
}

/** The Job of the next hook that runs before a deploy of this release. */
export function hookOf({ cluster }: Stage, release: string): Promise<unknown> {
  return cluster.waitForWrite(
    ({ verb, object }) =>
      verb === 'ADDED' && object.kind === 'Job' && object.metadata.name === `${release}-pre`,
  );
}

/** The last revisions of the release, as `helm history` shows them. */
export async function claimHistory(
  { narrator, stage }: Teller,
  expected: string,
  release = 'api',
): Promise<readonly HistoryEntry[]> {
  const { done } = stage.run('alice', ['history', release, '--output', 'json']);
  const { stdout } = await soon(stage, `helm history: ${expected}`, done);
  const revisions: HistoryEntry[] = JSON.parse(stdout);
  const last = revisions.slice(-expected.split(', ').length);
  const seen = last.map(({ revision, status }) => `${revision} ${status}`).join(', ');
  narrator.claim(`helm history: ${expected}`, seen === expected, seen);
  return last;
}

export interface HistoryEntry {
  readonly revision: number;
  readonly status: string;
  readonly description: string;
}
