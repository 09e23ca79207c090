/** `npm run demo`: what Lockkeeper does, seen with real Helm in less than a minute. */
import { parseArgs } from 'node:util';
import { deadPod, waitWithKubectl } from './dead.ts';
import { ClaimError, createNarrator } from './narrator.ts';
import { CHART, NAMESPACE, type Stage, setStage } from './stage.ts';
import { clearedByPipeline, oldHabits } from './stale.ts';
import { firstInstall, heldRollback, race, sentAway, shadowed } from './story.ts';
import type { Teller } from './teller.ts';

const CHAPTERS = [
  firstInstall,
  heldRollback,
  sentAway,
  race,
  shadowed,
  clearedByPipeline,
  oldHabits,
  waitWithKubectl,
  deadPod,
];

const HELP = `npm run demo [-- --keep]

Tells in nine chapters how Lockkeeper keeps two deploys of one release apart, with real Helm, and what
becomes of a lock whose holder died.
Each sentence with a tick was checked before it is printed; a claim that is not seen ends the demo with exit code 1.

  --keep   leave everything running afterwards, and print what to try by hand
  --help   this text

  HELM_BIN    the Helm to use; else the one on the PATH, else one that npm brought (linux-x64)
  CI, NO_COLOR   plain lines, no colours`;

const { CI, HELM_BIN, NO_COLOR, PATH } = process.env;
const narrator = createNarrator({
  out: process.stdout,
  now: () => performance.now(),
  live: process.stdout.isTTY === true && !CI && !NO_COLOR,
});

interface Options {
  readonly keep?: boolean;
  readonly help?: boolean;
}

/** The options, or in words what is wrong with them. */
function readOptions(args: readonly string[]): Options | string {
  try {
    const options = { keep: { type: 'boolean' }, help: { type: 'boolean' } } as const;
    return parseArgs({ args: [...args], options }).values;
  } catch (error) {
    return (error as Error).message;
  }
}

async function tell(stage: Stage): Promise<void> {
  const teller: Teller = { stage, narrator };
  showWaits(stage);
  await stage.installWebhook();
  for (const chapter of CHAPTERS) await chapter(teller);
}

/** A line for every deploy in the gate, from Lockkeeper's own log. */
function showWaits({ log }: Stage): void {
  const waits = new Map<string, () => void>();
  log.onLine(({ msg, client, revision, lock }) => {
    const key = `${client} ${revision}`;
    waits.get(key)?.();
    waits.delete(key);
    if (msg !== 'held') return;
    const { revision: locked, holder } = lock as { revision: number; holder: string };
    const text = `${client} (revision ${revision}) waits for revision ${locked}, ${holder}`;
    waits.set(key, narrator.waiting(text));
  });
}

async function keep(stage: Stage): Promise<void> {
  const { helm, kubectl } = stage.helm;
  const curl = (method: 'GET' | 'DELETE', path: string) => {
    const lines = stage.rest.curl(method, path, "-w ' %{http_code}\\n'").split('\n');
    return lines.map((line) => `    ${line}`);
  };
  narrator.chapter('Everything is left running. To try it by hand:');
  for (const line of [
    'In a second terminal, an upgrade that stays in flight, because nobody runs the Job of its hook:',
    `    export KUBECONFIG=${await stage.kubeconfig('runner')}`,
    `    ${helm} upgrade api ${CHART} --set hook.pre=true`,
    'In a third one, a rollback, which is held:',
    `    export KUBECONFIG=${await stage.kubeconfig('alice')}`,
    `    ${helm} rollback api`,
    'In a fourth one, all locks; this one; clearing it (409 without ?force=true); waiting for it:',
    `    export TOKEN=${stage.rest.token}`,
    ...curl('GET', ''),
    ...curl('GET', '/api'),
    ...curl('DELETE', '/api'),
    ...curl('GET', '/api/wait'),
    'In a fifth one, the end of the hook, and then the history:',
    `    export KUBECONFIG=${await stage.kubeconfig('alice')}`,
    `    ${kubectl} patch job api-pre -n ${NAMESPACE} --subresource=status --type=merge -p '{"status":{"succeeded":1,"conditions":[{"type":"Complete","status":"True"}]}}'`,
    `    ${helm} history api`,
    '',
  ]) {
    narrator.say(line);
  }
  narrator.say("Lockkeeper's log follows. Ctrl-C ends everything.");
  stage.log.onLine((line) => narrator.quote(JSON.stringify(line)));
}

/** Resolves with the exit code that a shell gives a command that was interrupted. */
function interruption(): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  process.once('SIGINT', () => resolve(130));
  process.once('SIGTERM', () => resolve(143));
  // As in `npm run demo | head`: nobody listens any more.
  process.stdout.on('error', () => resolve(141));
  return promise;
}

/** The exit code: 0 when everything was seen. */
async function perform(stage: Stage, options: Options, interrupted: Promise<number>): Promise<number> {
  const began = performance.now();
  narrator.title(`Lockkeeper and real Helm ${stage.helm.version}, on an embedded Kubernetes API`);
  try {
    await tell(stage);
  } catch (error) {
    // What fails because the demo is being ended is no claim that was not seen.
    if (narrator.hasEnded()) return 1;
    narrator.failure(error instanceof ClaimError ? error.message : String(error));
    process.stderr.write(
      `\nThe end of Lockkeeper's own log:\n${stage.log.text().split('\n').slice(-20).join('\n')}\n`,
    );
    return 1;
  }
  narrator.chapter(`All of it was seen, in ${((performance.now() - began) / 1000).toFixed(0)} s.`);
  if (options.keep) {
    await keep(stage);
    await interrupted;
  }
  return 0;
}

async function main(options: Options | string): Promise<number> {
  if (typeof options === 'string') {
    process.stderr.write(`${options}\nSee: npm run demo -- --help\n`);
    return 2;
  }
  if (options.help) {
    process.stdout.write(`${HELP}\n`);
    return 0;
  }
  const interrupted = interruption();
  const settings = { holdSeconds: 3, retryAfterSeconds: 2, helmBin: HELM_BIN, path: PATH };
  const stage = await setStage(settings).catch((error: Error) => error.message);
  if (typeof stage === 'string') {
    process.stderr.write(`the demo cannot start: ${stage}\n`);
    return 1;
  }
  try {
    return await Promise.race([interrupted, perform(stage, options, interrupted)]);
  } finally {
    narrator.end();
    await stage.stop();
  }
}

// Whatever was interrupted may still be waiting for something.
process.exit(await main(readOptions(process.argv.slice(2))));
