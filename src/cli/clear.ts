/** `lockkeeper clear` */
import { type ClearRequest, STRATEGIES, type Strategy } from '../gate/clearing.ts';
import type { Judgement, Lock } from '../gate/lock.ts';
import { judge, silenceOnly } from '../gate/verdict.ts';
import { helmCommand } from '../helm/command.ts';
import { nextCommands } from '../helm/next.ts';
import { type Arguments, onlyRelease } from './arguments.ts';
import { type Cluster, withCluster } from './cluster.ts';
import { EXIT, type ExitCode, Failure } from './exit.ts';
import { STALE_AFTER_SECONDS } from './flags.ts';
import { clearRecord } from './record-clearing.ts';
import { notCleared, refusalOf } from './refusals.ts';
import { deleteReleaseLock, type ReleaseLock } from './release-locks.ts';
import type { Sighting } from './sightings.ts';
import { json, type Terminal } from './terminal.ts';
import { look, unlessRefused } from './view.ts';
import { lockedAndWhatNow, lockedBy, lockJson } from './words.ts';

interface Order {
  readonly namespace: string;
  readonly name: string;
  readonly revision: number | undefined;
  readonly force: boolean;
  readonly strategy: Strategy;
  readonly reason: string | undefined;
  readonly judge: (lock: Lock) => Judgement;
  readonly signal: AbortSignal;
}

interface Done {
  readonly cleared: Sighting;
  readonly next: readonly string[];
}

export async function clear(args: Arguments, terminal: Terminal): Promise<ExitCode> {
  const name = onlyRelease(args);
  const staleAfter = args.duration('stale-after', STALE_AFTER_SECONDS);
  const revision = args.number('revision');
  const choice = { kubeconfig: args.text('kubeconfig'), context: args.text('context') };
  return withCluster(choice, terminal, async (cluster) => {
    const order: Order = {
      namespace: args.text('namespace') ?? cluster.namespace,
      name,
      revision,
      force: args.has('force'),
      strategy: STRATEGIES.find((one) => one === args.text('strategy')) ?? 'mark-failed',
      reason: args.text('reason'),
      judge: (lock) => judge(lock, silenceOnly(staleAfter), cluster.connection.date()),
      signal: new AbortController().signal,
    };
    const sighting = await find(cluster, order, terminal);
    if (args.has('dry-run')) return tryOut(sighting, order, cluster, terminal, args.text('output'));
    const { next } = await clearOne(cluster, order, sighting);
    if (args.text('output') === 'json') {
      terminal.out(json({ cleared: lockJson(sighting), strategy: order.strategy, next }));
    } else {
      const { number } = sighting.lock.revision;
      const how = order.strategy === 'delete' ? 'was deleted' : 'is marked as failed';
      terminal.out(`revision ${number} of release ${order.namespace}/${name} ${how}\n`);
      terminal.out(`next: ${next.join('\n  or: ')}\n`);
    }
    return EXIT.fine;
  });
}

/** @throws Failure when it is free, or not locked by the revision that was named */
async function find(cluster: Cluster, order: Order, { note }: Terminal): Promise<Sighting> {
  const { namespace, name, revision } = order;
  const { sightings, gaps } = await look(cluster, { namespace, name }, order.judge, order.signal);
  for (const gap of gaps) note(gap);
  const [sighting] = sightings;
  if (sighting === undefined) throw new Failure(EXIT.free, `release ${namespace}/${name} is not locked`);
  if (revision !== undefined && revision !== sighting.lock.revision.number) {
    const what = lockedBy(sighting.lock, cluster.connection.date());
    throw new Failure(EXIT.changed, `${what}, not by revision ${revision}. Nothing was changed`);
  }
  return sighting;
}

function tryOut(
  sighting: Sighting,
  { force, strategy }: Order,
  { connection }: Cluster,
  { out, note }: Terminal,
  output: string | undefined,
): ExitCode {
  const would = force || sighting.judgement.verdict !== 'live';
  if (output === 'json') out(json({ cleared: null, strategy, next: [], lock: lockJson(sighting) }));
  note(
    `${lockedAndWhatNow(sighting, connection.date())}. ${would ? 'It would be cleared' : 'It would be refused'}`,
  );
  return would ? EXIT.fine : EXIT.live;
}

async function clearOne(cluster: Cluster, order: Order, sighting: Sighting): Promise<Done> {
  // Lockkeeper clears by marking as failed; whoever wants the record gone does it themselves.
  if (sighting.releaseLock && order.strategy === 'mark-failed') {
    const done = await askLockkeeper(cluster, order, sighting, sighting.releaseLock);
    if (done) return done;
  }
  const { namespace, name, force, strategy, reason } = order;
  const request: ClearRequest = {
    target: { namespace, name, driver: sighting.lock.revision.release.driver },
    strategy,
    uid: sighting.lock.revision.uid,
    force,
    trigger: 'rest',
    by: await cluster.whoAmI(order.signal),
    reason,
  };
  const outcome = await clearRecord(cluster, request, order.judge, order.signal);
  if (outcome.kind !== 'cleared') throw notCleared(outcome, cluster.connection.date());
  return { cleared: sighting, next: outcome.next };
}

/** Undefined if nothing came of it: the ReleaseLock is gone, and its revision is pending still. */
async function askLockkeeper(
  cluster: Cluster,
  order: Order,
  sighting: Sighting,
  releaseLock: ReleaseLock,
): Promise<Done | undefined> {
  const { lock } = sighting;
  try {
    await deleteReleaseLock(cluster.requests, releaseLock, order.force, order.signal);
  } catch (error) {
    throw refusalOf(error as Error) ?? error;
  }
  const { release, uid } = lock.revision;
  const read = await unlessRefused(cluster.reader.all(release, order.signal));
  // Whoever sees no records has Lockkeeper's word.
  if ('refusal' in read)
    return { cleared: sighting, next: [helmCommand(release, `upgrade ${release.name} CHART`)] };
  const [newest] = read.found;
  const isStill = newest?.uid === uid && newest.status === lock.revision.status;
  return isStill ? undefined : { cleared: sighting, next: nextCommands(release, read.found) };
}
