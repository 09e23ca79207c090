/** `lockkeeper list` */
import { judge, silenceOnly } from '../gate/verdict.ts';
import type { Arguments } from './arguments.ts';
import { withCluster } from './cluster.ts';
import { EXIT, type ExitCode, Failure } from './exit.ts';
import { STALE_AFTER_SECONDS } from './flags.ts';
import { json, type Terminal } from './terminal.ts';
import { look } from './view.ts';
import { lockJson, lockTable } from './words.ts';

export async function list(args: Arguments, terminal: Terminal): Promise<ExitCode> {
  if (args.positionals.length > 0) {
    throw new Failure(EXIT.usage, `list takes no names, and was given ${args.positionals.join(' ')}`);
  }
  const staleAfter = args.duration('stale-after', STALE_AFTER_SECONDS);
  const choice = { kubeconfig: args.text('kubeconfig'), context: args.text('context') };
  const all = args.has('all-namespaces');
  return withCluster(choice, terminal, async (cluster) => {
    const namespace = all ? undefined : (args.text('namespace') ?? cluster.namespace);
    const now = cluster.connection.date;
    const verdictOn = (lock: Parameters<typeof judge>[0]) => judge(lock, silenceOnly(staleAfter), now());
    const { sightings, gaps } = await look(cluster, { namespace }, verdictOn, new AbortController().signal);
    for (const gap of gaps) terminal.note(gap);
    if (args.text('output') === 'json') terminal.out(...json({ items: sightings.map(lockJson) }));
    else if (sightings.length > 0) terminal.out(...lockTable(sightings, all, now()));
    else terminal.note(`no release is locked${all ? '' : ` in namespace ${namespace}`}`);
    return EXIT.fine;
  });
}
