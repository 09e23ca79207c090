/** `lockkeeper clear` */
import {
  type ClearRequest,
  MAX_REASON_LENGTH,
  STRATEGIES,
  type Strategy,
  tidyReason,
} from '../gate/clearing.ts';
import type { Judgement, Lock } from '../gate/lock.ts';
import { FORCE, REASON } from '../gate/marks.ts';
import { judge, silenceOnly } from '../gate/verdict.ts';
import { type Arguments, onlyRelease } from './arguments.ts';
import { askLockkeeper } from './ask-lockkeeper.ts';
import { type Cluster, withCluster } from './cluster.ts';
import { EXIT, type ExitCode, Failure } from './exit.ts';
import { STALE_AFTER_SECONDS } from './flags.ts';
import { outlookOf } from './outlook.ts';
import { clearRecord } from './record-clearing.ts';
import {
  hasChanged,
  keptByLockkeeper,
  lacking,
  lackingForce,
  notCleared,
  type Refusal,
  readRefusal,
} from './refusals.ts';
import { annotate, isForced, type ReleaseLock } from './release-locks.ts';
import { forceRight, rightInWords } from './rights.ts';
import type { Sighting } from './sightings.ts';
import { json, type Terminal } from './terminal.ts';
import { look } from './view.ts';
import { judged, judgedAndWhatNow, lockedBy, lockJson, named } from './words.ts';

interface Order {
  readonly namespace: string;
  readonly name: string;
  readonly revision: number | undefined;
  readonly force: boolean;
  readonly strategy: Strategy;
  readonly reason: string | undefined;
  readonly judge: (lock: Lock) => Judgement;
  readonly note: Terminal['note'];
  readonly signal: AbortSignal;
}

export async function clear(args: Arguments, terminal: Terminal): Promise<ExitCode> {
  const name = onlyRelease(args);
  const staleAfter = args.duration('stale-after', STALE_AFTER_SECONDS);
  const revision = args.number('revision');
  const reason = reasonIn(args);
  const choice = { kubeconfig: args.text('kubeconfig'), context: args.text('context') };
  return withCluster(choice, terminal, async (cluster) => {
    const order: Order = {
      namespace: args.text('namespace') ?? cluster.namespace,
      name,
      revision,
      force: args.has('force'),
      strategy: STRATEGIES.find((one) => one === args.text('strategy')) ?? 'mark-failed',
      reason,
      judge: (lock) => judge(lock, silenceOnly(staleAfter), cluster.connection.date()),
      note: terminal.note,
      signal: new AbortController().signal,
    };
    const sighting = await find(cluster, order);
    if (args.has('dry-run')) return tryOut(sighting, order, cluster, terminal, args.text('output'));
    const next = await clearOne(cluster, order, sighting);
    if (args.text('output') === 'json') {
      terminal.out(...json({ cleared: lockJson(sighting), strategy: order.strategy, next }));
    } else {
      const { number, release } = sighting.lock.revision;
      const how = order.strategy === 'delete' ? 'was deleted' : 'is marked as failed';
      terminal.out(`revision ${number} of release ${named(release)} ${how}`);
      terminal.out(...next.map((command, index) => `${index === 0 ? 'next' : '  or'}: ${command}`));
    }
    return EXIT.fine;
  });
}

function reasonIn(args: Arguments): string | undefined {
  const text = args.text('reason') ?? '';
  if ([...text].length <= MAX_REASON_LENGTH) return tidyReason(text);
  throw new Failure(
    EXIT.usage,
    `--reason is a line of at most ${MAX_REASON_LENGTH} characters, and has ${[...text].length}`,
  );
}

/** @throws Failure when it is free, or not locked by the revision that was named */
async function find(cluster: Cluster, order: Order): Promise<Sighting> {
  const { namespace, name, revision, note } = order;
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
  const would = force || outlookOf(sighting.judgement) === 'stale';
  const now = connection.date();
  if (output === 'json') out(...json({ cleared: null, strategy, next: [], lock: lockJson(sighting) }));
  if (would) note(`it would be cleared: ${judged(sighting, now)}`);
  else note(`it would not be cleared: ${judgedAndWhatNow(sighting, now)}`);
  return would ? EXIT.fine : EXIT.live;
}

/** Resolves with the Helm commands that work now. @throws Failure if it was not cleared */
async function clearOne(cluster: Cluster, order: Order, sighting: Sighting): Promise<readonly string[]> {
  const { namespace, name, force, strategy, reason, signal } = order;
  try {
    // Lockkeeper clears by marking as failed; a record that is to be gone is deleted from here.
    if (sighting.releaseLock && strategy === 'mark-failed') {
      const { releaseLock, lock } = sighting;
      await mark(cluster, order, sighting, releaseLock);
      const { uid } = releaseLock.metadata;
      const next = await askLockkeeper(cluster, lock, releaseLock, { uid }, signal);
      if (next) return next;
    }
    const request: ClearRequest = {
      target: { namespace, name, driver: sighting.lock.revision.release.driver },
      strategy,
      uid: sighting.lock.revision.uid,
      force,
      trigger: 'rest',
      by: await cluster.whoAmI(signal),
      reason,
    };
    const outcome = await clearRecord(cluster, request, order.judge, signal);
    if (outcome.kind === 'cleared') return outcome.next;
    throw notCleared(outcome, cluster.connection.date());
  } catch (error) {
    const refusal = readRefusal(error);
    throw refusal ? await explained(refusal, cluster, order, sighting) : error;
  }
}

/** Writes on a ReleaseLock whether it is cleared by force, and why. A mark that somebody left there does not count for this clear. */
async function mark(
  { requests }: Cluster,
  { force, reason, note, signal }: Order,
  { lock }: Sighting,
  releaseLock: ReleaseLock,
): Promise<void> {
  const because: Record<string, string> = reason === undefined ? {} : { [REASON]: reason };
  const forcing = force || isForced(releaseLock);
  if (forcing) return annotate(requests, releaseLock, { [FORCE]: String(force), ...because }, signal);
  if (reason === undefined) return;
  try {
    await annotate(requests, releaseLock, because, signal);
  } catch (error) {
    const refusal = readRefusal(error);
    if (refusal?.kind !== 'right') throw error;
    const { release } = lock.revision;
    note(`the reason is not kept for release ${named(release)}: that takes ${rightInWords(refusal.right)}`);
  }
}

async function explained(
  refusal: Refusal,
  cluster: Cluster,
  order: Order,
  sighting: Sighting,
): Promise<Failure> {
  switch (refusal.kind) {
    case 'right':
      return lacking(refusal.right, sighting);
    case 'force':
      return lackingForce(sighting, cluster.connection.date());
    case 'changed':
      return hasChanged();
    case 'kept': {
      const { namespace, name, force, signal } = order;
      const [latest] = (await look(cluster, { namespace, name }, order.judge, signal)).sightings;
      if (latest?.lock.revision.uid !== sighting.lock.revision.uid) return hasChanged();
      const mayForce = force ? undefined : await cluster.mayI(forceRight(namespace), signal);
      return keptByLockkeeper(refusal.words, latest, { force, mayForce });
    }
  }
}
