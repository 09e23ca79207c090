/** `lockkeeper wait` */
import { type Arguments, onlyRelease } from './arguments.ts';
import { withCluster } from './cluster.ts';
import { EXIT, type ExitCode } from './exit.ts';
import { STALE_AFTER_SECONDS } from './flags.ts';
import { json, type Terminal } from './terminal.ts';
import { waitForTurn } from './turn.ts';
import { judgedAndWhatNow, lockJson } from './words.ts';

/** As over REST. */
export const WAIT_SECONDS = 600;

export async function wait(args: Arguments, terminal: Terminal): Promise<ExitCode> {
  const name = onlyRelease(args);
  const seconds = args.duration('timeout', WAIT_SECONDS);
  const staleAfterSeconds = args.duration('stale-after', STALE_AFTER_SECONDS);
  const choice = { kubeconfig: args.text('kubeconfig'), context: args.text('context') };
  return withCluster(choice, terminal, async (cluster) => {
    const { note } = terminal;
    const namespace = args.text('namespace') ?? cluster.namespace;
    const { signal } = new AbortController();
    const left = await waitForTurn(cluster, {
      namespace,
      name,
      seconds,
      staleAfterSeconds,
      clearStale: !args.has('no-clear-stale'),
      command: 'lockkeeper wait',
      note,
      signal,
    });
    if (args.text('output') === 'json') {
      terminal.out(...json({ free: left === undefined, lock: left ? lockJson(left) : null }));
    }
    if (left === undefined) return EXIT.fine;
    note(judgedAndWhatNow(left, cluster.connection.date()));
    return EXIT.locked;
  });
}
